"""Drives one claimed run to where it stops, and gives back what it could not bring there.

1. Fold the log at the claimed epoch. What this graph cannot read is left to another worker at once, and claimed around
   from now on (`workers/misfits.py`), or fails: `on_mismatch`.
2. A run whose worker died begins with a reset, which counts the death; one that was handed over just goes on.
3. Who stands beside the worker (`Opening`) may put facts before what comes, or have the run given back for a while.
4. The engine drives it. The append that pauses or ends the run gives up the lease, so there is nothing left to do.
5. A run that is still RUNNING is given back. When something was in flight, a reset says so first.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ropewalk.contracts import ClaimedRun, RunQueue, RunRecord
from ropewalk.contracts.run_queue import EARLIER_PROCESS
from ropewalk.core.desk import Desk
from ropewalk.core.engine import Engine
from ropewalk.core.facts import Fact, RunStopped, read_entry
from ropewalk.core.resuming import reset_of
from ropewalk.core.schedule import DEATHS_ALLOWED
from ropewalk.core.turns import in_the_way
from ropewalk.errors import GraphChanged, RopewalkError, RunInterrupted, RunTaken, StoreUnavailable
from ropewalk.workers.heartbeat import Lease
from ropewalk.workers.misfits import Misfits
from ropewalk.workers.waking import Waking

log = logging.getLogger("ropewalk")

OnMismatch = Literal["leave", "fail"]
"""What becomes of a run that the worker's code does not fit: it waits for a worker with other code, or it fails."""

Opening = Callable[[RunRecord, Engine], Awaitable[Sequence[Fact] | float]]
"""Asked at each claim of a run, after its fold and before it goes on: for facts to commit first, or for the seconds for
which it is given back. What it raises gives the run back, too, longer each time."""
OnDrive = Callable[[RunRecord, Engine], None]
"""Told that the engine is about to drive. It must not block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """Who stands beside a worker."""

    opening: Opening | None = None
    on_drive: OnDrive | None = None


_WAITED_SECONDS, _WAITED_PART = 1.0, 0.05
"""Time in the queue is no time under way: a run that waited longer, in seconds and as a part of its timeout, says so,
else the timeout would count it."""
_TURN_SECONDS, _TURN_AT_MOST_SECONDS = 1.0, 10.0
"""After how long a run whose turn has not come is looked at again: nobody may be left to wake it."""
_NOTES_AGAIN_SECONDS = 0.5
_AGAIN_SECONDS = 5.0
_AGAIN_AT_MOST_SECONDS = 300.0


class Troubles:
    """How often this worker could not go on with a run; the next try comes later each time."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}

    def seconds_until_next_try(self, run_id: str) -> float:
        """Count a trouble; return how long the run is left alone."""
        if len(self._times) > 10_000:
            self._times.clear()
        times = self._times[run_id] = self._times.get(run_id, 0) + 1
        return min(_AGAIN_SECONDS * 2 ** min(times - 1, 10), _AGAIN_AT_MOST_SECONDS)

    def are_too_many(self, run_id: str) -> bool:
        return self._times.get(run_id, 0) + 1 >= DEATHS_ALLOWED

    def forget(self, run_id: str) -> None:
        self._times.pop(run_id, None)


class Drive:
    """One claimed run at this worker."""

    def __init__(  # noqa: PLR0913  what a worker has, and one run
        self,
        claim: ClaimedRun,
        lease: Lease,
        *,
        worker: str,
        desk: Desk,
        queue: RunQueue,
        troubles: Troubles,
        misfits: Misfits,
        waking: Waking,
        beside: Beside,
        previous: "Drive | None",
    ) -> None:
        """``previous`` is one of the same run that was lost: its nodes must have ended before they may begin again."""
        self.claim = claim
        self.lease = lease
        self.ended = asyncio.Event()
        self._previous = previous
        self._worker = worker
        self._desk = desk
        self._queue = queue
        self._troubles = troubles
        self._misfits = misfits
        self._waking = waking
        self._beside = beside
        self._asking: asyncio.Future[Sequence[Fact] | float] | None = None
        self._engine: Engine | None = None
        self._turn_in_seconds = 0.0
        """For how long it is given back because its turn has not come; else 0."""
        self._lost = False
        self._winding_down = False
        self._cutting = False

    @property
    def run_id(self) -> str:
        return self.claim.record.run_id

    async def until_it_stops(self, on_mismatch: OnMismatch) -> None:
        """Drive the run; return when it is in others' hands again, or over."""
        try:
            if self._previous is not None:
                await self._previous.ended.wait()
                self._previous = None
                self.claim = replace(self.claim, in_turn=False)  # so it was before
            await self._drive()
        except RunTaken:
            log.info("run %s was taken from this worker", self.run_id)
            self._waking.stopped(self.claim.record)  # it may have been cancelled
        except GraphChanged as misfit:
            await self._misfit(misfit, on_mismatch)
        except StoreUnavailable as trouble:  # before anything was driven
            log.warning("run %s is given back: %s", self.run_id, trouble)
            await self._release_after_trouble()
        finally:
            self.ended.set()

    def lose(self) -> None:
        """Stop the nodes: the run is another's, or may be any moment."""
        self._lost = True
        self._ask_no_more()
        if self._engine is not None and self._engine.schedule.status == "RUNNING":
            self._engine.lose(RunTaken(self.run_id))

    def wind_down(self) -> None:
        """Come to rest between two steps."""
        self._winding_down = True
        if self._engine is not None:
            self._engine.wind_down()

    async def cut(self) -> None:
        """Stop the nodes now; the run is given back all the same."""
        self._winding_down = self._cutting = True
        self._ask_no_more()
        if self._engine is not None:
            await self._engine.stop_driving()

    async def _drive(self) -> None:
        record = self.claim.record
        engine = self._engine = await self._desk.fold(record, self.claim.entries)
        if record.plan != self._desk.plan.digest:
            log.info("run %s was started with another drawing of %s; its log fits this one", self.run_id, record.graph)
        if self._lost:
            return
        facts = self._beginning(engine, handed_over=await self._was_handed_over())
        if not any(isinstance(fact, RunStopped) for fact in facts):
            opened = await self._opened(engine)
            if not isinstance(opened, Sequence):
                await self._give_back(engine, facts, opened)
                await self._look_once_more()
                return
            facts += opened
        if facts:
            await engine.commit_whole(facts)
        if self._winding_down:
            engine.wind_down()
        if engine.schedule.status == "RUNNING" and not self._cutting:
            self._tell(engine)
            await asyncio.wait({engine.drive()})
        await self._ended(engine)

    async def _opened(self, engine: Engine) -> Sequence[Fact] | float:
        """Ask who stands beside the worker what comes first, or for how long the run is to wait."""
        if self._winding_down:
            return []
        waits = self._turn_in_seconds = await self._waits_its_turn()
        opening = self._beside.opening
        if waits or opening is None:
            return waits or []
        self._asking = asyncio.ensure_future(opening(self.claim.record, engine))
        try:
            return await self._asking
        except asyncio.CancelledError:
            if not self._asking.cancelled():
                raise
            return 0.0
        except (RunTaken, StoreUnavailable, GraphChanged):
            raise
        except Exception:  # door two: it costs this one run a while
            log.exception("run %s is given back: it could not be opened", self.run_id)
            return self._troubles.seconds_until_next_try(self.run_id)
        finally:
            self._asking = None

    async def _waits_its_turn(self) -> float:
        """Return for how long to leave the run alone: an earlier one of its session is RUNNING. When that stops, its
        worker wakes the next one.
        """
        record, store = self.claim.record, self._desk.store
        assert store is not None
        if self.claim.in_turn:
            return 0.0
        first = await in_the_way(store, owner=record.owner, session=record.session, turn=record.turn)
        if first is None:
            return 0.0
        ahead = (record.turn or 0) - (first.turn or 0)
        return min(_TURN_SECONDS * ahead, _TURN_AT_MOST_SECONDS)

    async def _was_handed_over(self) -> bool:
        """Tell whether an earlier process, of which nobody knows how it ended, has laid the run down in order."""
        record, store = self.claim.record, self._desk.store
        if self.claim.taken_from != EARLIER_PROCESS or store is None:
            return False
        newest = [read_entry(*entry) for entry in await store.read(record.run_id, after=record.last - 1)]
        return bool(newest) and newest[-1].type == "reset" and newest[-1].data.get("reason") == "interrupted"

    def _ask_no_more(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    async def _give_back(self, engine: Engine, facts: list[Fact], seconds: float) -> None:
        """Leave the run to whoever claims it in so many seconds; a death is told all the same."""
        if facts and self.claim.taken_from is not None:
            await engine.commit_whole(facts)
        await self._release(0.0 if self._winding_down else seconds)

    async def _look_once_more(self) -> None:
        """Have a run that waits for its turn taken up if that came while it was in our hands: nobody could wake it."""
        if not self._turn_in_seconds or self._winding_down:
            return
        try:
            if not await self._waits_its_turn():
                await self._queue.wake(self.run_id)
        except RopewalkError as trouble:
            log.info("run %s waits for its turn, and is looked at again: %s", self.run_id, trouble)

    def _tell(self, engine: Engine) -> None:
        if self._beside.on_drive is None or self._winding_down:
            return
        try:
            self._beside.on_drive(self.claim.record, engine)
        except Exception:  # door two: who listens keeps nothing from going on
            log.exception("run %s is driven, and who was to be told could not take it", self.run_id)

    def _beginning(self, engine: Engine, *, handed_over: bool) -> list[Fact]:
        """Return what the log must say before the run goes on here."""
        schedule, epoch = engine.schedule, self.lease.epoch
        if self.claim.taken_from == EARLIER_PROCESS and handed_over:
            return reset_of(schedule, epoch, reason="resumed", explicit=False)
        if self.claim.taken_from is not None:
            log.info("run %s is taken over from %s, whose lease ran out", self.run_id, self.claim.taken_from)
            died = self.claim.taken_from != self._worker  # else the store was away, and this worker let it go
            return reset_of(schedule, epoch, reason="taken_over" if died else "interrupted", explicit=False)
        timeout, waited = engine.settings.timeout, engine.settings.clock() - schedule.last_at
        if timeout is not None and waited > max(_WAITED_SECONDS, timeout * _WAITED_PART):
            return reset_of(schedule, epoch, reason="resumed", explicit=False)
        return []

    async def _ended(self, engine: Engine) -> None:
        if isinstance(engine.lost, RunTaken):
            raise engine.lost
        if engine.lost is None and engine.schedule.status != "RUNNING":
            self._troubles.forget(self.run_id)
            log.debug("run %s: %s", self.run_id, engine.schedule.status)
            self._waking.stopped(self.claim.record)
            return
        if engine.lost is None:  # it came to rest between two steps
            await self._release()
            return
        trouble = None if isinstance(engine.lost, RunInterrupted) else engine.lost
        if trouble is not None:
            log.warning("run %s is given back: %s", self.run_id, trouble)
        record = await self._note_cut()
        if trouble is None or record is None:
            await self._release()
        elif isinstance(trouble, StoreUnavailable) or not self._troubles.are_too_many(self.run_id):
            await self._release_after_trouble()
        else:
            why = f"its worker could not go on with it, again and again ({trouble}); resume() tries once more"
            await self._desk.set_aside(record, "poisoned", why)

    async def _note_cut(self) -> RunRecord | None:
        """Say in the log that what was in flight starts over, and return how it stands then; try as long as the run is
        held. None: it is over, or another's.
        """
        store = self._desk.store
        assert store is not None
        while not self._lost:
            try:
                record = await store.look(self.run_id)
                if record.epoch != self.lease.epoch or record.status != "RUNNING":
                    return None
                engine = await self._desk.fold(record)
                facts = reset_of(engine.schedule, record.epoch, reason="interrupted", explicit=False)
                await engine.commit_whole(facts)
                return await store.look(self.run_id)
            except (StoreUnavailable, RunTaken):  # taken: an append that was cut off has come through meanwhile
                await asyncio.sleep(_NOTES_AGAIN_SECONDS)
        raise RunTaken(self.run_id)

    async def _misfit(self, misfit: GraphChanged, on_mismatch: OnMismatch) -> None:
        if on_mismatch == "fail":
            log.warning("run %s fails: %s", self.run_id, misfit)
            try:
                await self._desk.set_aside(self.claim.record, misfit.code, str(misfit))
            except RunTaken:
                log.info("run %s was taken from this worker", self.run_id)
            return
        if self._misfits.is_new(self.run_id):
            log.warning("run %s is left to another worker: %s", self.run_id, misfit)
        if self._misfits.note(self.run_id, self.claim.record.last):
            await self._release()
        else:  # too many to claim around: nobody gets it for a while, which is better than to claim it for ever
            await self._release_after_trouble()

    async def _release_after_trouble(self) -> None:
        seconds = self._troubles.seconds_until_next_try(self.run_id)
        await self._release(0.0 if self._winding_down else seconds)

    async def _release(self, wake_in_seconds: float = 0.0) -> None:
        try:
            claims = {self.run_id: self.lease.epoch}
            await self._queue.release(self._worker, claims, wake_in_seconds=wake_in_seconds)
        except RopewalkError as trouble:  # its lease runs out by itself
            log.warning("run %s could not be given back, its lease must run out: %s", self.run_id, trouble)
