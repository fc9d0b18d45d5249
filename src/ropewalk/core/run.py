"""A run as its user holds it: look, wait, follow, answer, resume, cancel, fork.

It is one file because it is one class, the public one: its methods are short, most of what they say is their docstring.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Mapping
from dataclasses import fields
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ropewalk.codec import legible
from ropewalk.contracts import RunRecord
from ropewalk.core.arguments import check
from ropewalk.core.engine import Engine
from ropewalk.core.facts import Fact, RunStopped, StateEdited
from ropewalk.core.following import Follower
from ropewalk.core.history import entries_of, note_of, picture_of, was_handed_over
from ropewalk.core.origin import NO_ORIGIN, Origin
from ropewalk.core.owning import Limits, Owning
from ropewalk.core.picture import Form, Picture
from ropewalk.core.reading import Reading
from ropewalk.core.resuming import answer_of, check_open, resumption_of
from ropewalk.core.said import Said
from ropewalk.core.standing import Pause, RunStatus, Standing, end_of, mirror, pauses_of, standing_of, state_of
from ropewalk.errors import RunFinished, RunInterrupted, RunPaused
from ropewalk.events import Entry, Event, parse_event_id

if TYPE_CHECKING:
    from ropewalk.contracts.model import Usage
    from ropewalk.core.desk import Desk

S = TypeVar("S")

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
        owned = engine is not None and not for_workers
        self._reading = Reading(run_id, desk, engine, owned=owned)
        self._owning = Owning(self._reading, for_workers=for_workers)
        self._committing: asyncio.Task[None] | None = None
        """Under way with what was queued while the run is driven here."""
        self._limits: Limits = (None, None)

    def __repr__(self) -> str:
        engine = self._reading.engine
        return f"<Run {self.run_id} {engine.schedule.status if engine else 'not read yet'}>"

    @property
    def lost(self) -> BaseException | None:
        """Why this handle may not or could not go on: the run was taken, the store failed."""
        engine = self._reading.engine
        return engine.lost if engine is not None and not engine.driving else None

    @property
    def is_under_way(self) -> bool:
        """True while it is being admitted, or driven here."""
        return self._reading.is_under_way

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def status(self) -> RunStatus:
        """Where the run stands, as far as this process has read its log."""
        return RunStatus(self._reading.read_now().schedule.status)

    @property
    def state(self) -> S:
        """The fold of everything committed, as an instance of the state class."""
        return state_of(self._reading.read_now().schedule, self._owning.queued, self._desk.shows)

    @property
    def pauses(self) -> list[Pause]:
        """Every open question and breakpoint, oldest first."""
        return pauses_of(self._reading.read_now().schedule)

    @property
    def usage(self) -> "Usage":
        """What all models that the run has asked so far have used."""
        from ropewalk.contracts.model import Usage  # noqa: PLC0415  most runs ask no model

        used, known = self._reading.read_now().schedule.usage, {field.name for field in fields(Usage)}
        return Usage(**{name: cast("Any", amount) for name, amount in used.items() if name in known})

    @property
    def error(self) -> Exception | None:
        """What ended the run, when it failed or was cancelled."""
        engine = self._reading.engine
        if engine is not None and isinstance(engine.lost, Exception):
            return engine.lost
        engine = self._reading.read_now()
        return end_of(engine.schedule, engine.cause)

    async def look(self) -> Standing:
        """Return where the run stands in its log now, all of one moment; it waits for the store where the properties
        would block.
        """
        await self._settled()
        await self._reading.catch_up()
        engine = await self.read()
        if engine.is_ahead and self._desk.store is not None:
            engine = await self._desk.load(self.run_id)
        return standing_of(engine.schedule, self._desk.shows)

    async def history(self) -> list[Entry]:
        """Return the log, oldest entry first. Without a store only the newest ten thousand are kept."""
        await self._settled()
        return await entries_of(self._reading)

    async def note(self) -> Mapping[str, Any] | None:
        """Return what the door that admitted the run left for itself; None when it left nothing."""
        await self._settled()
        return await note_of(self._reading)

    async def picture(self, format: Form = "svg") -> str:
        """Return the graph's picture with what the run did, as text: which nodes ran, run, wait or failed, how often,
        and the ways it took.

        ``format`` is svg, mermaid or dot. Without a store only the newest ten thousand entries count.
        """
        await self._settled()
        return (await picture_of(self._reading)).form(format)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return what a notebook shows: the run as it stands; until it is admitted, its graph."""
        admitted, desk = not self._reading.is_being_admitted, self._desk
        picture = desk.now(lambda: picture_of(self._reading)) if admitted else Picture(desk.plan)
        return {**picture.mimebundle(), "text/plain": repr(self)}

    # -- waiting ------------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, S]:
        return self._result().__await__()

    async def admitted(self) -> None:
        """Return when the run and its input are durable. Raises `RunExists`, `StoreUnavailable`, and what is wrong with
        the input.
        """
        await self._reading.admitted()

    async def wait(self) -> RunStatus:
        """Return the status when the run stops for any reason: it ended, it is paused, or it failed."""
        await self._settled()
        await self._reading.catch_up()
        while True:
            engine = await self.read()
            if engine.driving:
                await engine.rests()
            elif engine.lost is not None:
                await self._reading.forget_if_cancelled(engine.lost)
            elif engine.schedule.status not in ("RUNNING", "IDLE"):
                break
            elif self._reading.owned:  # a call that took it over may not have come to drive it yet
                async with self._owning.lock:
                    if engine is self._reading.engine and engine.lost is None:
                        self._go(engine)
            else:  # another process drives it
                await self._reading.look_again(engine)
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
        await self._reading.catch_up(in_order=True)
        reader = Follower(self._reading, cursor, (await self.read()).feed)
        try:
            while (news := await reader.news()) is not None:
                yield news
        finally:
            reader.leave()

    def overhear(self, said: Iterable[Said]) -> None:
        """Take in what the process that drives the run says to its readers; it counts for nothing where that is this
        one.
        """
        self._reading.overhear(said)

    async def is_driven_elsewhere(self) -> bool:
        """Tell whether it is RUNNING now and not driven here, so that there may be something to `overhear`."""
        await self.admitted()
        await self._reading.catch_up()
        return (await self.read()).schedule.status == "RUNNING" and not self._reading.owned

    # -- acting -------------------------------------------------------------------------------------------------------

    async def is_for_workers(self) -> bool:
        """Tell whether the run was left to workers, by `Graph.submit`: what is written here is carried on by them."""
        return await self._owning.is_for_workers()

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
            engine = await self._owning.own(explicit=False, pause_id=pause)

            def answered() -> list[Fact]:
                check_open(engine.schedule, pause)
                return [answer_of(engine.schedule, pause, value, by, engine.settings.clock())]

            await self._write(engine, answered)

        await self._owning.tried(answer)

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
        engine = self._reading.engine
        if (engine is None or not engine.driving) and not await self._owning.is_with_workers():
            await self._owning.tried(self._resume)

    async def _resume(self) -> None:
        engine = await self._owning.own(explicit=True, limits=self._limits)
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
            engine = await self._owning.own(explicit=False, reset=not await was_handed_over(self._reading))
            await self._write(engine, list)

        await self._owning.tried(take)

    async def set_off(self) -> None:
        """Drive a run that was admitted and had to wait for another one; nothing of it has begun, so nothing died."""
        await self._settled()

        async def set_off() -> None:
            await self._write(await self._owning.own(explicit=False, reset=False), list)

        await self._owning.tried(set_off)

    async def hand_over(self, *, grace_seconds: float) -> None:
        """Stop driving the run, and say so in the log: whoever goes on with it counts no death.

        What is in flight has ``grace_seconds`` to end; then it is cancelled, to be done again.
        """
        await self._owning.hand_over(grace_seconds=grace_seconds)

    async def edit(self, updates: Mapping[str, Any], *, replace: bool = False, by: str | None = None) -> None:
        """Write to the state from outside: steps that start later see it.

        Values go through the fields' buffers, or past them with ``replace``. Raises `UnknownField`, `WrongType`,
        `RunFinished`.
        """
        edited = self._edited(updates, replace=replace, by=by)
        await self._settled()

        async def edit() -> None:
            engine = await self._owning.own(explicit=False)
            await self._write(engine, lambda: [edited._replace(at_rest=engine.at_rest)])

        await self._owning.tried(edit)

    async def cancel(self, reason: str | None = None) -> None:
        """End the run: durable first, then every step in flight is cancelled and cleans up. Raises `RunFinished`."""
        check("reason", reason, _TEXT_OR_NONE, "text, or None")
        await self._settled()
        fact = RunStopped("run_cancelled", code="run_cancelled", message=reason and legible(reason))

        async def cancel() -> None:
            engine = await self._owning.own(explicit=False, reset=False)
            await engine.stop(fact)

        await self._owning.tried(cancel)

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
            engine = await self._owning.own(explicit=False, reset=False)
            await engine.stop(RunStopped("run_done"), first=edited)

        await self._owning.tried(conclude)

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
        engine = self._reading.read_now()
        if engine.schedule.status in ("DONE", "CANCELLED"):
            raise RunFinished(self.run_id, engine.schedule.status, "editing its state")
        self._owning.queued.append(self._edited(updates, replace=replace, by=by))

    def commit_queued_now(self) -> None:
        """Commit what is queued as soon as may be: before this returns, unless the calling loop has to do it.

        Then the next thing that is awaited on this run tells whether it was.
        """
        engine = self._reading.engine
        loop = engine.loop if engine is not None and engine.driving else None
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
            engine = await self._owning.own(explicit=False)
            await self._owning.commit(engine, list)
            if await self.is_for_workers():
                self._go(engine)

        while self._owning.queued:
            await self._owning.tried(commit)

    async def let_go(self) -> None:
        """Stop driving the run and leave it as it is in the log; `resume` goes on."""
        if self._reading.engine is not None:
            await self._reading.engine.stop_driving()

    def set_limits(self, timeout: float | None, max_iterations: int | None) -> None:
        """Replace, from the next `resume` on, the seconds under way and how often a node may run; None keeps one."""
        self._limits = (timeout, max_iterations)

    def mirror_into(self, state: Any) -> None:
        """Make ``state`` show the run as it stands, queued edits included."""
        mirror(self._reading.read_now().schedule, self._owning.queued, self._desk.shows, state)

    # -- inside -------------------------------------------------------------------------------------------------------

    def begin(self, admission: "asyncio.Future[None]") -> None:
        self._reading.admission = admission

    async def read(self) -> Engine:
        """Return the run's fold, from the store if this process has none yet."""
        return await self._reading.read()

    def refresh(self, record: RunRecord) -> None:
        """Forget a fold that ``record`` shows to be old, where nothing is under way here."""
        self._reading.refresh(record)

    async def _settled(self) -> None:
        await self.admitted()
        committing = self._committing
        if committing is not None and committing is not asyncio.current_task():
            self._committing = None
            await asyncio.shield(committing)

    def _go(self, engine: Engine) -> None:
        """Let the run go on: here, or at the worker that takes it."""
        if self._owning.for_workers:
            self._reading.give_away()
        elif engine.schedule.status == "RUNNING":
            self._desk.drive(self, engine)

    async def _write(self, engine: Engine, facts: Callable[[], list[Fact]]) -> None:
        """Commit ``facts`` and let the run go on."""
        await self._owning.commit(engine, facts)
        self._go(engine)
