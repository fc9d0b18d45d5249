"""What one may ask of runs, whoever asks and through whichever door: no HTTP here.

It is one file because it is one class: each method is one thing that a caller may ask, a few lines long.

Everything durable is in the run store, so any number of processes may serve the same runs. Whose run it is, is asked
first, always by the same function: somebody else's run is told of as one that was never there.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic_core import to_json

from ropewalk.contracts import RunRecord, RunStore
from ropewalk.contracts.live_events import LiveEvents
from ropewalk.core.facts import read_entry
from ropewalk.core.graph import Graph
from ropewalk.core.origin import Origin
from ropewalk.core.picture import Form
from ropewalk.core.run import Run
from ropewalk.errors import (
    GraphNotFound,
    InputInvalid,
    InvalidId,
    KeyReused,
    PauseNotFound,
    Problem,
    RopewalkError,
    RunExists,
    RunNotFound,
    StepNotFound,
)
from ropewalk.ids import checked_run_id, new_run_id
from ropewalk.server.driving import Driving
from ropewalk.server.following import Following, Reader
from ropewalk.server.inputs import Inputs
from ropewalk.server.owned import Caller
from ropewalk.server.room import Room, RunLimits, Seen
from ropewalk.server.sessions import ANYWHERE, OnBusy, Place, Sessions
from ropewalk.server.standing import Glance, session_stands
from ropewalk.server.views import difference, entry_data, record_data, run_data
from ropewalk.server.waiting import Waiting

_PAGE = 100
_LONGEST_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a run is started with."""

    input: Mapping[str, Any] | None = None
    run_id: str | None = None
    key: str | None = None
    """The caller's idempotency key: the same one and the same input start one run, however often they come."""
    session: str | None = None
    on_busy: OnBusy = "parallel"
    webhook: str | None = None
    """Where it is told that the run paused or ended."""
    note: Mapping[str, Any] | None = None
    """What the door wants to find again with the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A run that was admitted."""

    run_id: str
    status: str
    is_new: bool = True
    """False: an earlier request with the same key had started it."""


class RunService:
    """The runs of some graphs, for those who ask."""

    def __init__(
        self,
        graphs: Iterable[Graph[Any]],
        *,
        aliases: Mapping[str, str] | None = None,
        for_workers: bool = False,
        limits: RunLimits | None = None,
        live: LiveEvents | None = None,
    ) -> None:
        """``aliases`` are other names under which graphs are found; with ``for_workers`` runs are left to workers,
        whose live events ``live`` brings.

        Raises ValueError for graphs without a store, with different ones, or with one name.
        """
        self.graphs = {graph.name: graph for graph in graphs}
        self.store: RunStore = _store_of([*self.graphs.values()])
        self._aliases = dict(aliases or {})
        self._inputs = {name: Inputs(graph) for name, graph in self.graphs.items()}
        self._for_workers = for_workers
        self.limits = limits or RunLimits()
        self.following = Following(live=live)
        self.check_webhook: Callable[[str], None] = _no_webhooks
        """Raises `InputInvalid` for an address that cannot be told of runs."""
        desks = [graph.desk for graph in self.graphs.values()]
        self._room = Room(self.store, lambda: sum([desk.driving for desk in desks]))
        self._sessions = Sessions(self.store, self.run_of)
        self._waiting = Waiting(self.store, self.run_of, self._let_begin)
        self.driving = Driving(self.store, desks, self.run_of, self._waiting)

    async def close(self, *, grace_seconds: float = 10.0) -> None:
        """Let every stream end, stop driving, and say so in the logs; the store stays open."""
        await self.following.close()
        await self._waiting.close()
        await self.driving.close(grace_seconds=grace_seconds)

    # -- graphs -------------------------------------------------------------------------------------------------------

    def graph(self, name: str) -> Graph[Any]:
        """Return the graph. Raises `GraphNotFound`."""
        found = self.graphs.get(name) or self.graphs.get(self._aliases.get(name, ""))
        if found is None:
            raise GraphNotFound(name, [*self.graphs])
        return found

    def inputs(self, name: str) -> Inputs:
        return self._inputs[self.graph(name).name]

    def describe(self, name: str) -> dict[str, Any]:
        """Return a graph as callers read it."""
        graph, inputs = self.graph(name), self.inputs(name)
        nodes = [place.node for place in graph.plan.places[1:-1]]
        return {
            "name": graph.name,
            "plan": graph.plan.digest,
            "nodes": [*dict.fromkeys(nodes)],
            "input_schema": inputs.schema(),
            "example": inputs.example(),
        }

    # -- starting -----------------------------------------------------------------------------------------------------

    async def glance(self, owner: str, session: str) -> Glance:
        """Look at all that is asked of a session of ``owner`` before a run of it is admitted."""
        mark = self._room.mark(owner)
        stands = await session_stands(self.store, owner=owner, session=session, most=self.limits.runs_per_user)
        return Glance(stands=stands, seen=Seen(mark=mark, running=stands.running_of_owner))

    async def start(self, caller: Caller, graph: str, request: Request, *, glance: Glance | None = None) -> Started:
        """Admit a run; it is durable on return. ``glance`` is a look at its session of a moment ago.

        Raises `GraphNotFound`, `InputInvalid`, `InvalidId`, `RunExists`, `KeyReused`, `SessionBusy`, `LimitReached`.
        """
        drawn = self.graph(graph)
        if "\0" in (request.session or ""):
            raise InputInvalid("", [Problem("session", "holds a NUL, which not every store can keep")])
        state = self.inputs(graph).state_of(request.input)
        if request.webhook is not None:
            self.check_webhook(request.webhook)
        digest = None if request.key is None else _digest(request)
        run_id = _derived_id(caller, drawn.name, request)
        if digest is not None:
            before = await self._started_before(drawn, run_id, digest)
            if before is not None:
                return before
        origin = Origin(
            owner=caller.owner,
            session=request.session,
            request=digest,
            webhook=request.webhook,
            note=request.note,
        )

        async def admit(place: Place) -> Run[Any]:
            placed = origin if place is ANYWHERE else replace(origin, turn=place.turn, behind=place.behind)
            return await self._begun(drawn, state, run_id, placed)

        self._room.check(self.limits)
        try:
            if caller.owner is None:
                run = await self._sessions.admit(request.session, request.on_busy, caller, admit)
            else:
                if glance is None and request.session is not None and request.on_busy != "parallel":
                    glance = await self.glance(caller.owner, request.session)
                seen, stands = (None, None) if glance is None else (glance.seen, glance.stands)
                async with self._room.for_one_of(caller.owner, self.limits, seen):
                    run = await self._sessions.admit(request.session, request.on_busy, caller, admit, stands)
        except RunExists:
            before = None if digest is None else await self._started_before(drawn, run_id, digest)
            if before is None:
                raise
            return before
        return Started(run_id=run.run_id, status=(await run.read()).schedule.status)

    async def _begun(self, graph: Graph[Any], state: Any, run_id: str, origin: Origin) -> Run[Any]:
        if self._for_workers and origin.behind is None:
            return await graph.submit(state, run_id=run_id, origin=origin)
        if origin.turn is None and origin.behind is None:
            return await graph.admit(state, run_id=run_id, origin=origin)
        run = graph.start(state, run_id=run_id, origin=origin)
        await run.admitted()
        if origin.turn is not None and not run.is_under_way:
            self._waiting.wait(await self.store.look(run.run_id), origin.behind)
        return run

    async def _started_before(self, graph: Graph[Any], run_id: str, digest: str) -> Started | None:
        """Return the run that the same request has started before, now admitted; None when there is none.

        Raises `KeyReused`.
        """
        known = graph.desk.known(run_id)
        if known is not None:  # the same request may be under way here this very moment
            with contextlib.suppress(RopewalkError):
                await known.admitted()
        try:
            record = await self.store.look(run_id)
        except RunNotFound:
            return None
        (number, body), *_ = await self.store.read(run_id, limit=1)
        if read_entry(number, body).data.get("request") != digest:
            raise KeyReused(run_id)
        return Started(run_id=run_id, status=record.status, is_new=False)

    async def _let_begin(self, record: RunRecord) -> None:
        """Let a run begin that had to wait for another one of its session."""
        queue = self.graph(record.graph).desk.queue() if self._for_workers else None
        if queue is not None:
            await queue.adopt(record.run_id)
        else:
            await self.run_of(record).set_off()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def record(self, caller: Caller, run_id: str) -> RunRecord:
        """Return the record of the caller's own run. Raises `RunNotFound`, whosever else's run it is."""
        try:
            record = await self.store.look(checked_run_id(run_id))
        except InvalidId:
            raise RunNotFound(run_id) from None
        if not caller.owns(record) or record.graph not in self.graphs:
            raise RunNotFound(run_id)
        return record

    def run_of(self, record: RunRecord) -> Run[Any]:
        """Return the run of a record; a handle that lost its place in the log is replaced by one that looks anew."""
        desk = self.graph(record.graph).desk
        run = desk.at_hand(record.run_id)
        if run.lost is not None:
            desk.forget(record.run_id)
            run = desk.at_hand(record.run_id)
        return run

    async def list(
        self,
        caller: Caller,
        *,
        graph: str | None = None,
        statuses: Iterable[str] | None = None,
        session: str | None = None,
        after: str | None = None,
        limit: int = _PAGE,
    ) -> dict[str, Any]:
        """Return a page of the caller's runs, newest first; ``next`` is what the next page comes behind."""
        if graph is not None or len(self.graphs) == 1:
            graph = self.graph(graph or next(iter(self.graphs))).name
        if after is not None:
            await self.record(caller, after)
        wanted = [*statuses] if statuses is not None else None
        limit = max(1, min(limit, _LONGEST_PAGE))
        found: list[RunRecord] = []
        while len(found) <= limit:
            page = await self.store.runs(
                graph=graph, statuses=wanted, owner=caller.owner, session=session, after=after, limit=limit + 1
            )
            found += [record for record in page if record.graph in self.graphs]
            if len(page) <= limit:
                break
            after = page[-1].run_id
        items = found[:limit]
        return {
            "items": [record_data(record) for record in items],
            "next": items[-1].run_id if len(found) > limit else None,
        }

    async def look(self, caller: Caller, run_id: str) -> dict[str, Any]:
        """Return where the run stands: status, state, pauses."""
        record = await self.record(caller, run_id)
        return run_data(record, await self.run_of(record).look())

    async def history(
        self, caller: Caller, run_id: str, *, after: int = 0, limit: int = _LONGEST_PAGE
    ) -> dict[str, Any]:
        """Return a page of the run's log, oldest entry first."""
        await self.record(caller, run_id)
        limit = max(1, min(limit, _LONGEST_PAGE))
        page = await self.store.read(run_id, after=after, limit=limit + 1)
        entries = [entry_data(read_entry(number, body)) for number, body in page[:limit]]
        return {"items": entries, "next": entries[-1]["number"] if len(page) > limit else None}

    async def state(self, caller: Caller, run_id: str, at: int | None = None) -> dict[str, Any]:
        """Return the state as it was after entry ``at`` (None: the newest), and what that entry changed in it."""
        record = await self.record(caller, run_id)
        run, desk = self.run_of(record), self.graph(record.graph).desk
        number, values = await desk.state_at(run, at)
        state = desk.shape.to_json(values)
        before = desk.shape.to_json((await desk.state_at(run, number - 1))[1]) if number > 1 else {}
        return {"run_id": run_id, "at": number, "state": state, "changes": difference(before, state)}

    async def picture(self, caller: Caller, run_id: str, form: Form = "svg") -> str:
        """Return the run's picture: its graph with what it did."""
        return await self.run_of(await self.record(caller, run_id)).picture(form)

    async def follow(self, caller: Caller, run_id: str, after: str | None = None, *, through: bool = False) -> Reader:
        """Return a reader of the run's events behind ``after``; ``through`` pauses too, to the run's end."""
        record = await self.record(caller, run_id)
        run_of = partial(self.run_of, record)
        return await self.following.follow(run_of, record, after, through=through, owner=caller.owner)

    # -- acting -------------------------------------------------------------------------------------------------------

    async def answer(
        self, caller: Caller, run_id: str, pause_id: str, value: Any, *, by: str | None = None
    ) -> dict[str, Any]:
        """Answer a pause; the run goes on. Who answers is who asks, where the server knows. Raises `PauseNotFound`,
        `AlreadyAnswered`.
        """
        record = await self.record(caller, run_id)
        run = self.run_of(record)
        if any(pause.kind == "breakpoint" and pause.id == pause_id for pause in (await run.look()).pauses):
            raise PauseNotFound(run_id, pause_id, [])
        await run.answer(pause_id, value, by=caller.owner or by)
        return await self._after(run)

    async def edit(
        self, caller: Caller, run_id: str, updates: Mapping[str, Any], *, replace: bool = False, by: str | None = None
    ) -> dict[str, Any]:
        """Write to the run's state: steps that start later see it."""
        run = self.run_of(await self.record(caller, run_id))
        await run.edit(updates, replace=replace, by=caller.owner or by)
        return await self._after(run)

    async def resume(self, caller: Caller, run_id: str) -> dict[str, Any]:
        """Release breakpoints, try again what failed; returns when the run is on its way."""
        run = self.run_of(await self.record(caller, run_id))
        await run.go_on()
        return await self._after(run)

    async def cancel(self, caller: Caller, run_id: str, reason: str | None = None) -> dict[str, Any]:
        """End the run for good."""
        run = self.run_of(await self.record(caller, run_id))
        await run.cancel(reason)
        return await self._after(run)

    async def fork(
        self, caller: Caller, run_id: str, at: int | None = None, updates: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Start a run that shares this one's entries up to ``at``; it belongs to the same user and session."""
        record = await self.record(caller, run_id)
        origin = Origin(owner=record.owner, session=record.session)
        self._room.check(self.limits)
        async with contextlib.AsyncExitStack() as room:
            if caller.owner is not None:
                await room.enter_async_context(self._room.for_one_of(caller.owner, self.limits))
            fork = await self.run_of(record).fork(at, updates, origin=origin)
        return {"parent": run_id} | await self._after(fork)

    async def retry(
        self, caller: Caller, run_id: str, step: str | None = None, updates: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Do a step again, and all that came after it, in a new run that keeps what was before; ``step`` is a step's id
        or a node's name. None: try again what failed, in this run.
        """
        if step is None:
            return await self.resume(caller, run_id)
        await self.record(caller, run_id)
        at = await self._before(run_id, step)
        return await self.fork(caller, run_id, at, updates)

    async def _before(self, run_id: str, step: str) -> int:
        """Return the entry before the first one that tells of a step, or of the newest step of a node. Raises
        `StepNotFound`.
        """
        begun: dict[str, int] = {}
        newest: dict[str, str] = {}
        for number, body in await self.store.read(run_id):
            entry = read_entry(number, body)
            this = entry.data.get("step")
            if this is not None:
                begun.setdefault(this, number)
                newest |= {this: this} if entry.node is None else {entry.node: this, this: this}
        if step not in newest:
            nodes = [name for name in newest if name not in begun]
            raise StepNotFound(run_id, step, [*nodes, *begun])
        return begun[newest[step]] - 1

    async def delete(self, caller: Caller, run_id: str) -> None:
        """Forget the run; what is in flight is stopped first."""
        record = await self.record(caller, run_id)
        desk = self.graph(record.graph).desk
        await self.run_of(record).let_go()
        await self.store.delete(run_id)
        desk.forget(run_id)
        self.following.stir(run_id)

    async def _after(self, run: Run[Any]) -> dict[str, Any]:
        self.following.stir(run.run_id)
        return {"run_id": run.run_id, "status": str((await run.look()).status)}


def _no_webhooks(_: str) -> None:
    raise InputInvalid("", [Problem("webhook", "this server tells nobody; `ropewalk serve` does")])


def _store_of(graphs: list[Graph[Any]]) -> RunStore:
    if not graphs:
        raise ValueError("A service serves graphs, and none was given.")
    store = graphs[0].store
    for graph in graphs:
        graph.compile()
        if graph.store is None or graph.store is not store:
            raise ValueError(
                f"Graph {graph.name!r} has {'no store' if graph.store is None else 'a store of its own'}, and the "
                "graphs of one service share one: graph.use_store(store)."
            )
    assert store is not None
    return store


def _derived_id(caller: Caller, graph: str, request: Request) -> str:
    """Return the run's id: that of a request with a key is made from it, so that the store itself sees it twice."""
    if request.key is None:
        return new_run_id() if request.run_id is None else checked_run_id(request.run_id)
    named = to_json([caller.owner, graph, request.key])
    return request.run_id or f"run_{hashlib.sha256(named).hexdigest()[:32]}"


def _digest(request: Request) -> str:
    """Return what tells two requests apart; the order of keys does not."""
    told: dict[str, Any] = {"input": request.input, "session": request.session, "run_id": request.run_id}
    told |= {} if request.webhook is None else {"webhook": request.webhook}
    return hashlib.sha256(_canonical(told)).hexdigest()


def _canonical(value: Any) -> bytes:
    return to_json(_sorted(value))


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(item) for key, item in sorted(value.items())}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if isinstance(value, list):
        return [_sorted(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
