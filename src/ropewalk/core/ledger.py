"""Writes a run's facts down, one commit at a time: fold them, append, then tell the readers.

What the engine does between two commits (start steps, wait, stop) is in `core/engine.py`; what a fact brings with it
(choices, breakpoints, the stretch's end) in `core/folding.py`; here is what makes a commit whole: facts of one commit
stand together in the log or not at all, and nobody hears of them before.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from ropewalk.contracts import RunStore
from ropewalk.core.drive import Settings, watched
from ropewalk.core.facts import Fact, RunStopped, StateEdited, StepRecorded, encode, node_of, type_of
from ropewalk.core.feed import Feed, Logged
from ropewalk.core.folding import OUTCOMES, Fold, Folding
from ropewalk.core.raised import task_of
from ropewalk.core.schedule import Schedule
from ropewalk.core.snapshot import dump_snapshot
from ropewalk.errors import RouterCancelled, RunFinished, RunInterrupted, StoreUnavailable

log = logging.getLogger("ropewalk")

Facts = Sequence[Fact] | Callable[[], Sequence[Fact]]

KEPT_WITHOUT_STORE = 10_000
"""Entries that a run without a store keeps."""
KEPT_WITH_STORE = 1_024
_SNAPSHOT_BYTES = 256 * 1024


class Ledger(Fold):
    """The log of one run as its owner writes it, with the fold of what is written."""

    def __init__(
        self, schedule: Schedule, *, store: RunStore | None, epoch: int, settings: Settings, feed: Feed | None = None
    ) -> None:
        super().__init__(schedule)
        self.epoch = epoch
        self.settings = settings
        self.feed = feed or Feed(KEPT_WITH_STORE if store else KEPT_WITHOUT_STORE, schedule.number)
        self.lost: BaseException | None = None
        """Why this process may not or could not go on: the run was taken, the store failed, the driver was stopped."""
        self.is_ahead = False
        """True while the fold holds what the store may not have: an append is under way or has failed."""
        self.store = store
        self._lock = asyncio.Lock()
        self._router: asyncio.Future[Any] | None = None
        """The async router that a commit waits for."""
        self._waiting: list[_Wanted] = []
        """Commits that wait for the one under way."""
        self._grown = 0
        """Bytes appended since the last snapshot."""
        self._snapshot_at = _SNAPSHOT_BYTES
        self._committing: set[asyncio.Task[None]] = set()

    def set_timeout(self, timeout: float | None) -> None:
        if timeout is not None:
            self.settings = replace(self.settings, timeout=timeout)

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
        if self.store is not None:
            return self._in_turn(_Wanted(facts)) if callable(facts) else self._alone(self.store, facts)
        batch: list[Logged] = []
        rest = self.fold(facts() if callable(facts) else facts, self.settings.clock(), batch)
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
            rest = self.fold(facts, self.settings.clock(), batch)
            if rest is not None:
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
            self.is_ahead = self.store is not None
            for wanted in group:
                facts = self._taken(wanted)
                if facts is not None and (rest := self.fold(facts, self.settings.clock(), batch)) is not None:
                    await self._follow(rest)
            if self.store is not None and batch:
                await self._append(self.store, batch)
                if self._grown > self._snapshot_at:
                    await self._snapshot(self.store)
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
        if self._waits_for_nothing(facts):  # so there is no meanwhile
            await self.commit(facts)
            return
        task = asyncio.create_task(self.commit(facts))
        self._committing.add(task)
        task.add_done_callback(self._committed)
        await asyncio.shield(task)

    def _waits_for_nothing(self, facts: Facts) -> bool:
        """Tell whether a commit neither asks a router nor waits for a store or for another commit."""
        if self.store is not None or self._lock.locked() or self._waiting or callable(facts):
            return False
        return all(type(fact) is StepRecorded for fact in facts)

    def _committed(self, task: "asyncio.Task[None]") -> None:
        self._committing.discard(task)
        if not task.cancelled():
            task.exception()  # the caller, if it is still there, has it from the shield

    async def admit(self, admit: Callable[[list[bytes], str], Any], facts: Sequence[Fact]) -> None:
        """Commit the first facts by ``admit``, which hands the bodies to the store's `create`."""
        batch: list[Logged] = []
        self.is_ahead = self.store is not None
        try:
            rest = self.fold(facts, self.settings.clock(), batch)
            if rest is not None:
                await self._follow(rest)
            if self.store is not None:
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
        if facts and all(isinstance(fact, StepRecorded) for fact in facts):
            raise TooLate
        for fact in facts:
            if status in ("DONE", "CANCELLED") and isinstance(fact, RunStopped | StateEdited):
                what = "ending it" if isinstance(fact, RunStopped) else "editing its state"
                raise RunFinished(self.run_id, status, what)
        allowed = [fact for fact in facts if not isinstance(fact, (*OUTCOMES, StepRecorded))]
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

    async def _follow(self, folding: Folding) -> None:
        """Drive a fold to its end, awaiting the async routers it meets."""
        try:
            waits = next(folding)
            while True:
                self._router = task_of(waits)
                try:
                    chosen = await self._router
                except asyncio.CancelledError:
                    if not self._router.cancelled():
                        raise
                    waits = folding.throw(RouterCancelled())
                except (KeyboardInterrupt, GeneratorExit):
                    raise
                except BaseException as error:  # noqa: BLE001  the router's, handed to where its result was wanted
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
