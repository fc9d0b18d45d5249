"""One graph behind routes that are mounted in an app of one's own: `create_graph_service`."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response

from ropewalk.contracts import RunStore
from ropewalk.server.auth import Authenticate, let_anybody_in
from ropewalk.server.bodies import BodyLimits, StartBody
from ropewalk.server.limits import Limiter, RequestLimits
from ropewalk.server.owned import Caller
from ropewalk.server.policy import policy_of
from ropewalk.server.routes import MAX_KEY_LENGTH, Doorkeeper, add_routes, new_router, start_run
from ropewalk.server.runs import RunService
from ropewalk.server.seed_routes import add_seed_routes
from ropewalk.server.told import EXAMPLES, answers, body_of
from ropewalk.server.websocket import add_websocket


class GraphService:
    """The routes of one graph (`router`), and what stands behind them (`runs`)."""

    def __init__(self, graph: Any, runs: RunService, router: APIRouter) -> None:
        self.graph = graph
        self.runs = runs
        self.router = router

    async def close(self) -> None:
        """Tell every stream to come back, and hand over the runs that are driven here.

        The app that the router is in calls it by itself, when it ends in order.
        """
        await self.runs.close()


def create_graph_service(
    graph: Any,
    checkpoint_storage: RunStore | None = None,
    path_prefix: str = "/graph",
    *,
    authenticate: Authenticate = let_anybody_in,
    allowed_hosts: Iterable[str] | None = None,
    allowed_origins: Iterable[str] = (),
    request_limits: RequestLimits | None = None,
    take_over: bool = False,
) -> GraphService:
    """Return a service of ``graph`` whose ``router`` is mounted in FastAPI: ``app.include_router(service.router)``.

    Many runs of the graph go on at once, each with its own state. ``checkpoint_storage`` is where they are kept.
    ``allowed_hosts`` are the names under which the app may be asked for (None: the app sees to that itself),
    ``allowed_origins`` the pages of other sites that may use its WebSocket, or send it what their browsers would send
    without asking. With ``take_over`` runs go on, when the app starts, that a dead process left: for one process alone.
    """
    if checkpoint_storage is not None and graph.store is not checkpoint_storage:
        graph.use_store(checkpoint_storage)
    runs = RunService([graph])
    policy = policy_of(
        allowed_hosts or (), allowed_origins, checks_hosts=allowed_hosts is not None, leaves_cors_to_the_app=True
    )
    keeper = Doorkeeper(authenticate, policy, Limiter(request_limits))
    runs.following.check = keeper.limiter.check_streams
    router = new_router(path_prefix)
    add_routes(router, runs, keeper)
    add_websocket(router, runs, keeper)
    _add_own_routes(router, runs, keeper, graph.name)
    add_seed_routes(router, runs, keeper, graph.name)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[None]:
        if take_over:
            await runs.driving.take_over()
        yield
        await runs.close()

    router.lifespan_context = lifespan
    return GraphService(graph, runs, router)


def _add_own_routes(router: APIRouter, runs: RunService, keeper: Doorkeeper, graph: str) -> None:
    """Let the prefix itself stand for the graph: ``POST {prefix}/runs`` starts a run of it."""
    errors = (400, 401, 404, 409, 413, 415, 422, 429, 503)
    told = body_of(StartBody, EXAMPLES["start"])

    @router.post(
        "/runs", status_code=202, summary="Start a run", responses=answers(202, "started", *errors), openapi_extra=told
    )
    async def start(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        caller: Annotated[Caller, Depends(keeper.admit)],
        idempotency_key: Annotated[str | None, Header(max_length=MAX_KEY_LENGTH)] = None,
    ) -> Response:
        """Start a run of this service's graph."""
        return await start_run(runs, caller, graph, request, idempotency_key, BodyLimits(), "/runs")


def wrap_graph_with_websocket(graph: Any, service: GraphService) -> Any:
    """Return ``graph``, whose runs are told over the WebSocket of ``service``; they are anyway, so this only checks.

    Also those that the graph itself executes: they are in the same store.
    """
    if service.graph is not graph:
        names = sorted(service.runs.graphs)
        raise ValueError(f"This service is that of {names[0]!r}. Give each graph its own: create_graph_service(graph).")
    return graph
