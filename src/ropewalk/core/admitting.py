"""Brings new runs into the log: their first facts, with what follows from them at once, are one `create` of the store.

1. The run is known here from the first moment on, so that a second one with its id is refused at once.
2. It is durable before anything of it runs, and before its caller is told that it is there.
3. It is driven here, unless it was left to workers, or an earlier one of its session is in its way.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ropewalk.codec import ANY, stored_form
from ropewalk.contracts import NewRun, RunStore
from ropewalk.core.drive import Settings
from ropewalk.core.engine import Engine
from ropewalk.core.facts import Fact, RunStarted, StateEdited
from ropewalk.core.feed import Feed
from ropewalk.core.origin import NO_ORIGIN, Origin
from ropewalk.core.run import Run
from ropewalk.core.schedule import Schedule
from ropewalk.core.turns import in_the_way
from ropewalk.errors import RopewalkError, RunExists, RunInterrupted, StoreUnavailable
from ropewalk.ids import checked_run_id, new_run_id

if TYPE_CHECKING:
    from ropewalk.core.desk import Desk

log = logging.getLogger("ropewalk")

Create = Callable[[NewRun, Sequence[bytes]], Awaitable[int]]
"""Admits a run: `RunStore.create`, or `RunQueue.submit`."""


class Admitting:
    """The admissions of one desk."""

    def __init__(self, desk: "Desk") -> None:
        self._desk = desk
        self._left_alone: set[asyncio.Task[None]] = set()
        """Admissions whose callers were cancelled."""

    async def admit(self, state: BaseModel | None, run_id: str | None, settings: Settings, origin: Origin) -> Run[Any]:
        """Do what `begin` does, in the caller's task, and return when the run is durable.

        It is on its way then, but no node has run: whoever waits can be answered first. A caller that is cancelled
        meanwhile has the run admitted all the same.
        """
        run, engine, started = self._new(state, run_id, settings, origin)
        admission: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        run.begin(admission)
        try:
            await self._admit(run, engine, [started], origin, see_through=True)
        except BaseException as error:
            admission.set_exception(RunInterrupted(run.run_id) if isinstance(error, asyncio.CancelledError) else error)
            admission.exception()  # nobody else may have come to wait for it
            raise
        admission.set_result(None)
        return run

    def begin(
        self,
        state: BaseModel | None,
        run_id: str | None,
        settings: Settings,
        origin: Origin,
        *,
        create: Create | None = None,
    ) -> Run[Any]:
        """Begin a run and return at once; with ``create`` it is left to workers."""
        run, engine, started = self._new(state, run_id, settings, origin, for_workers=create is not None)
        run.begin(asyncio.create_task(self._admit(run, engine, [started], origin, submit=create)))
        return run

    def fork(
        self, parent: str, schedule: Schedule, feed: Feed | None, edits: Sequence[StateEdited], origin: Origin
    ) -> Run[Any]:
        """Begin a run that shares the entries which are folded into ``schedule`` with ``parent``."""
        desk, at = self._desk, schedule.number
        started = RunStarted(
            desk.plan.name, desk.plan.digest, [], fork_of=parent, fork_at=at, limit=desk.max_iterations
        )
        engine = Engine(schedule, store=desk.store, epoch=1, settings=desk.settings, feed=feed)
        run: Run[Any] = Run(schedule.run_id, desk, engine)
        desk.keep(run)
        facts: list[Fact] = [_with_origin(started, origin), *edits]
        run.begin(asyncio.create_task(self._admit(run, engine, facts, origin, parent=parent, at=at)))
        return run

    def _new(
        self,
        state: BaseModel | None,
        run_id: str | None,
        settings: Settings,
        origin: Origin,
        *,
        for_workers: bool = False,
    ) -> tuple[Run[Any], Engine, RunStarted]:
        desk = self._desk
        run_id = checked_run_id(run_id) if run_id is not None else new_run_id()
        if desk.known(run_id) is not None:
            raise RunExists(run_id)
        writes = desk.shape.initial(state) if state is not None else []
        started = RunStarted(desk.plan.name, desk.plan.digest, writes, limit=desk.max_iterations)
        if origin is not NO_ORIGIN:
            started = _with_origin(started, origin)
        engine = Engine(desk.schedule(run_id), store=desk.store, epoch=1, settings=settings)
        run: Run[Any] = Run(run_id, desk, engine, for_workers=for_workers)
        desk.keep(run)
        return run, engine, started

    async def _admit(
        self,
        run: Run[Any],
        engine: Engine,
        facts: list[Fact],
        origin: Origin,
        *,
        submit: Create | None = None,
        parent: str | None = None,
        at: int = 0,
        see_through: bool = False,
    ) -> None:
        desk = self._desk

        async def create(bodies: list[bytes], status: str) -> int:
            assert desk.store is not None
            record = NewRun(
                run_id=run.run_id,
                graph=desk.plan.name,
                plan=desk.plan.digest,
                status=status,
                at=engine.settings.clock(),
                parent=parent,
                fork_at=at,
                owner=origin.owner,
                session=origin.session,
                turn=origin.turn,
            )
            try:
                return await (submit or desk.store.create)(record, bodies)
            except asyncio.CancelledError:
                if see_through:
                    self._see_through(desk.store, record, bodies)
                raise

        try:
            await engine.admit(create, facts)
        except RopewalkError:
            desk.forget(run.run_id)
            raise
        if engine.schedule.status == "RUNNING" and submit is None and await self._may_begin(origin):
            desk.drive(run, engine)

    async def _may_begin(self, origin: Origin) -> bool:
        """Tell whether nothing of its session keeps a new run from beginning; else somebody sets it off later."""
        store = self._desk.store
        if origin.behind is not None:
            return False
        if store is None or origin.turn is None:
            return True
        asked = in_the_way(store, owner=origin.owner, session=origin.session, turn=origin.turn)
        try:
            return await asked is None
        except StoreUnavailable:  # the run is admitted all the same, and who sets it off asks again
            return False

    def _see_through(self, store: RunStore, record: NewRun, bodies: list[bytes]) -> None:
        """Have a run admitted and driven whose caller was cancelled when the store may have had it already."""
        self._desk.forget(record.run_id)

        async def see_through() -> None:
            try:
                with contextlib.suppress(RunExists):  # of the two one is refused; whichever it is, the run is there
                    await store.create(record, bodies)
                await self._desk.at_hand(record.run_id).set_off()
            except RopewalkError as trouble:
                log.warning("run %s, whose caller has gone, does not begin: %s", record.run_id, trouble)

        task = asyncio.create_task(see_through(), name=f"ropewalk: admission of {record.run_id}")
        self._left_alone.add(task)
        task.add_done_callback(self._left_alone.discard)


def _with_origin(started: RunStarted, origin: Origin) -> RunStarted:
    """Return the first fact with what is to be found of its origin later. Raises `NotStorable`."""
    note = None if origin.note is None else stored_form(ANY, dict(origin.note), "The note of a run's origin")[1]
    return started._replace(
        request=origin.request, behind=origin.behind, webhook=origin.webhook, turn=origin.turn, note=note
    )
