"""Keeps the runs going that this process drives: takes over what a dead one left, tries again when the store was away,
and hands everything over when it stops.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from ropewalk.contracts import RunRecord, RunStore
from ropewalk.core.desk import Desk
from ropewalk.core.run import Run
from ropewalk.errors import RopewalkError, RunError, StoreUnavailable
from ropewalk.server.waiting import Waiting

log = logging.getLogger("ropewalk")

_PAGE = 500
_AT_ONCE = 32
_AGAIN_SECONDS = (1.0, 30.0)


class Driving:
    """The runs of some graphs that nobody but this process moves on."""

    def __init__(
        self, store: RunStore, desks: Iterable[Desk], run_of: Callable[[RunRecord], Run[Any]], waiting: Waiting
    ) -> None:
        self._store = store
        self._desks = {desk.plan.name: desk for desk in desks}
        self._run_of = run_of
        self._waiting = waiting
        self._tasks: set[asyncio.Task[None]] = set()
        for desk in self._desks.values():
            desk.when_lost = self._lost

    async def take_over(self) -> int:
        """Go on, in the background, with every run that is RUNNING in the store and was not left to workers; return
        how many there are. Call it before anything is started here.
        """
        found = [record async for record in self._left_behind()]
        if found:
            self._spawn(self._go_on_with(found))
        return len(found)

    async def _left_behind(self) -> AsyncIterator[RunRecord]:
        after: str | None = None
        while True:
            page = await self._store.runs(statuses=("RUNNING",), after=after, limit=_PAGE)
            for record in page:
                desk = self._desks.get(record.graph)
                if desk is not None and await desk.queued(record.run_id) is None:
                    yield record
            if len(page) < _PAGE:
                return
            after = page[-1].run_id

    async def _go_on_with(self, records: list[RunRecord]) -> None:
        room = asyncio.Semaphore(_AT_ONCE)

        async def go_on(record: RunRecord) -> None:
            async with room:
                if not await self._waiting.waits(record):
                    await self._take(record.run_id)

        for outcome in await asyncio.gather(*map(go_on, reversed(records)), return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.warning("a run was not taken over: %s", outcome)

    async def _take(self, run_id: str) -> None:
        """Take a run over; while the store is away, try again."""
        wait, longest = _AGAIN_SECONDS
        while True:
            try:
                record = await self._store.look(run_id)
                if record.status == "RUNNING":
                    await self._run_of(record).take_over()
                return
            except StoreUnavailable as trouble:
                log.warning("run %s waits for its store: %s", run_id, trouble)
                await asyncio.sleep(wait)
                wait = min(longest, wait * 2)
            except RunError as error:  # another process has it, or its log does not fit this graph
                log.warning("run %s is left alone: %s", run_id, error)
                return

    def _lost(self, run: Run[Any], why: BaseException) -> None:
        if isinstance(why, StoreUnavailable):
            self._spawn(self._take(run.run_id))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, *, grace_seconds: float) -> None:
        """Let every run come to rest, and say in its log that it was handed over; what was running has
        ``grace_seconds`` to end, then it is done again elsewhere.
        """
        for task in [*self._tasks]:
            task.cancel()
        runs = [run for desk in self._desks.values() for run in desk.driven]
        outcomes = await asyncio.gather(
            *[run.hand_over(grace_seconds=grace_seconds) for run in runs], return_exceptions=True
        )
        for run, outcome in zip(runs, outcomes, strict=True):
            if isinstance(outcome, RopewalkError):
                log.warning("run %s was not handed over: %s", run.run_id, outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
