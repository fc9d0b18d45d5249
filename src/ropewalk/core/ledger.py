"""Writes a run's facts down, one commit at a time: fold them, let routers choose, append, then tell the readers.

What the engine does between two commits (start steps, wait, stop) is in `core/engine.py`; here is what makes a commit
whole: facts of one commit stand together in the log or not at all, and nobody hears of them before.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ropewalk.codec import RawJson
from ropewalk.contracts import RunStore
from ropewalk.core.choosing import ask_all
from ropewalk.core.drive import Settings, watched
from ropewalk.core.facts import (
    Answered,
    Choice,
    Fact,
    Paused,
    Reset,
    RunStarted,
    RunStopped,
    StateEdited,
    StepFailed,
    StepFinished,
    StepRecorded,
    encode,
    node_of,
    type_of,
)
from ropewalk.core.feed import Feed, Logged
from ropewalk.core.places import Firing
from ropewalk.core.schedule import Schedule, pause_id
from ropewalk.core.snapshot import dump_snapshot
from ropewalk.core.state import Shape
from ropewalk.core.step import failure_of
from ropewalk.errors import RouterCancelled, RunFinished, RunInterrupted, StoreUnavailable

log = logging.getLogger("ropewalk")

Facts = Sequence[Fact] | Callable[[], Sequence[Fact]]
Folding = Generator[Awaitable[Any], Any, None]
"""Goes on with a fold; yields what has to be awaited on the way and is sent its result."""

KEPT_WITHOUT_STORE = 10_000
"""Entries that a run without a store keeps."""
KEPT_WITH_STORE = 1_024
_SNAPSHOT_BYTES = 256 * 1024
_OUTCOMES = (StepFinished, StepFailed, Paused)
"""Facts with which a step is no longer in flight."""


class Ledger:
    """The log of one run as its owner writes it, with the fold of what is written."""

    def __init__(
        self, schedule: Schedule, *, store: RunStore | None, epoch: int, settings: Settings, feed: Feed | None = None
    ) -> None:
        self.schedule = schedule
        self.shape: Shape = schedule.shape
        self.run_id = schedule.run_id
        self.epoch = epoch
        self.settings = settings
        self.feed = feed or Feed(KEPT_WITH_STORE if store else KEPT_WITHOUT_STORE, schedule.number)
        self.cause: BaseException | None = None
        """The exception behind the run's failure, when it happened in this process."""
        self.lost: BaseException | None = None
        """Why this process may not or could not go on: the run was taken, the store failed, the driver was stopped."""
        self.is_ahead = False
        """True while the fold holds what the store may not have: an append is under way or has failed."""
        self.in_flight: dict[str, asyncio.Task[None] | None] = {}
        """Steps that began and whose outcome is not in the fold yet; None for the one the driver itself awaits."""
        self._store = store
        self._lock = asyncio.Lock()
        self._router: asyncio.Future[Any] | None = None
        """The async router that a commit waits for."""
        self._waiting: list[_Wanted] = []
        """Commits that wait for the one under way."""
        self._is_ending = False
        """True while the end that somebody wants for the run is on its way into the log."""
        self._grown = 0
        """Bytes appended since the last snapshot."""
        self._snapshot_at = _SNAPSHOT_BYTES
        self._committing: set[asyncio.Task[None]] = set()

    def set_timeout(self, timeout: float | None) -> None:
        if timeout is not None:
            self.settings = replace(self.settings, timeout=timeout)

    def verdict(self) -> RunStopped | None:
        """Say how the stretch ends, now that nothing is in flight; None when something can still start."""
        raise NotImplementedError

    def lose(self, error: BaseException) -> None:
        """Note that nothing more may be written here."""
        if self.lost is None:
            self.lost = RunInterrupted(self.run_id) if isinstance(error, asyncio.CancelledError) else error

    # -- one commit ---------------------------------------------------------------------------------------------------

    async def commit(self, facts: Facts) -> None:
        """Fold, decide, append and say ``facts``; raises what the store raises, after which the ledger is `lost`.

        ``facts`` may be a function: it is asked when no other commit can come between, and may still refuse.
        """
        later = self.commit_now(facts)
        if later is not None:
            await later

    def commit_now(self, facts: Facts) -> Coroutine[Any, Any, None] | None:
        """Do what `commit` does, at once if nothing has to be awaited; else return what is to be awaited."""
        if self._lock.locked() or self._waiting or self.lost is not None or self._is_over():
            return self._in_turn(_Wanted(facts))
        if self._store is not None:
            return self._in_turn(_Wanted(facts)) if callable(facts) else self._alone(self._store, facts)
        batch: list[Logged] = []
        rest = self._fold(facts() if callable(facts) else facts, batch)
        if rest is not None:
            return self._finish_fold(rest, batch)
        self._say(batch)  # nothing can have come between, so there was nothing to lock
        return None

    async def _finish_fold(self, rest: Folding, batch: list[Logged]) -> None:
        async with self._lock:
            try:
                await self._follow(rest)
            except BaseException as error:
                self.lose(error)
                raise
            self._say(batch)

    async def _alone(self, store: RunStore, facts: Sequence[Fact]) -> None:
        """Do what `_in_turn` does where nobody is before this commit and nobody waits: that of most steps."""
        batch: list[Logged] = []
        lock = self._lock
        await lock.acquire()  # free, so that nothing comes between
        try:
            self.is_ahead = True
            if (rest := self._fold(facts, batch)) is not None:
                await self._follow(rest)
            if batch:
                await self._append(store, batch)
                if self._grown > self._snapshot_at:
                    await self._snapshot(store)
        except BaseException as error:
            self.lose(error)
            raise
        else:
            self.is_ahead = False
            self._say(batch)
        finally:
            lock.release()

    async def _in_turn(self, wanted: "_Wanted") -> None:
        """Commit when no other commit is under way, together with all else that has come to wait for that."""
        self._waiting.append(wanted)
        try:
            async with self._lock:
                if not wanted.is_done:
                    group, self._waiting = self._waiting, []
                    await self._commit_group(group)
        finally:
            if wanted in self._waiting:
                self._waiting.remove(wanted)
        if wanted.error is not None:
            raise wanted.error

    async def _commit_group(self, group: "list[_Wanted]") -> None:
        """Make one append of several commits, each folded as if it came alone, in their order."""
        batch: list[Logged] = []
        try:
            if self.lost is not None:
                raise self.lost
            self.is_ahead = self._store is not None
            for wanted in group:
                facts = self._taken(wanted)
                if facts is not None and (rest := self._fold(facts, batch)) is not None:
                    await self._follow(rest)
            if self._store is not None and batch:
                await self._append(self._store, batch)
                if self._grown > self._snapshot_at:
                    await self._snapshot(self._store)
        except BaseException as error:
            self.lose(error)  # the fold is ahead of the log now: only a fresh one, read from the store, may go on
            for wanted in group:
                wanted.error = wanted.error or self.lost
            raise
        finally:
            for wanted in group:
                wanted.is_done = True
        self.is_ahead = False
        self._say(batch)

    def _taken(self, wanted: "_Wanted") -> Sequence[Fact] | None:
        """Return the facts of one commit; None when none may follow, or when it is refused."""
        try:
            return self._allowed(wanted.facts() if callable(wanted.facts) else wanted.facts)
        except Exception as refusal:  # noqa: BLE001  the caller's own: it is told, the others of its group go on
            wanted.error = refusal
            return None

    async def commit_whole(self, facts: Facts) -> None:
        """Commit for a caller who may be cancelled meanwhile: the facts are committed all the same."""
        task = asyncio.create_task(self.commit(facts))
        self._committing.add(task)
        task.add_done_callback(self._committed)
        await asyncio.shield(task)

    def _committed(self, task: "asyncio.Task[None]") -> None:
        self._committing.discard(task)
        if not task.cancelled():
            task.exception()  # the caller, if it is still there, has it from the shield

    async def admit(self, admit: Callable[[list[bytes], str], Any], facts: Sequence[Fact]) -> None:
        """Commit the first facts by ``admit``, which hands the bodies to the store's `create`."""
        batch: list[Logged] = []
        self.is_ahead = self._store is not None
        try:
            if (rest := self._fold(facts, batch)) is not None:
                await self._follow(rest)
            if self._store is not None:
                bodies = [encode(logged.fact, logged.at) for logged in batch]
                self.epoch = await admit(bodies, self.schedule.status)
        except BaseException as error:
            self.lose(error)
            raise
        self.is_ahead = False
        self._say(batch)

    async def settled(self) -> None:
        """Return when nothing is on its way into the log; raise what kept it from getting there."""
        async with self._lock:
            if self.lost is not None:
                raise self.lost

    def _is_over(self) -> bool:
        return self.schedule.status not in ("RUNNING", "IDLE")

    def _allowed(self, facts: Sequence[Fact]) -> Sequence[Fact] | None:
        """Return the facts that may still follow, now that no other commit can come between; None when none may.

        What a step did that was in flight when the run ended counts for nothing. Raises `RunFinished`, `TooLate`.
        """
        if not self._is_over():
            return facts
        status = self.schedule.status
        for fact in facts:
            if isinstance(fact, StepRecorded):
                raise TooLate
            if status in ("DONE", "CANCELLED") and isinstance(fact, RunStopped | StateEdited):
                what = "ending it" if isinstance(fact, RunStopped) else "editing its state"
                raise RunFinished(self.run_id, status, what)
        allowed = [fact for fact in facts if not isinstance(fact, _OUTCOMES)]
        return allowed if allowed or not facts else None

    def _append(self, store: RunStore, batch: list[Logged]) -> Awaitable[None]:
        bodies = [encode(fact, at) for _, at, fact in batch]
        self._grown += sum(map(len, bodies))
        after, at, status = batch[0].number - 1, batch[-1].at, self.schedule.status
        append = store.append(self.run_id, epoch=self.epoch, after=after, bodies=bodies, status=status, at=at)
        return watched(append, self.settings.watches) if self.settings.watches else append

    async def _snapshot(self, store: RunStore) -> None:
        """Keep the fold; the larger it is, the more must be appended before the next one."""
        body = dump_snapshot(self.schedule)
        self._grown, self._snapshot_at = 0, max(_SNAPSHOT_BYTES, 4 * len(body))
        try:
            await store.save_snapshot(self.run_id, epoch=self.epoch, number=self.schedule.number, body=body)
        except StoreUnavailable as trouble:  # it is only a cache: what was committed goes on
            log.warning("run %s: no snapshot was kept at entry %d: %s", self.run_id, self.schedule.number, trouble)

    def _say(self, batch: list[Logged]) -> None:
        if batch:
            self.feed.say(batch)
            for watch in self.settings.watches:
                watch.logged(self.schedule.plan.name, self.run_id, batch)
            if self.settings.verbose:
                for number, _, fact in batch:
                    log.info("run %s: %d %s %s", self.run_id, number, type_of(fact), node_of(fact) or "")

    # -- deciding -----------------------------------------------------------------------------------------------------

    def _fold(self, facts: Sequence[Fact], batch: list[Logged]) -> Folding | None:
        """Fold ``facts`` into ``batch``; return how it goes on where somebody is to be asked or told, else None."""
        schedule, in_flight = self.schedule, self.in_flight
        at = self.settings.clock()
        rest = iter(facts)
        for fact in rest:
            if isinstance(fact, _OUTCOMES):
                in_flight.pop(fact.step, None)
            number = schedule.number + 1
            schedule.apply(number, at, fact)
            batch.append(Logged(number, at, fact))
            if schedule.undecided:
                return self._fold_on(rest, at, batch)
        goes_on = (schedule.ready or in_flight) and not schedule.held and not schedule.unannounced
        return None if goes_on and schedule.failure is None else self._fold_on(rest, at, batch)

    def _fold_on(self, rest: Iterator[Fact], at: float, batch: list[Logged]) -> Folding:
        """Let routers choose, announce breakpoints, end the stretch: all that follows from the facts at once."""
        schedule = self.schedule
        yield from self._choose_last(at, batch)
        for fact in rest:
            self._add(fact, at, batch)
            yield from self._choose_last(at, batch)
        while schedule.unannounced:
            firing = schedule.unannounced[0]
            pause = pause_id(self.run_id, firing.id, "breakpoint", str(firing.held))
            payload = RawJson(b'{"when":"%b"}' % str(firing.held).encode())
            self._add(Paused(pause, "breakpoint", firing.path, firing.id, payload), at, batch)
        end = self.verdict() if not self.in_flight and schedule.status == "RUNNING" else None
        if self._is_ending and schedule.failure is not None:
            end = None  # a router that was cancelled for it; the end that was wanted follows
        if end is None and schedule.status == "FAILED" and batch and type(batch[-1].fact) is Answered:
            end = schedule.failure  # the answer is kept, and the last entry still tells how the run stands
        if end is not None:
            self._add(end, at, batch)

    def _add(self, fact: Fact, at: float, batch: list[Logged]) -> None:
        if isinstance(fact, _OUTCOMES):
            self.in_flight.pop(fact.step, None)
        number = self.schedule.number + 1
        self.schedule.apply(number, at, fact)
        batch.append(Logged(number, at, fact))

    def _choose_last(self, at: float, batch: list[Logged]) -> Folding:
        """Complete the newest fact with what is chosen behind it."""
        if self.schedule.undecided and self.schedule.failure is None:
            number, _, fact = batch.pop()
            fact, failed = yield from self._choosing(fact)
            batch.append(Logged(number, at, fact))
            if failed is not None:
                self._add(failed, at, batch)

    def _choosing(self, fact: Fact) -> "Generator[Awaitable[Any], Any, tuple[Fact, StepFailed | None]]":
        """Ask the routers and map edges of everything that departs; return ``fact`` with the choices."""
        schedule = self.schedule
        choices: list[Choice] = list(getattr(fact, "choices", ()))
        while schedule.undecided:
            departure, departing = next(iter(schedule.undecided.items()))
            if isinstance(departing, Firing):
                path, version = departing.path, departing.out
            else:
                path = f"{departing.path}START"
                version = departing.parent.version if departing.parent else schedule.first
            assert version is not None
            try:
                made = yield from ask_all(departing, version.values, self.shape)
            except Exception as error:  # noqa: BLE001  part of door one: a router is user code of the step that departs
                self.cause = error
                return _with(fact, tuple(choices)), failure_of(departure, path, 1, error, None)
            for choice in made:
                schedule.decide(choice)
            choices += made
        return _with(fact, tuple(choices)), None

    async def _follow(self, folding: Folding) -> None:
        """Drive a fold to its end, awaiting the async routers it meets."""
        try:
            waits = next(folding)
            while True:
                self._router = asyncio.ensure_future(waits)
                try:
                    chosen = await self._router
                except asyncio.CancelledError:
                    if not self._router.cancelled():
                        raise
                    waits = folding.throw(RouterCancelled())
                except Exception as error:  # noqa: BLE001  the router's, handed to where its result was wanted
                    waits = folding.throw(error)
                else:
                    waits = folding.send(chosen)
                finally:
                    self._router = None
        except StopIteration:
            return


class _Wanted:
    """A commit that waits for its turn."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.is_done = False
        self.error: BaseException | None = None


class TooLate(Exception):
    """What came to be recorded comes from a step whose run has ended."""


def _with(fact: Fact, choices: tuple[Choice, ...]) -> Fact:
    if not choices:
        return fact
    if isinstance(fact, RunStarted | StepFinished | Answered | Reset):
        return fact._replace(choices=choices)
    raise AssertionError(f"{fact!r} lets nothing depart")
