"""Sees to it that who writes to a run owns it: keeps the ownership this process has, or takes it over.

1. `own` returns the engine at work here, or claims the run: the newest epoch may write, every other is refused.
2. `commit` appends the facts with what must come before them, whole or not at all.
3. Where a worker has taken the run between the two, `tried` does both again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from ropewalk.core.engine import Engine
from ropewalk.core.facts import Fact, StateEdited
from ropewalk.core.history import is_laid_down
from ropewalk.core.reading import Reading
from ropewalk.core.resuming import check_open, reset_of
from ropewalk.errors import RopewalkError, RunInterrupted, RunTaken

Limits = tuple[float | None, int | None]
"""The seconds under way and how often a node may run, as a resume sets them; None keeps one."""

_LETS_OTHERS_FINISH_SECONDS = 3.0
_LETS_A_WORKER_COME_SECONDS = 0.5
_LOOKS_AT_OTHERS_SECONDS = 0.05
_TRIES = 20
"""How often a write to a run that workers drive is tried: one may take the run each time it was to be written to."""
_PAUSE_SECONDS = 0.002
"""After the first try; each further pause is longer by as much."""


class Owning:
    """The ownership of one run, as this process has it. It never drives the run: its handle does."""

    def __init__(self, reading: Reading, *, for_workers: bool | None) -> None:
        self.lock = asyncio.Lock()
        """Held while the run is taken."""
        self.queued: list[StateEdited] = []
        """Edits that the next commit begins with."""
        self.for_workers = for_workers
        """It was left to workers: it is written to here, and never driven. None: not asked yet."""
        self._run_id = reading.run_id
        self._reading = reading
        self._desk = reading.desk
        self._before: list[Fact] = []
        """Facts that must stand before the next ones that are written, in the same append."""

    async def is_for_workers(self) -> bool:
        """Tell whether the run was left to workers."""
        if self.for_workers is None:
            self.for_workers = await self._desk.queued(self._run_id) is not None
        return self.for_workers

    async def is_with_workers(self) -> bool:
        """Tell whether the run is RUNNING and left to workers: then nobody here has to move it."""
        if self._reading.owned or not await self.is_for_workers():
            return False
        await self._reading.catch_up()
        return (await self._reading.read()).schedule.status == "RUNNING"

    # -- writing ------------------------------------------------------------------------------------------------------

    async def tried(self, write: Callable[[], Awaitable[None]]) -> None:
        """Do ``write``; again when a worker took the run between our claim and our append."""
        for left in reversed(range(_TRIES)):
            try:
                await write()
                break
            except RunTaken:
                if not left or not await self.is_for_workers():
                    raise
                self._reading.forget()
            await asyncio.sleep(_PAUSE_SECONDS * (_TRIES - left))

    async def commit(self, engine: Engine, facts: Callable[[], list[Fact]]) -> None:
        """Commit ``facts`` with all that must come before them, as one append."""
        queued, self.queued = self.queued, []
        before, self._before = self._before, []

        def all_of_them() -> list[Fact]:
            edits = [edit._replace(at_rest=engine.at_rest) for edit in queued]
            return [*before, *edits, *facts()]

        try:
            await engine.commit_whole(all_of_them)
        except RunTaken:
            self.queued[:0] = queued  # the next try writes them
            raise
        except Exception:
            if before:  # the run was taken from a worker for nothing: hand it on, not after the lease
                with contextlib.suppress(RopewalkError):
                    await engine.commit_whole(before)
            raise

    # -- taking -------------------------------------------------------------------------------------------------------

    async def own(
        self, *, explicit: bool, reset: bool = True, pause_id: str | None = None, limits: Limits = (None, None)
    ) -> Engine:
        """Return an engine that may write: the one at work, or a fresh one whose epoch is the newest.

        ``pause_id`` must be open there; that is found out before the run is taken from anybody.
        """
        async with self.lock:  # or two calls at once would take the run from each other
            await self._reading.catch_up()
            engine = self._reading.engine
            if engine is not None and self._reading.owned and self._usable(engine):
                await self._go_on_with(engine, explicit=explicit, reset=reset, pause_id=pause_id, limits=limits)
                return engine
            if pause_id is not None:
                await self._let_others_finish()
                check_open((await self._desk.load(self._run_id)).schedule, pause_id)
            engine = await self._claimed(engine)
            await self._begin_with(engine, explicit=explicit, reset=reset, limits=limits)
            return engine

    async def _go_on_with(
        self, engine: Engine, *, explicit: bool, reset: bool, pause_id: str | None, limits: Limits
    ) -> None:
        if pause_id is not None:
            check_open(engine.schedule, pause_id)
        engine.set_timeout(limits[0])
        if engine.schedule.status == "RUNNING" and not engine.driving and reset:
            facts = reset_of(engine.schedule, engine.epoch, reason="interrupted", explicit=explicit, limit=limits[1])
            await engine.commit_whole(facts)

    async def _claimed(self, previous: Engine | None) -> Engine:
        """Take the run; the readers of ``previous`` follow the fresh engine."""
        if previous is not None:
            await previous.rests()  # its steps must have ended before they may begin again
        await self.is_for_workers()  # before it is taken: what goes wrong here leaves it with its owner
        engine = await self._desk.claim(self._run_id)
        if previous is not None:
            engine.feed = previous.feed
            engine.feed.restart(engine.schedule.number)
        self._reading.take(engine)
        return engine

    async def _begin_with(self, engine: Engine, *, explicit: bool, reset: bool, limits: Limits) -> None:
        """Say in the log what becomes of what the last owner had in flight, now or with what is written next."""
        engine.set_timeout(limits[0])
        if self.for_workers:
            self._before = await self._cut_off(engine)
        elif engine.schedule.status == "RUNNING" and reset:
            given = limits[1]
            limit = given if given is not None or not explicit else self._desk.max_iterations
            facts = reset_of(engine.schedule, engine.epoch, reason="taken_over", explicit=explicit, limit=limit)
            await engine.commit_whole(facts)

    async def _cut_off(self, engine: Engine) -> list[Fact]:
        """Return the reset that tells of what a worker has in flight, if one has the run that was claimed here."""
        if engine.schedule.status != "RUNNING":
            return []
        place = await self._desk.queued(self._run_id)
        if place is None or place.worker is None:
            return []
        return reset_of(engine.schedule, engine.epoch, reason="interrupted", explicit=False)

    async def _let_others_finish(self) -> None:
        """Wait a moment while another process has steps in flight: to take the run over would cut them off, and of a
        tool's call that had started nobody would know how it ended. That process may be dead, so it is a moment only;
        a shorter one where a worker has yet to come, and none where the log says that nobody has the run.
        """
        store, began = self._desk.store, time.monotonic()
        while store is not None and (waited := time.monotonic() - began) < _LETS_OTHERS_FINISH_SECONDS:
            if (await store.look(self._run_id)).status != "RUNNING":
                return
            if waited > _LETS_A_WORKER_COME_SECONDS and await self.is_for_workers():
                if await self._waits_for_a_worker():
                    return
            elif not await self.is_for_workers() and await is_laid_down(self._reading):
                return
            await asyncio.sleep(_LOOKS_AT_OTHERS_SECONDS)

    async def _waits_for_a_worker(self) -> bool:
        """Tell whether no worker is at the run: none has it, or the one who had it has let its lease run out."""
        place = await self._desk.queued(self._run_id)
        return place is None or place.worker is None or (place.due_seconds is not None and place.due_seconds >= 0)

    def _usable(self, engine: Engine) -> bool:
        if engine.lost is not None and self._desk.store is None:
            if not isinstance(engine.lost, RunInterrupted):
                raise engine.lost
            engine.lost = None  # nobody else can have taken a run without a store, and its fold is whole
        return engine.lost is None

    # -- giving up ----------------------------------------------------------------------------------------------------

    async def hand_over(self, *, grace_seconds: float) -> None:
        """Stop driving the run, and say so in the log: whoever goes on with it counts no death.

        What is in flight has ``grace_seconds`` to end; then it is cancelled, to be done again.
        """
        engine = self._reading.engine
        if engine is None or not self._reading.owned or not engine.driving:
            return
        engine.wind_down()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await engine.rests()
        await engine.stop_driving()
        if engine.schedule.status != "RUNNING":
            return
        fresh = await self._desk.load(self._run_id)  # the engine may have lost its place when it was stopped
        if fresh.epoch == engine.epoch and fresh.schedule.status == "RUNNING":
            facts = reset_of(fresh.schedule, fresh.epoch, reason="interrupted", explicit=False)
            await fresh.commit_whole(facts)
        self._reading.forget()
