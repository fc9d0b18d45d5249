"""All runs of one compiled graph: starts them, reads them back from the store, takes them over, forks them.

It is one file because each of these is a few lines around the same fold.
"""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from ropewalk.codec import legible
from ropewalk.contracts import QueuedRun, QueuesRuns, RunQueue, RunRecord, RunStore, TellsOfRuns
from ropewalk.core.admitting import Admitting
from ropewalk.core.drive import Settings
from ropewalk.core.engine import Engine
from ropewalk.core.facts import RunStopped, StateEdited, decode, encode, read_entry
from ropewalk.core.feed import Feed, Logged
from ropewalk.core.ledger import KEPT_WITH_STORE, KEPT_WITHOUT_STORE
from ropewalk.core.lookout import Lookout
from ropewalk.core.offers import show_all, showing
from ropewalk.core.origin import NO_ORIGIN, Origin
from ropewalk.core.plan import Plan
from ropewalk.core.resuming import reset_of
from ropewalk.core.run import Run
from ropewalk.core.schedule import Misfit, Schedule
from ropewalk.core.snapshot import load_snapshot
from ropewalk.core.state import Shape, Values
from ropewalk.errors import (
    EntryNotFound,
    GraphChanged,
    QueueMissing,
    RunExists,
    RunFinished,
    RunNotFound,
    RunTaken,
    StoreCorrupt,
)
from ropewalk.events import Entry
from ropewalk.ids import checked_run_id, new_run_id

T = TypeVar("T")
_PAGE = 2_000
_SHORT = 4
"""So many entries are folded sooner than the store is asked whether it has a snapshot of them."""


class Desk:
    """Where the runs of one plan are kept."""

    def __init__(
        self,
        plan: Plan,
        shape: Shape,
        store: RunStore | None,
        settings: Settings,
        *,
        max_iterations: int,
        mirrored: Callable[[Run[Any]], BaseModel | None],
    ) -> None:
        self.plan = plan
        self.shape = shape
        self.store = store
        self.settings = settings
        self.max_iterations = max_iterations
        self.shows = showing(plan)
        """Functions of nodes that have something to show of what is not finished."""
        self._mirrored = mirrored
        self._runs: weakref.WeakValueDictionary[str, Run[Any]] = weakref.WeakValueDictionary()
        self._held: dict[asyncio.Task[None], Run[Any]] = {}
        self._lookout = Lookout()
        self._admitting = Admitting(self)
        self.when_lost: Callable[[Run[Any], BaseException], None] | None = None
        """Told of runs that this process drove and could not go on with."""

    # -- starting -----------------------------------------------------------------------------------------------------

    def start(
        self, state: BaseModel | None, run_id: str | None, settings: Settings, origin: Origin = NO_ORIGIN
    ) -> Run[Any]:
        """Begin a run; must be called inside a running loop."""
        return self._admitting.begin(state, run_id, settings, origin)

    async def admit(
        self, state: BaseModel | None, run_id: str | None, settings: Settings, origin: Origin = NO_ORIGIN
    ) -> Run[Any]:
        """Begin a run and return it when it is durable."""
        return await self._admitting.admit(state, run_id, settings, origin)

    async def submit(self, state: BaseModel | None, run_id: str | None, origin: Origin = NO_ORIGIN) -> Run[Any]:
        """Admit a run and leave it for a worker. Raises `QueueMissing`."""
        queue = self.queue()
        if queue is None:
            raise QueueMissing(self.plan.name, None if self.store is None else type(self.store).__name__)
        run = self._admitting.begin(state, run_id, self.settings, origin, create=queue.submit)
        await run.admitted()
        return run

    def keep(self, run: Run[Any]) -> None:
        """Know of a new run. Raises `RunExists` when one with its id is known already."""
        if run.run_id in self._runs:
            raise RunExists(run.run_id)
        self._runs[run.run_id] = run

    def drive(self, run: Run[Any], engine: Engine) -> None:
        """Drive a run here, and keep it alive meanwhile, whether or not its user holds it."""
        driver = engine.drive()
        if driver not in self._held:
            self._runs[run.run_id] = run
            self._held[driver] = run
            driver.add_done_callback(self._let_go)
            if self.store is not None:
                self._lookout.watch(engine, driver)

    def _let_go(self, driver: "asyncio.Task[None]") -> None:
        run = self._held.pop(driver, None)
        self._lookout.forget(driver)
        if not driver.cancelled():
            driver.exception()
        if run is not None and run.lost is not None and self.when_lost is not None:
            self.when_lost(run, run.lost)

    # -- reading ------------------------------------------------------------------------------------------------------

    def open(self, run_id: str) -> Run[Any]:
        """Return the run as its store has it now; raises `RunNotFound`."""
        checked_run_id(run_id)
        run, store = self._runs.get(run_id), self.store
        if run is not None and (store is None or run.is_under_way):
            return run
        if store is None:
            raise RunNotFound(run_id)
        record = blocking(lambda: store.look(run_id))
        if run is None:
            run = self._runs[run_id] = Run(run_id, self)
        run.refresh(record)
        return run

    def at_hand(self, run_id: str) -> Run[Any]:
        """Return the run, for a caller who knows that the store has it."""
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = Run(checked_run_id(run_id), self)
        return run

    def known(self, run_id: str) -> Run[Any] | None:
        """Return the run if this process has it in hand, or is just admitting it."""
        return self._runs.get(run_id)

    def forget(self, run_id: str) -> None:
        """Know nothing of the run any more: it was deleted, or is another's now."""
        self._runs.pop(run_id, None)

    @property
    def driving(self) -> int:
        """How many runs this process drives at the moment."""
        return len(self._held)

    @property
    def driven(self) -> list[Run[Any]]:
        """Every run that this process drives at the moment."""
        return [*self._held.values()]

    async def note_of(self, record: RunRecord) -> Mapping[str, Any] | None:
        """Return the note with which the run was admitted, by one read; None when it has none."""
        entries = await self._store_of(record.run_id).read(record.run_id, after=record.fork_at, limit=1)
        return read_entry(*entries[0]).data.get("note") if entries else None

    async def load(self, run_id: str) -> Engine:
        """Return a fold of what the store has; it may look but not write."""
        store = self._store_of(run_id)
        return await self.fold(await store.look(run_id))

    async def catch_up(self, engine: Engine, until: Callable[[int], int]) -> None:
        """Fold what another owner has appended since: up to ``until``, which is told the newest entry."""
        record = await self._store_of(engine.run_id).look(engine.run_id)
        await self._caught_up(engine, until(record.last))

    async def overtaken(self, engine: Engine) -> bool:
        """Tell whether another process has taken the run, whose owner here is at rest; if so, fold what it appended."""
        record = await self._store_of(engine.run_id).look(engine.run_id)
        if record.epoch == engine.epoch or engine.driving or not engine.at_rest or engine.is_ahead:
            return False
        await self._caught_up(engine, record.last)
        return True

    async def _caught_up(self, engine: Engine, until: int) -> None:
        if until <= engine.schedule.number:
            return
        told: list[Logged] = []
        try:
            await self._replayed(engine.run_id, engine.schedule, until, told)
        finally:
            if told:
                engine.feed.say(told)

    def load_now(self, run_id: str) -> Engine:
        """Do what `load` does, for a caller that cannot await."""
        return blocking(lambda: self.load(run_id))

    def now(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work``, which only reads, for a caller that cannot await."""
        return blocking(work)

    def unbegun(self, run_id: str) -> Engine:
        """Return the fold of no entries."""
        return Engine(self.schedule(run_id), store=self.store, epoch=1, settings=self.settings)

    async def state_at(self, run: Run[Any], number: int | None) -> tuple[int, Values]:
        """Return the state as it was after entry ``number`` (None: the newest), with that number. Raises
        `EntryNotFound`.
        """
        schedule = self.schedule(run.run_id)
        if self.store is None:
            await self._fold_until(run, schedule, number)
            return schedule.number, schedule.union()
        last = (await self.store.look(run.run_id)).last
        if number is not None and not 1 <= number <= last:
            raise EntryNotFound(run.run_id, number, 1, last)
        return number or last, (await self._folded(run.run_id, number or last)).union()

    def state_at_now(self, run: Run[Any], number: int) -> Values:
        """Return the state as it was after entry ``number``. Raises `EntryNotFound`."""
        schedule = self.schedule(run.run_id)
        blocking(lambda: self._fold_until(run, schedule, number))
        return schedule.union()

    async def claim(self, run_id: str) -> Engine:
        """Become the run's owner and return its fold."""
        engine = await self.load(run_id)  # what does not fit this graph is found before the run is taken from anybody
        record = await self._store_of(run_id).claim(run_id)
        if record.last > engine.schedule.number:
            await self._replayed(run_id, engine.schedule, record.last)
            engine.feed.restart(record.last)
        engine.epoch = record.epoch
        return engine

    async def fold(self, record: RunRecord, entries: Sequence[tuple[int, bytes]] | None = None) -> Engine:
        """Return the run's fold as ``record`` has it; whoever owns that epoch may write with it.

        ``entries`` are all of its log, for those who have it at hand: its readers find it in the feed. Raises
        `GraphChanged` when its log tells of what this graph does not have.
        """
        if entries is None:
            schedule = await self._folded(record.run_id, record.last)
            feed = Feed(KEPT_WITH_STORE, schedule.number)
        else:
            schedule, feed = self.schedule(record.run_id), Feed(KEPT_WITH_STORE)
            feed.log = [_entry_of(record.run_id, *entry) for entry in entries]
            feed.say([self._take(schedule, record.run_id, entry) for entry in feed.log])
            schedule.ready = schedule.pending()
        return Engine(schedule, store=self.store, epoch=record.epoch, settings=self.settings, feed=feed)

    async def _folded(self, run_id: str, until: int) -> Schedule:
        """Return the fold of entries 1..until: from the newest snapshot on, where there is one."""
        schedule = self.schedule(run_id)
        kept = await self._store_of(run_id).snapshot(run_id, at=until) if until > _SHORT else None
        if kept is not None and not _loaded(schedule, kept[1]):
            schedule = self.schedule(run_id)
        return await self._replayed(run_id, schedule, until)

    async def _replayed(
        self, run_id: str, schedule: Schedule, until: int, told: list[Logged] | None = None
    ) -> Schedule:
        """Fold what is in the log up to ``until``, and add it to ``told``."""
        store = self._store_of(run_id)
        while schedule.number < until:
            limit = min(_PAGE, until - schedule.number)
            page = await store.read(run_id, after=schedule.number, limit=limit)
            if not page:
                raise StoreCorrupt(
                    f"The log of run {run_id!r} ends at entry {schedule.number} of {until}. Restore a backup."
                )
            for number, body in page:
                logged = self._take(schedule, run_id, _entry_of(run_id, number, body))
                if told is not None:
                    told.append(logged)
        schedule.ready = schedule.pending()  # not what became ready, and finished, on the way
        return schedule

    def _take(self, schedule: Schedule, run_id: str, entry: Entry) -> Logged:
        number = entry.number
        try:
            fact = decode(entry, self.shape)
        except KeyError as error:
            raise GraphChanged(run_id, "the field", str(error.args[0]), self.shape.fields) from error
        except (ValueError, TypeError) as error:
            raise GraphChanged(run_id, f"a value in entry {number} of another type:", str(error), ()) from error
        try:
            schedule.apply(number, entry.at, fact)
        except Misfit as misfit:
            nodes = node_paths(self.plan)
            if misfit.what == "the step" and entry.node is not None and entry.node not in nodes:
                raise GraphChanged(run_id, "the node", entry.node, nodes) from misfit
            if misfit.what == "the step" and entry.node is not None:
                what = f"step {misfit.name} of the node"
                raise GraphChanged(
                    run_id, what, entry.node, [step.path for step in schedule.steps.values()]
                ) from misfit
            raise GraphChanged(run_id, misfit.what, misfit.name, misfit.known) from misfit
        return Logged(number, entry.at, fact)

    def schedule(self, run_id: str) -> Schedule:
        """Return the fold of no entries, without an engine."""
        return Schedule(self.plan, self.shape, run_id, max_iterations=self.max_iterations)

    def _store_of(self, run_id: str) -> RunStore:
        if self.store is None:
            raise RunNotFound(run_id)
        return self.store

    # -- workers ------------------------------------------------------------------------------------------------------

    async def queued(self, run_id: str) -> QueuedRun | None:
        """Return where the run stands in its store's queue; None for one that was not left to workers."""
        queue = self.queue()
        return await queue.queued(run_id) if isinstance(queue, TellsOfRuns) else None

    def queue(self) -> RunQueue | None:
        """Return where runs are left to workers; None for a store that has no such place."""
        return self.store.queue() if isinstance(self.store, QueuesRuns) else None

    async def set_aside(self, record: RunRecord, code: str, message: str) -> None:
        """Let a run fail that cannot be driven here: the end is appended without a fold, by the epoch's owner."""
        at = self.settings.clock()
        body = encode(RunStopped("run_failed", code, message=legible(message)), at)
        await self._store_of(record.run_id).append(
            record.run_id, epoch=record.epoch, after=record.last, bodies=[body], status="FAILED", at=at
        )

    async def conclude(self, record: RunRecord, updates: Mapping[str, Any], *, by: str | None) -> RunRecord:
        """End a RUNNING or PAUSED run, that stands as ``record`` says, as DONE with what somebody else has made of it:
        ``updates``, through the fields' buffers, and the end are one append, of a new owner. Return the record then.

        Raises `RunTaken` when the run has moved since, `RunFinished`, and what an edit raises for ``updates``.
        """
        run_id, store = record.run_id, self._store_of(record.run_id)
        writes = self.shape.returned(updates, "The conclusion")
        if record.status not in ("RUNNING", "PAUSED"):
            raise RunFinished(run_id, record.status, "concluding it")
        if await store.look(run_id) != record:  # found out before the run is taken from anybody
            raise RunTaken(run_id)
        owned = await store.claim(run_id)
        if owned.last != record.last:  # of those who conclude it at the same time, the last to claim it does
            await self._hand_on(owned)
            raise RunTaken(run_id)
        at = self.settings.clock()
        facts = (StateEdited(writes, by and legible(by)), RunStopped("run_done"))
        bodies = [encode(fact, at) for fact in facts]
        await store.append(run_id, epoch=owned.epoch, after=owned.last, bodies=bodies, status="DONE", at=at)
        return replace(owned, last=owned.last + len(facts), status="DONE", updated=at)

    async def _hand_on(self, owned: RunRecord) -> None:
        """Give a run back that was taken from its owner for nothing."""
        if owned.status == "RUNNING":
            engine = await self.fold(owned)
            with contextlib.suppress(RunTaken):
                await engine.commit_whole(reset_of(engine.schedule, owned.epoch, reason="interrupted", explicit=False))

    # -- forking ------------------------------------------------------------------------------------------------------

    async def fork(
        self, run: Run[Any], at: int | None, edits: Sequence[StateEdited] = (), origin: Origin = NO_ORIGIN
    ) -> Run[Any]:
        """Start a run that shares the entries 1..at with ``run``; ``edits`` are its next ones."""
        new_id = new_run_id()
        schedule = self.schedule(new_id)
        feed = await self._fold_until(run, schedule, at)
        at = schedule.number
        fork = self._admitting.fork(run.run_id, schedule, feed, edits, origin)
        await fork.admitted()
        return fork

    async def _fold_until(self, run: Run[Any], schedule: Schedule, at: int | None) -> Feed | None:
        """Fold the entries 1..at of ``run`` into ``schedule``; without a store, also return a feed that holds them.

        No snapshot helps here: what folds is not the run itself, and its pauses have other ids.
        """
        if self.store is None:
            kept = (await run.read()).feed.kept()
            first, last = kept[0].number, kept[-1].number
        else:
            kept, first, last = [], 1, (await self.store.look(run.run_id)).last
        at = last if at is None else at
        if first != 1 or not 1 <= at <= last:
            raise EntryNotFound(run.run_id, at, first, last)
        if self.store is not None:
            await self._replayed(run.run_id, schedule, at)
            return None
        feed = Feed(KEPT_WITHOUT_STORE)
        feed.say(kept[:at])
        for number, moment, fact in kept[:at]:
            schedule.apply(number, moment, fact)
        return feed

    def mirror(self, run: Run[Any], engine: Engine) -> None:
        """Make the user's own state object show where the run stands."""
        state = self._mirrored(run)
        if state is not None:
            self.shape.mirror(engine.schedule.union(), state)
            show_all(self.shows, state, engine.schedule)


def _entry_of(run_id: str, number: int, body: bytes) -> Entry:
    try:
        return read_entry(number, body)
    except ValueError as error:
        raise StoreCorrupt(
            f"Entry {number} of run {run_id!r} cannot be read ({error}). Restore a backup, or fork the run before it."
        ) from error


def _loaded(schedule: Schedule, body: bytes) -> bool:
    """Try to go on from a snapshot; what it cannot give, the log will."""
    try:
        return load_snapshot(schedule, body)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        return False


def blocking(work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine to its end from code that cannot await, in a loop and thread of its own."""
    results: list[T] = []
    errors: list[BaseException] = []

    async def main() -> None:
        results.append(await work())

    def body() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  carried over to the calling thread
            errors.append(error)

    thread = threading.Thread(target=body, name="ropewalk-blocking", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def node_paths(plan: Plan, prefix: str = "") -> list[str]:
    """Return the path of every node, those of subgraphs included."""
    paths: list[str] = []
    for place in plan.places[1:-1]:
        paths.append(prefix + place.node)
        if place.plan is not None:
            paths += node_paths(place.plan, f"{prefix}{place.node}/")
    return list(dict.fromkeys(paths))
