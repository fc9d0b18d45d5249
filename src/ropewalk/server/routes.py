"""The HTTP routes over a `RunService`, as a FastAPI router that can be mounted under any prefix.

It is one file because it is one table: a route is its path, what it documents, and one call of the service.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, Field
from starlette.requests import HTTPConnection

from ropewalk.errors import RequestMalformed, RunNotFound
from ropewalk.server.answering import Json, ProblemRoute
from ropewalk.server.auth import Authenticate, Credentials, let_anybody_in
from ropewalk.server.bodies import (
    AnswerBody,
    BodyLimits,
    CancelBody,
    EditBody,
    ForkBody,
    RetryBody,
    StartBody,
    read_body,
)
from ropewalk.server.following import parsed_cursor
from ropewalk.server.limits import Limiter
from ropewalk.server.owned import Caller
from ropewalk.server.policy import DoorPolicy
from ropewalk.server.runs import Request as RunRequest
from ropewalk.server.runs import RunService
from ropewalk.server.stream import EventStream, stream_of_nothing
from ropewalk.server.told import EXAMPLES, answers, body_of, sse_answer, text_answer

MAX_KEY_LENGTH = 500
"""Of an idempotency key."""
MAX_NAME_LENGTH = 200
"""Of a graph's name in a path."""
_CURSOR = r"^([0-9]{1,15}(\.[0-9]{1,15})?)?$"
_STATUSES = Literal["RUNNING", "PAUSED", "DONE", "FAILED", "CANCELLED"]
_FORMS = {"svg": "image/svg+xml", "mermaid": "text/plain; charset=utf-8", "dot": "text/vnd.graphviz; charset=utf-8"}
_PICTURE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}

GraphName = Annotated[str, Path(description="The graph's name.", max_length=MAX_NAME_LENGTH)]
RunId = Annotated[str, Path(description="The run's id.", max_length=200)]
Form = Annotated[Literal["svg", "mermaid", "dot"], Query(alias="format", description="The picture's form.")]


def _given(value: Any) -> Any:
    """Return a parameter's value; ``?name=`` gives none."""
    if isinstance(value, list):
        return [one for one in cast("list[Any]", value) if one != ""] or None
    return None if value == "" else value


class Doorkeeper:
    """What every door asks before it opens: where the request comes from, who sends it, how often."""

    def __init__(
        self,
        authenticate: Authenticate = let_anybody_in,
        policy: DoorPolicy | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        self._authenticate = authenticate
        self._policy = policy
        self.limiter = limiter or Limiter()

    async def admit(self, connection: HTTPConnection) -> Caller:
        """Return who asks. Raises `HostRefused`, `OriginRefused`, `NotAuthenticated`, `LimitReached`."""
        return await self.admit_by(
            connection.scope, {name.lower(): value for name, value in connection.headers.items()}
        )

    async def admit_by(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> Caller:
        """Do what `admit` does, by the headers with their names in lower case."""
        is_websocket = scope["type"] == "websocket"
        if self._policy is not None:
            self._policy.check(scope.get("method", "GET"), headers, is_websocket=is_websocket)
        client = scope.get("client")
        address = client[0] if client else ""
        await self.limiter.ask_address(address)
        caller = await self._authenticate(Credentials(token=token_of(headers, is_websocket), headers=headers))
        await self.limiter.ask(caller.owner or address)
        return caller


def token_of(headers: Mapping[str, str], is_websocket: bool = False) -> str | None:
    """Return the bearer token of a request; a browser's WebSocket can only send it as a subprotocol."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if is_websocket:
        offered = (one.strip() for one in headers.get("sec-websocket-protocol", "").split(","))
        return next((one.removeprefix("bearer.") for one in offered if one.startswith("bearer.")), None)
    return None


def add_routes(
    router: APIRouter, service: RunService, keeper: Doorkeeper, *, body_limits: BodyLimits | None = None
) -> None:
    """Put every route of ``service`` on ``router``."""
    limits = body_limits or BodyLimits()

    @router.head("/health", include_in_schema=False)
    @router.get("/health", summary="Tell whether the server answers", responses=answers(200, "health"))
    async def health() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Json({"status": "ok"})

    _add_graphs(router, service, keeper)

    @router.post(
        "/graphs/{graph}/runs",
        status_code=202,
        summary="Start a run",
        responses=answers(202, "started", 400, 401, 404, 409, 413, 415, 422, 429, 503),
        openapi_extra=body_of(StartBody, EXAMPLES["start"]),
    )
    async def start(  # pyright: ignore[reportUnusedFunction]
        graph: GraphName,
        request: Request,
        caller: Annotated[Caller, Depends(keeper.admit)],
        idempotency_key: Annotated[
            str | None,
            Header(max_length=MAX_KEY_LENGTH, description="The same key and body start one run, however often sent."),
        ] = None,
    ) -> Response:
        """Admit a run; it is durable when 202 is sent, and goes on without this connection."""
        where = f"/graphs/{graph}/runs"
        return await start_run(service, caller, graph, request, idempotency_key, limits, where)

    _add_looks(router, service, keeper)
    _add_acts(router, service, keeper, limits)


async def start_run(  # noqa: PLR0917  what two routes have in common
    service: RunService,
    caller: Caller,
    graph: str,
    request: Request,
    key: str | None,
    limits: BodyLimits,
    path: str,
) -> Response:
    """Start a run as a request says, and answer 202; ``path`` is the route's own, without its prefix."""
    given = await read_body(request, StartBody, limits)
    started = await service.start(caller, graph, asked_run(given, key))
    headers = {"location": _beside(request, path, f"/runs/{started.run_id}")}
    if not started.is_new:
        headers["idempotent-replayed"] = "true"
    return Json({"run_id": started.run_id, "status": started.status}, 202, headers)


def asked_run(given: StartBody, key: str | None) -> RunRequest:
    """Return the run that a request asks for; ``key`` is its idempotency key. Raises `RequestMalformed`."""
    if key is not None and not key.strip():
        raise RequestMalformed("Idempotency-Key is empty.")
    return RunRequest(
        input=given.input,
        run_id=given.run_id,
        key=key,
        session=given.session,
        on_busy=given.on_busy,
        webhook=given.webhook,
    )


def _add_graphs(router: APIRouter, service: RunService, keeper: Doorkeeper) -> None:

    @router.get("/graphs", summary="List the graphs", responses=answers(200, "graphs", 401, 429))
    async def list_graphs(caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Every graph that is served here, with the schema of its input."""
        return Json({"items": [service.describe(name) for name in service.graphs], "next": None})

    @router.get("/graphs/{graph}", summary="Look at a graph", responses=answers(200, "graph", 400, 401, 404, 429))
    async def look_at_graph(graph: GraphName, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """One graph: its nodes and the schema of its input."""
        return Json(service.describe(graph))

    @router.get(
        "/graphs/{graph}/picture",
        summary="Draw a graph",
        responses=text_answer("image/svg+xml", 400, 401, 404, 429),
        response_class=Response,
    )
    async def draw_graph(
        graph: GraphName, caller: Annotated[Caller, Depends(keeper.admit)], form: Form = "svg"
    ) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The graph as SVG, Mermaid or Graphviz DOT."""
        picture = service.graph(graph).visualize().form(form)
        return Response(picture, media_type=_FORMS[form], headers=_PICTURE_HEADERS)


def _add_looks(router: APIRouter, service: RunService, keeper: Doorkeeper) -> None:

    @router.get("/runs", summary="List runs", responses=answers(200, "runs", 400, 401, 404, 429, 503))
    async def list_runs(  # noqa: PLR0917  # pyright: ignore[reportUnusedFunction]
        caller: Annotated[Caller, Depends(keeper.admit)],
        graph: Annotated[str | None, Query(description="Only runs of this graph.", max_length=200)] = None,
        status: Annotated[
            list[_STATUSES] | None, BeforeValidator(_given), Query(description="Only runs of these statuses.")
        ] = None,
        session: Annotated[
            str | None, Query(description="Only runs of this session.", max_length=200, pattern=r"^[^\x00]*$")
        ] = None,
        after: Annotated[str | None, Query(description="The `next` of the page before.", max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="At most so many.")] = 100,
    ) -> Response:
        """The caller's runs, newest first."""
        page = await service.list(
            caller, graph=graph or None, statuses=status, session=session or None, after=after or None, limit=limit
        )
        return Json(page)

    @router.get("/runs/{run_id}", summary="Look at a run", responses=answers(200, "run", 400, 401, 404, 409, 429, 503))
    async def look(run_id: RunId, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Where a run stands: status, state, pauses."""
        return Json(await service.look(caller, run_id))

    @router.get(
        "/runs/{run_id}/history", summary="Read the log", responses=answers(200, "history", 400, 401, 404, 429, 503)
    )
    async def history(  # pyright: ignore[reportUnusedFunction]
        run_id: RunId,
        caller: Annotated[Caller, Depends(keeper.admit)],
        after: Annotated[int, Query(ge=0, le=2**53, description="Begin behind this entry.")] = 0,
        limit: Annotated[int, Query(ge=1, le=500, description="At most so many.")] = 500,
    ) -> Response:
        """The run's entries, oldest first."""
        return Json(await service.history(caller, run_id, after=after, limit=limit))

    @router.get(
        "/runs/{run_id}/state",
        summary="Look at the state",
        responses=answers(200, "state", 400, 401, 404, 409, 429, 503),
    )
    async def state(  # pyright: ignore[reportUnusedFunction]
        run_id: RunId,
        caller: Annotated[Caller, Depends(keeper.admit)],
        at: Annotated[
            Annotated[int, Field(ge=1, le=2**53)] | None,
            BeforeValidator(_given),
            Query(description="As it was after this entry; the newest."),
        ] = None,
    ) -> Response:
        """The state as it was after an entry, and what that entry changed."""
        return Json(await service.state(caller, run_id, at))

    @router.get(
        "/runs/{run_id}/picture",
        summary="Draw a run",
        responses=text_answer("image/svg+xml", 400, 401, 404, 409, 429, 503),
        response_class=Response,
    )
    async def draw_run(run_id: RunId, caller: Annotated[Caller, Depends(keeper.admit)], form: Form = "svg") -> Response:  # pyright: ignore[reportUnusedFunction]
        """The run's graph with what it did."""
        picture = await service.picture(caller, run_id, form)
        return Response(picture, media_type=_FORMS[form], headers=_PICTURE_HEADERS)

    @router.get(
        "/runs/{run_id}/events",
        summary="Follow a run",
        responses=sse_answer(400, 401, 404, 409, 429, 503),
        response_class=Response,
    )
    async def follow(  # pyright: ignore[reportUnusedFunction]
        run_id: RunId,
        caller: Annotated[Caller, Depends(keeper.admit)],
        after: Annotated[str | None, Query(pattern=_CURSOR, description="Begin behind this event's id.")] = None,
        until: Annotated[
            Literal["stop", "end"], Query(description="`stop`: the stream ends when the run pauses; `end`: it goes on.")
        ] = "stop",
        last_event_id: Annotated[
            str | None, Header(description="What a browser sends when it reconnects; it goes before `after`.")
        ] = None,
    ) -> Any:
        """Everything behind a cursor, then what happens, as server-sent events; see the documentation of streams."""
        cursor = last_event_id or after or None
        try:
            return EventStream(await service.follow(caller, run_id, cursor, through=until == "end"))
        except RunNotFound:  # who has a cursor knew the run: it was deleted, and a browser must not ask for ever
            known = parsed_cursor(cursor)
            if cursor is None or known is None:
                raise
            return stream_of_nothing(run_id, known)


def _add_acts(router: APIRouter, service: RunService, keeper: Doorkeeper, limits: BodyLimits) -> None:
    acts = (400, 401, 404, 409, 413, 415, 422, 429, 503)

    def act(
        path: str, summary: str, model: type[BaseModel], example: str, *, status: int = 202, method: str = "POST"
    ) -> Any:
        return router.api_route(
            path,
            methods=[method],
            status_code=status,
            summary=summary,
            responses=answers(status, "acted", *acts),
            openapi_extra=body_of(model, EXAMPLES[example]),
        )

    @act("/runs/{run_id}/answers/{pause_id}", "Answer a pause", AnswerBody, "answer")
    async def answer(
        run_id: RunId, pause_id: str, request: Request, caller: Annotated[Caller, Depends(keeper.admit)]
    ) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Answer what a run asks; durable when 202 is sent, and the run goes on."""
        given = await read_body(request, AnswerBody, limits)
        return Json(await service.answer(caller, run_id, pause_id, given.value, by=given.by), 202)

    @act("/runs/{run_id}/resume", "Go on with a run", CancelBody, "nothing")
    async def resume(run_id: RunId, request: Request, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Release breakpoints, or try again what failed."""
        await read_body(request, CancelBody, limits)
        return Json(await service.resume(caller, run_id), 202)

    @act("/runs/{run_id}/retry", "Do a step again", RetryBody, "retry")
    async def retry(run_id: RunId, request: Request, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Do a step again, and all that came after it, in a new run; without a step, what failed in this one."""
        given = await read_body(request, RetryBody, limits)
        return Json(await service.retry(caller, run_id, given.step, given.updates), 202)

    @act("/runs/{run_id}/cancel", "End a run", CancelBody, "cancel")
    async def cancel(run_id: RunId, request: Request, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """End a run for good: durable first, then whatever is in flight is cancelled."""
        given = await read_body(request, CancelBody, limits)
        return Json(await service.cancel(caller, run_id, given.reason), 202)

    @act("/runs/{run_id}/fork", "Fork a run", ForkBody, "fork")
    async def fork(run_id: RunId, request: Request, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Start a run that begins with this one's entries."""
        given = await read_body(request, ForkBody, limits)
        return Json(await service.fork(caller, run_id, given.at, given.updates), 202)

    @act("/runs/{run_id}/state", "Edit the state", EditBody, "edit", status=200, method="PATCH")
    async def edit(run_id: RunId, request: Request, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Write to a run's state: steps that start later see it."""
        given = await read_body(request, EditBody, limits)
        return Json(await service.edit(caller, run_id, given.updates, replace=given.replace, by=given.by))

    @router.delete(
        "/runs/{run_id}",
        status_code=204,
        summary="Delete a run",
        responses=answers(204, None, 400, 401, 404, 429, 503),
        response_class=Response,
    )
    async def delete(run_id: RunId, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Forget a run; what is in flight is stopped first."""
        await service.delete(caller, run_id)
        return Response(status_code=204)


def new_router(prefix: str = "") -> APIRouter:
    """Return a router whose errors are problem details."""
    return APIRouter(prefix=prefix.rstrip("/"), route_class=ProblemRoute)


def _beside(request: Request, own: str, other: str) -> str:
    """Return the path of another route, whatever prefix this one was mounted under."""
    path: str = request.scope["path"]
    return path[: len(path) - len(own)] + other if path.endswith(own) else other
