"""Finds out that another process has taken a run whose step here is long: no append of it would be refused soon.

1. While runs are driven in an event loop, it looks round every few seconds.
2. A run that has appended since the last round is its owner's still: the store would have refused it.
3. The store is asked for the others; who finds a newer epoch than its own stops its code.
"""

import asyncio
from collections.abc import Iterable

from ropewalk.contracts import RunStore
from ropewalk.core.engine import Engine
from ropewalk.errors import RunNotFound, RunTaken, StoreUnavailable

_EVERY_SECONDS = 5.0


class Lookout:
    """Rounds in one event loop after the other; they end when nothing is driven any more."""

    def __init__(self) -> None:
        self._engines: dict[Engine, int] = {}
        """What is driven, with the number of its newest entry at the last round."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the next round is due."""
        self._round: asyncio.Task[None] | None = None

    def watch(self, engine: Engine, driver: "asyncio.Task[None]") -> None:
        """Look after ``engine`` until its driver ends; call it in the driver's loop."""
        self._engines[engine] = engine.schedule.number
        driver.add_done_callback(lambda _: self._engines.pop(engine, None))
        if self._loop is not driver.get_loop():
            self._loop = driver.get_loop()
            self._loop.call_later(_EVERY_SECONDS, self._begin_round, self._loop)

    def _begin_round(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:
            return
        if not self._engines:
            self._loop = None
            return
        quiet = [engine for engine, number in self._engines.items() if engine.schedule.number == number]
        self._engines = {engine: engine.schedule.number for engine in self._engines}
        if quiet and (self._round is None or self._round.done()):
            self._round = loop.create_task(_find_lost(quiet), name="ropewalk lookout")
        loop.call_later(_EVERY_SECONDS, self._begin_round, loop)


async def _find_lost(engines: Iterable[Engine]) -> None:
    for engine in engines:
        if engine.store is not None and engine.driving:
            await _look(engine, engine.store)


async def _look(engine: Engine, store: RunStore) -> None:
    try:
        epoch: int | None = (await store.look(engine.run_id)).epoch
    except RunNotFound:
        epoch = None
    except StoreUnavailable:  # the next append tells
        return
    if epoch != engine.epoch:
        engine.lose(RunTaken(engine.run_id))
