"""A run as its user holds it: look, wait, follow, answer, resume, cancel, fork.

It is one file because it is one class, the public one: its methods are short, most of what they say is their docstring.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping
from dataclasses import fields
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ropewalk.codec import legible
from ropewalk.contracts import RunRecord
from ropewalk.core.arguments import check
from ropewalk.core.engine import Engine
from ropewalk.core.facts import Fact, RunStarted, RunStopped, StateEdited, read_entry
from ropewalk.core.feed import Feed
from ropewalk.core.looking import Looking
from ropewalk.core.origin import NO_ORIGIN, Origin
from ropewalk.core.picture import Form, Picture
from ropewalk.core.resuming import answer_of, check_open, reset_of, resumption_of
from ropewalk.core.said import Said
from ropewalk.core.standing import Pause, RunStatus, Standing, end_of, mirror, pauses_of, standing_of, state_of
from ropewalk.errors import (
    RopewalkError,
    RunFinished,
    RunInterrupted,
    RunPaused,
    RunTaken,
)
from ropewalk.events import Entry, Event, parse_event_id

if TYPE_CHECKING:
    from ropewalk.contracts.model import Usage
    from ropewalk.core.desk import Desk

S = TypeVar("S")

_LETS_OTHERS_FINISH_SECONDS = 3.0
_LETS_A_WORKER_COME_SECONDS = 0.5
_LOOKS_AT_OTHERS_SECONDS = 0.05
_TRIES = 20
"""How often a write to a run that workers drive is tried: one may take the run each time it was to be written to."""
_PAUSE_SECONDS = 0.002
"""After the first try; each further pause is longer by as much."""
_PAGE = 500
_TEXT_OR_NONE = (str, NoneType)


class Run(Generic[S]):
    """One execution of a graph. Made by `Graph.start` and `Graph.open`.

    ``await run`` gives the final state, or raises `RunPaused`, `RunFailed`, `RunCancelled`, and `RunTaken` when another
    process took the run over.
    """

    def __init__(
        self, run_id: str, desk: "Desk", engine: Engine | None = None, *, for_workers: bool | None = None
    ) -> None:
        self.run_id = run_id
        self._desk = desk
        self._engine = engine
        self._owned = engine is not None and not for_workers
        """This process is, or was, the run's owner: its fold is the truth."""
        self._for_workers = for_workers
        """It was left to workers: it is written to here, and never driven. None: not asked yet."""
        self._before: list[Fact] = []
        """Facts that must stand before the next ones that are written, in the same append."""
        self._admission: asyncio.Task[None] | None = None
        self._queued: list[StateEdited] = []
        self._committing: asyncio.Task[None] | None = None
        """Under way with what was queued while the run is driven here."""
        self._limits: tuple[float | None, int | None] = (None, None)
        self._owning = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._looking = Looking()

    def __repr__(self) -> str:
        return f"<Run {self.run_id} {self._engine.schedule.status if self._engine else 'not read yet'}>"

    @property
    def lost(self) -> BaseException | None:
        """Why this handle may not or could not go on: the run was taken, the store failed."""
        return self._engine.lost if self._engine is not None and not self._engine.driving else None

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def status(self) -> RunStatus:
        """Where the run stands, as far as this process has read its log."""
        return RunStatus(self._read_now().schedule.status)

    @property
    def state(self) -> S:
        """The fold of everything committed, as an instance of the state class."""
        return state_of(self._read_now().schedule, self._queued, self._desk.shows)

    @property
    def pauses(self) -> list[Pause]:
        """Every open question and breakpoint, oldest first."""
        return pauses_of(self._read_now().schedule)

    @property
    def usage(self) -> "Usage":
        """What all models that the run has asked so far have used."""
        from ropewalk.contracts.model import Usage  # noqa: PLC0415  most runs ask no model

        used, known = self._read_now().schedule.usage, {field.name for field in fields(Usage)}
        return Usage(**{name: cast("Any", amount) for name, amount in used.items() if name in known})

    @property
    def error(self) -> Exception | None:
        """What ended the run, when it failed or was cancelled."""
        if self._engine is not None and isinstance(self._engine.lost, Exception):
            return self._engine.lost
        engine = self._read_now()
        return end_of(engine.schedule, engine.cause)

    async def look(self) -> Standing:
        """Return where the run stands in its log now, all of one moment; it waits for the store where the properties
        would block.
        """
        await self._settled()
        await self._caught_up()
        engine = await self.read()
        if engine.is_ahead and self._desk.store is not None:
            engine = await self._desk.load(self.run_id)
        return standing_of(engine.schedule, self._desk.shows)

    async def history(self) -> list[Entry]:
        """Return the log, oldest entry first. Without a store only the newest ten thousand are kept."""
        await self._settled()
        store = self._desk.store
        if store is None:
            return [logged.to_entry() for logged in self._read_now().feed.kept()]
        return [read_entry(number, body) for number, body in await store.read(self.run_id)]

    async def note(self) -> Mapping[str, Any] | None:
        """Return what the door that admitted the run left for itself; None when it left nothing."""
        await self._settled()
        store = self._desk.store
        if store is not None:
            return await self._desk.note_of(await store.look(self.run_id))
        started = [logged.fact for logged in self._read_now().feed.kept() if isinstance(logged.fact, RunStarted)]
        return started[-1].note if started else None

    async def picture(self, format: Form = "svg") -> str:
        """Return the graph's picture with what the run did, as text: which nodes ran, run, wait or failed, how often,
        and the ways it took.

        ``format`` is svg, mermaid or dot. Without a store only the newest ten thousand entries count.
        """
        await self._settled()
        return (await self._drawn()).form(format)

    async def _drawn(self) -> Picture:
        store, plan = self._desk.store, self._desk.plan
        if store is None:
            engine = self._read_now()
            entries = [logged.to_entry() for logged in engine.feed.kept()]
        else:  # one reading of the log, whatever is committed meanwhile
            engine = await self._desk.load(self.run_id)
            log = await store.read(self.run_id, limit=engine.schedule.number)
            entries = [read_entry(number, body) for number, body in log]
        unfinished = {step.id: step.status for step in engine.schedule.steps.values()}
        return Picture.of_run(plan, entries, unfinished, engine.schedule.status)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return what a notebook shows: the run as it stands; until it is admitted, its graph."""
        picture = Picture(self._desk.plan) if self._is_being_admitted else self._desk.now(self._drawn)
        return {**picture.mimebundle(), "text/plain": repr(self)}

    # -- waiting ------------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, S]:
        return self._result().__await__()

    async def admitted(self) -> None:
        """Return when the run and its input are durable. Raises `RunExists`, `StoreUnavailable`, and what is wrong with
        the input.
        """
        if self._admission is not None:
            await asyncio.shield(self._admission)

    async def wait(self) -> RunStatus:
        """Return the status when the run stops for any reason: it ended, it is paused, or it failed."""
        await self._settled()
        await self._caught_up()
        while True:
            engine = await self.read()
            if engine.driving:
                await engine.rests()
            elif engine.lost is not None:
                await self._raise_unless_cancelled(engine.lost)
            elif engine.schedule.status not in ("RUNNING", "IDLE"):
                break
            elif self._owned:  # a call that took it over may not have come to drive it yet
                async with self._owning:
                    if engine is self._engine and engine.lost is None:
                        self._go(engine)
            else:  # another process drives it
                await self._look_again(engine)
        await engine.settled()
        await self._settled()
        self._desk.mirror(self, engine)
        return RunStatus(engine.schedule.status)

    async def _result(self) -> S:
        status = await self.wait()
        if status is RunStatus.PAUSED:
            raise RunPaused(self.run_id, self.pauses)
        error = self.error
        if error is not None:
            raise error
        if status is not RunStatus.DONE:
            raise RunInterrupted(self.run_id)
        return self.state

    async def events(self, after: str | int | None = None) -> AsyncIterator[Event]:
        """Yield everything behind ``after`` (an event's id; None: from the beginning), then what happens, as it
        happens.

        Ends behind the last event of a stretch: ``run_done``, ``run_failed``, ``run_cancelled``, or ``run_paused``
        while the run is paused. Nothing is left out or repeated for a reader who comes back with the last id it saw.
        """
        async with contextlib.aclosing(self.batches(after)) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    async def batches(self, after: str | int | None = None) -> AsyncGenerator[list[Event]]:
        """Yield what `events` yields, as lists: each is all there was when the reader came to ask for more."""
        cursor = parse_event_id(after)
        await self.admitted()
        await self._caught_up(in_order=True)
        engine = await self.read()
        feed = engine.feed
        feed.join()
        try:
            while True:
                engine = await self.read()
                if engine.feed is not feed:
                    feed.leave()
                    feed = engine.feed
                    feed.join()
                news = await self._behind(feed, cursor)
                if news:
                    cursor = parse_event_id(news[-1].id)
                    yield news
                    continue
                if not engine.driving:
                    if engine.lost is not None:
                        await self._raise_unless_cancelled(engine.lost)
                        continue
                    if engine.schedule.status not in ("RUNNING", "IDLE"):
                        return
                await self._news(engine)
        finally:
            feed.leave()

    async def _behind(self, feed: Feed, cursor: tuple[int, int]) -> list[Event]:
        """Return what comes behind ``cursor``: from the store as long as the reader is further back than the feed."""
        if not feed.holds(cursor[0]):
            stored = await self._stored_events(cursor[0])
            if stored:
                return feed.among(stored, cursor)
        return feed.collect(cursor)

    async def _news(self, engine: Engine) -> None:
        if self._owned:
            await engine.feed.changed(1.0)
        else:
            await self._look_again(engine)

    async def _look_again(self, engine: Engine) -> None:
        """Wait a moment, or for what the driving process says; fold what it has appended when that is due."""
        seconds = self._due_in(engine)
        if seconds:
            await engine.feed.changed(seconds)
        if engine is self._engine and not self._due_in(engine):
            await self._caught_up(if_due=True, in_order=True)

    def _due_in(self, engine: Engine) -> float:
        announced, known = engine.feed.announced, engine.schedule.number
        return self._looking.due_in(time.monotonic(), announced=announced, known=known)

    async def _caught_up(self, *, if_due: bool = False, in_order: bool = False) -> None:
        """Fold what others have appended, where this process does not drive the run.

        With ``if_due`` not what another reader has just folded; with ``in_order`` only as far as readers may be told,
        who shall hear first what was said before.
        """
        async with self._reading:  # several readers must not fold the same entry
            engine = self._engine
            if engine is None or (self._owned and not self._may_be_overtaken(engine)):
                return
            if self._owned:
                self._owned = not await self._desk.overtaken(engine)
            elif not if_due or not self._due_in(engine):
                await self._desk.catch_up(engine, lambda last: self._until(engine, last, in_order=in_order))

    def _until(self, engine: Engine, last: int, *, in_order: bool) -> int:
        now, known = time.monotonic(), engine.schedule.number
        if in_order and engine.schedule.status == "RUNNING":
            return self._looking.until(now, last, announced=engine.feed.announced, known=known)
        self._looking.looked(now, grew=last > known)
        return last

    def overhear(self, said: Iterable[Said]) -> None:
        """Take in what the process that drives the run says to its readers; it counts for nothing where that is this
        one.
        """
        if self._engine is not None and not self._owned:
            self._engine.feed.overhear(said)

    async def is_driven_elsewhere(self) -> bool:
        """Tell whether it is RUNNING now and not driven here, so that there may be something to `overhear`."""
        await self.admitted()
        await self._caught_up()
        return (await self.read()).schedule.status == "RUNNING" and not self._owned

    def _may_be_overtaken(self, engine: Engine) -> bool:
        """Tell whether another process may have moved the run on since this one has laid it down."""
        if self._desk.store is None or self._is_being_admitted or engine.lost is not None or engine.driving:
            return False
        return engine.schedule.status in ("PAUSED", "FAILED", "RUNNING") and engine.at_rest

    async def _raise_unless_cancelled(self, loss: BaseException) -> None:
        """Raise why this process lost the run; go on as its reader where the run was taken to be cancelled."""
        store = self._desk.store
        if store is None or not isinstance(loss, RunTaken):
            raise loss
        if (await store.look(self.run_id)).status != "CANCELLED":
            raise loss
        self._read_afresh()

    def _read_afresh(self) -> None:
        self._engine, self._owned = None, False

    @property
    def is_under_way(self) -> bool:
        """True while it is being admitted, or driven here."""
        engine = self._engine
        return self._is_being_admitted or (engine is not None and (engine.driving or not engine.at_rest))

    def refresh(self, record: RunRecord) -> None:
        """Forget a fold that ``record`` shows to be old, where nothing is under way here."""
        engine = self._engine
        if engine is None or self.is_under_way:
            return
        if isinstance(engine.lost, RunTaken) or (record.epoch, record.last) != (engine.epoch, engine.schedule.number):
            self._read_afresh()

    async def _stored_events(self, after: int) -> list[Event]:
        store = self._desk.store
        if store is None:
            return []
        entries = [read_entry(number, body) for number, body in await store.read(self.run_id, after=after, limit=_PAGE)]
        return [Event(id=str(entry.number), type=entry.type, node=entry.node, data=entry.data) for entry in entries]

    # -- acting -------------------------------------------------------------------------------------------------------

    async def is_for_workers(self) -> bool:
        """Tell whether the run was left to workers, by `Graph.submit`: what is written here is carried on by them."""
        if self._for_workers is None:
            self._for_workers = await self._desk.queued(self.run_id) is not None
        return self._for_workers

    async def answer(self, pause_id: str | Pause, value: Any = None, *, by: str | None = None) -> None:
        """Answer one pause, by its id or itself, and drive the run on, unless it was left to workers; returns when the
        answer is durable.

        Raises `PauseNotFound`, `AlreadyAnswered` (which names who was first), `PauseExpired`, `RunTaken`, and
        `AnswerInvalid` for an approval's answer that cannot be read.
        """
        pause = pause_id.id if isinstance(pause_id, Pause) else pause_id
        check("by", by, _TEXT_OR_NONE, "text, or None")
        await self._settled()

        async def answer() -> None:
            engine = await self._own(explicit=False, pause_id=pause)

            def answered() -> list[Fact]:
                check_open(engine.schedule, pause)
                return [answer_of(engine.schedule, pause, value, by, engine.settings.clock())]

            await self._write(engine, answered)

        await self._tried(answer)

    async def resume(self) -> RunStatus:
        """Release every breakpoint, retry what failed, settle questions that have expired, take over what its owner
        left behind; drive on until the run stops again.

        Returns the status then. Does nothing to a run that is done, or that workers have. Raises `RunFinished` for a
        cancelled one.
        """
        await self.go_on()
        return await self.wait()

    async def go_on(self) -> None:
        """Do what `resume` does, and return when that is durable and the run is on its way."""
        await self._settled()
        engine = self._engine
        if (engine is None or not engine.driving) and not await self._is_with_workers():
            await self._tried(self._resume)

    async def _resume(self) -> None:
        engine = await self._own(explicit=True, limits=self._limits)
        given, otherwise = self._limits[1], self._desk.max_iterations

        def resumed() -> list[Fact]:
            now = engine.settings.clock()
            return resumption_of(engine.schedule, engine.epoch, now, given=given, otherwise=otherwise)

        await self._write(engine, resumed)

    async def take_over(self) -> None:
        """Drive on a run whose owner is gone; return when it is on its way.

        Unlike `resume` it counts as a death of what was in flight, unless the owner had handed it over.
        """
        await self._settled()

        async def take() -> None:
            engine = await self._own(explicit=False, reset=not await self._was_handed_over())
            await self._write(engine, list)

        await self._tried(take)

    async def set_off(self) -> None:
        """Drive a run that was admitted and had to wait for another one; nothing of it has begun, so nothing died."""
        await self._settled()

        async def set_off() -> None:
            await self._write(await self._own(explicit=False, reset=False), list)

        await self._tried(set_off)

    async def _was_handed_over(self) -> bool:
        newest = [entry async for entry in self._newest_entries(1)]
        return bool(newest) and newest[-1].type == "reset" and newest[-1].data.get("reason") == "interrupted"

    async def _newest_entries(self, count: int) -> AsyncIterator[Entry]:
        store = self._desk.store
        if store is not None:
            last = (await store.look(self.run_id)).last
            for number, body in await store.read(self.run_id, after=max(0, last - count)):
                yield read_entry(number, body)

    async def hand_over(self, *, grace_seconds: float) -> None:
        """Stop driving the run, and say so in the log: whoever goes on with it counts no death.

        What is in flight has ``grace_seconds`` to end; then it is cancelled, to be done again.
        """
        engine = self._engine
        if engine is None or not self._owned or not engine.driving:
            return
        engine.wind_down()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await engine.rests()
        await engine.stop_driving()
        if engine.schedule.status != "RUNNING":
            return
        fresh = await self._desk.load(self.run_id)  # the engine may have lost its place when it was stopped
        if fresh.epoch == engine.epoch and fresh.schedule.status == "RUNNING":
            facts = reset_of(fresh.schedule, fresh.epoch, reason="interrupted", explicit=False)
            await fresh.commit_whole(facts)
        self._read_afresh()

    async def edit(self, updates: Mapping[str, Any], *, replace: bool = False, by: str | None = None) -> None:
        """Write to the state from outside: steps that start later see it.

        Values go through the fields' buffers, or past them with ``replace``. Raises `UnknownField`, `WrongType`,
        `RunFinished`.
        """
        edited = self._edited(updates, replace=replace, by=by)
        await self._settled()

        async def edit() -> None:
            engine = await self._own(explicit=False)
            await self._write(engine, lambda: [edited._replace(at_rest=engine.at_rest)])

        await self._tried(edit)

    async def cancel(self, reason: str | None = None) -> None:
        """End the run: durable first, then every step in flight is cancelled and cleans up. Raises `RunFinished`."""
        check("reason", reason, _TEXT_OR_NONE, "text, or None")
        await self._settled()
        fact = RunStopped("run_cancelled", code="run_cancelled", message=reason and legible(reason))

        async def cancel() -> None:
            engine = await self._own(explicit=False, reset=False)
            await engine.stop(fact)

        await self._tried(cancel)

    async def conclude(self, updates: Mapping[str, Any], *, by: str | None = None) -> None:
        """End the run as DONE with what somebody else has made of it: ``updates``, through the fields' buffers, and the
        end are one append. Then every step in flight is cancelled, and what it still writes is refused.

        Raises `RunFinished` for a run that is neither RUNNING nor PAUSED, and what `edit` raises for ``updates``.
        """
        edited = self._edited(updates, replace=False, by=by)
        await self._settled()

        async def conclude() -> None:
            if (standing := (await self.read()).schedule.status) in ("DONE", "FAILED", "CANCELLED"):
                raise RunFinished(self.run_id, standing, "concluding it")
            engine = await self._own(explicit=False, reset=False)
            await engine.stop(RunStopped("run_done"), first=edited)

        await self._tried(conclude)

    async def fork(
        self, at: int | None = None, updates: Mapping[str, Any] | None = None, *, origin: Origin = NO_ORIGIN
    ) -> "Run[S]":
        """Start a new run whose log begins with this one's entries up to ``at`` (None: all), and drive it on.

        It asks its own questions and has its own idempotency keys. Raises `EntryNotFound`, and what `edit` raises for
        ``updates``.
        """
        check("at", at, (int, NoneType), "the number of an entry, or None")
        check("updates", updates, (Mapping, NoneType), "a dict of fields and values")
        await self._settled()
        writes = self._desk.shape.returned(updates, "The fork") if updates else []
        return await self._desk.fork(self, at, [StateEdited(writes, at_rest=True)] if writes else [], origin)

    def queue_edit(self, updates: Mapping[str, Any], *, replace: bool = False, by: str | None = None) -> None:
        """Check an edit now and commit it with the next thing that is awaited on this run."""
        engine = self._read_now()
        if engine.schedule.status in ("DONE", "CANCELLED"):
            raise RunFinished(self.run_id, engine.schedule.status, "editing its state")
        self._queued.append(self._edited(updates, replace=replace, by=by))

    def commit_queued_now(self) -> None:
        """Commit what is queued as soon as may be: before this returns, unless the calling loop has to do it.

        Then the next thing that is awaited on this run tells whether it was.
        """
        loop = self._engine.loop if self._engine is not None and self._engine.driving else None
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            if loop is None:
                asyncio.run(self.commit_queued())
            else:  # a plain node in its thread, say
                asyncio.run_coroutine_threadsafe(self.commit_queued(), loop).result()
            return
        if loop is here and (self._committing is None or self._committing.done()):
            self._committing = here.create_task(self.commit_queued())

    def _edited(self, updates: Mapping[str, Any], *, replace: bool, by: str | None) -> StateEdited:
        check("updates", updates, Mapping, "a dict of fields and values")
        check("by", by, _TEXT_OR_NONE, "text, or None")
        shape = self._desk.shape
        writes = shape.replaced(updates, "The edit") if replace else shape.returned(updates, "The edit")
        return StateEdited(writes, by and legible(by))

    async def commit_queued(self) -> None:
        """Commit what `queue_edit` has queued."""
        await self._settled()

        async def commit() -> None:
            engine = await self._own(explicit=False)
            await self._commit(engine, list)
            if await self.is_for_workers():
                self._go(engine)

        while self._queued:
            await self._tried(commit)

    async def let_go(self) -> None:
        """Stop driving the run and leave it as it is in the log; `resume` goes on."""
        if self._engine is not None:
            await self._engine.stop_driving()

    def set_limits(self, timeout: float | None, max_iterations: int | None) -> None:
        """Replace, from the next `resume` on, the seconds under way and how often a node may run; None keeps one."""
        self._limits = (timeout, max_iterations)

    def mirror_into(self, state: Any) -> None:
        """Make ``state`` show the run as it stands, queued edits included."""
        mirror(self._read_now().schedule, self._queued, self._desk.shows, state)

    # -- inside -------------------------------------------------------------------------------------------------------

    def begin(self, admission: "asyncio.Task[None]") -> None:
        self._admission = admission

    async def _settled(self) -> None:
        await self.admitted()
        committing = self._committing
        if committing is not None and committing is not asyncio.current_task():
            self._committing = None
            await asyncio.shield(committing)

    def _go(self, engine: Engine) -> None:
        """Let the run go on: here, or at the worker that takes it."""
        if self._for_workers:
            self._owned = False
            self._looking.begin(time.monotonic())
        elif engine.schedule.status == "RUNNING":
            self._desk.drive(self, engine)

    async def _write(self, engine: Engine, facts: Callable[[], list[Fact]]) -> None:
        """Commit ``facts`` and let the run go on."""
        await self._commit(engine, facts)
        self._go(engine)

    async def _commit(self, engine: Engine, facts: Callable[[], list[Fact]]) -> None:
        """Commit ``facts`` with all that must come before them, as one append."""
        queued, self._queued = self._queued, []
        before, self._before = self._before, []

        def all_of_them() -> list[Fact]:
            edits = [edit._replace(at_rest=engine.at_rest) for edit in queued]
            return [*before, *edits, *facts()]

        try:
            await engine.commit_whole(all_of_them)
        except RunTaken:
            self._queued[:0] = queued  # the next try writes them
            raise
        except Exception:
            if before:  # the run was taken from a worker for nothing: hand it on, not after the lease
                with contextlib.suppress(RopewalkError):
                    await engine.commit_whole(before)
            raise

    async def _tried(self, write: Callable[[], Awaitable[None]]) -> None:
        """Do ``write``; again when a worker took the run between our claim and our append."""
        for left in reversed(range(_TRIES)):
            try:
                await write()
                break
            except RunTaken:
                if not left or not await self.is_for_workers():
                    raise
                self._read_afresh()
            await asyncio.sleep(_PAUSE_SECONDS * (_TRIES - left))

    async def _is_with_workers(self) -> bool:
        """Tell whether the run is RUNNING and left to workers: then nobody here has to move it."""
        if self._owned or not await self.is_for_workers():
            return False
        await self._caught_up()
        return (await self.read()).schedule.status == "RUNNING"

    @property
    def _is_being_admitted(self) -> bool:
        return self._admission is not None and not self._admission.done()

    def _read_now(self) -> Engine:
        if self._engine is None:
            self._engine = self._desk.load_now(self.run_id)
        elif self._engine.is_ahead and self._is_being_admitted:
            return self._desk.unbegun(self.run_id)  # the store does not know it yet
        elif self._engine.is_ahead and self._desk.store is not None:
            return self._desk.load_now(self.run_id)  # what is not in the log yet has not happened
        return self._engine

    async def read(self) -> Engine:
        """Return the run's fold, from the store if this process has none yet."""
        if self._engine is None:
            async with self._reading:
                self._engine = self._engine or await self._desk.load(self.run_id)
        return self._engine

    async def _let_others_finish(self) -> None:
        """Wait a moment while another process has steps in flight: to take the run over would cut them off, and of a
        tool's call that had started nobody would know how it ended. That process may be dead, so it is a moment only;
        a shorter one where a worker has yet to come.
        """
        store, began = self._desk.store, time.monotonic()
        while store is not None and (waited := time.monotonic() - began) < _LETS_OTHERS_FINISH_SECONDS:
            if (await store.look(self.run_id)).status != "RUNNING":
                return
            if waited > _LETS_A_WORKER_COME_SECONDS and await self.is_for_workers():
                place = await self._desk.queued(self.run_id)
                if place is None or place.worker is None:
                    return
            await asyncio.sleep(_LOOKS_AT_OTHERS_SECONDS)

    async def _own(
        self,
        *,
        explicit: bool,
        reset: bool = True,
        pause_id: str | None = None,
        limits: tuple[float | None, int | None] = (None, None),
    ) -> Engine:
        async with self._owning:  # or two calls at once would take the run from each other
            await self._caught_up()
            return await self._owned_engine(explicit=explicit, reset=reset, pause_id=pause_id, limits=limits)

    async def _owned_engine(
        self, *, explicit: bool, reset: bool, pause_id: str | None, limits: tuple[float | None, int | None]
    ) -> Engine:
        """Return an engine that may write: the one at work, or a fresh one whose epoch is the newest.

        ``pause_id`` must be open there; that is found out before the run is taken from anybody.
        """
        engine = self._engine
        if engine is not None and self._owned and self._usable(engine):
            if pause_id is not None:
                check_open(engine.schedule, pause_id)
            engine.set_timeout(limits[0])
            if engine.schedule.status == "RUNNING" and not engine.driving and reset:
                await engine.commit_whole(
                    reset_of(engine.schedule, engine.epoch, reason="interrupted", explicit=explicit, limit=limits[1])
                )
            return engine
        if pause_id is not None:
            await self._let_others_finish()
            check_open((await self._desk.load(self.run_id)).schedule, pause_id)
        previous = engine
        if previous is not None:
            await previous.rests()  # its steps must have ended before they may begin again
        for_workers = await self.is_for_workers()
        engine = await self._desk.claim(self.run_id)
        if previous is not None:
            engine.feed = previous.feed
            engine.feed.restart(engine.schedule.number)
        self._engine, self._owned = engine, True
        engine.set_timeout(limits[0])
        if for_workers:
            self._before = await self._cut_off(engine)
        elif engine.schedule.status == "RUNNING" and reset:
            limit = self._limit(limits[1], explicit)
            facts = reset_of(engine.schedule, engine.epoch, reason="taken_over", explicit=explicit, limit=limit)
            await engine.commit_whole(facts)
        return engine

    async def _cut_off(self, engine: Engine) -> list[Fact]:
        """Return the reset that tells of what a worker has in flight, if one has the run that was claimed here."""
        if engine.schedule.status != "RUNNING":
            return []
        place = await self._desk.queued(self.run_id)
        if place is None or place.worker is None:
            return []
        return reset_of(engine.schedule, engine.epoch, reason="interrupted", explicit=False)

    def _limit(self, given: int | None, explicit: bool) -> int | None:
        """Return max_node_iterations as an explicit resume sets it: what was given, else what the graph says now."""
        return given if given is not None or not explicit else self._desk.max_iterations

    def _usable(self, engine: Engine) -> bool:
        if engine.lost is not None and self._desk.store is None:
            if not isinstance(engine.lost, RunInterrupted):
                raise engine.lost
            engine.lost = None  # nobody else can have taken a run without a store, and its fold is whole
        return engine.lost is None
