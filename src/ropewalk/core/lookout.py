"""Finds out that another process has taken a run whose step here is long: no append of it would be refused soon.

1. While runs are driven in an event loop, it looks round every few seconds.
2. A run that has appended since the last round is its owner's still: the store would have refused it.
3. The store is asked for the others; who finds a newer epoch than its own stops its code.
"""

import asyncio
import weakref
from collections.abc import Iterable

from ropewalk.contracts import RunStore
from ropewalk.core.engine import Engine
from ropewalk.errors import RunNotFound, RunTaken, StoreUnavailable

_EVERY_SECONDS = 5.0


class Lookout:
    """Rounds in each event loop for what is driven there; they end when nothing is any more."""

    def __init__(self) -> None:
        self._watched: dict[asyncio.Task[None], tuple[Engine, int]] = {}
        """What is driven, by its driver, with the number of its newest entry at the last round."""
        self._rounds: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None] | None]
        self._rounds = weakref.WeakKeyDictionary()
        """Loops in which a round is due, with the last one that asked the store."""

    def watch(self, engine: Engine, driver: "asyncio.Task[None]") -> None:
        """Look after ``engine`` until its driver ends, then `forget` it; call it in the driver's loop."""
        self._watched[driver] = (engine, engine.schedule.number)
        loop = driver.get_loop()
        if loop not in self._rounds:
            self._rounds[loop] = None
            loop.call_later(_EVERY_SECONDS, self._begin_round, loop)

    def forget(self, driver: "asyncio.Task[None]") -> None:
        """Look after what the driver drove no longer."""
        self._watched.pop(driver, None)

    def _begin_round(self, loop: asyncio.AbstractEventLoop) -> None:
        here = {driver: seen for driver, seen in list(self._watched.items()) if driver.get_loop() is loop}
        if not here:
            del self._rounds[loop]
            return
        quiet = [engine for engine, number in here.values() if engine.schedule.number == number]
        self._watched.update((driver, (engine, engine.schedule.number)) for driver, (engine, _) in here.items())
        last = self._rounds[loop]
        if quiet and (last is None or last.done()):
            self._rounds[loop] = loop.create_task(_find_lost(quiet), name="ropewalk lookout")
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
