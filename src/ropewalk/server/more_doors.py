"""Puts the other doors on a server: OpenAI's wire, chat user interfaces, metrics, MCP; and what goes on beside them."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.routing import Route

from ropewalk.errors import PartMissing
from ropewalk.server.answering import problem_response
from ropewalk.server.bodies import BodyLimits
from ropewalk.server.openai_wire import add_openai_routes
from ropewalk.server.routes import Doorkeeper, new_router
from ropewalk.server.runs import RunService
from ropewalk.server.schedules import Scheduler
from ropewalk.server.ui_wire import add_ui_routes
from ropewalk.server.webhooks import Webhooks
from ropewalk.settings import DoorSettings


class MoreDoors:
    """What `ropewalk serve` puts on its app beside runs: made before it serves, `start` and `close` around that."""

    def __init__(
        self,
        app: Any,
        service: RunService,
        settings: DoorSettings,
        *,
        body_limits: BodyLimits,
        worker_of: Callable[[Any], Any],
    ) -> None:
        """``worker_of`` makes the worker that drives deliveries where runs are left to workers.

        Raises ValueError for schedules, secrets and addresses that cannot be right.
        """
        keeper: Doorkeeper = app.state.keeper
        router = new_router()
        add_openai_routes(router, service, keeper, body_limits=body_limits)
        add_ui_routes(router, service, keeper, body_limits=body_limits)
        _add_metrics(app, router, service, keeper)
        self._mcp = _add_mcp(app, service, keeper, body_limits)
        app.include_router(router)
        schedules = [one for graph in service.graphs.values() for one in getattr(graph, "schedules", ())]
        self._scheduler = Scheduler(service, schedules)
        self._webhooks = Webhooks(
            service,
            secrets=settings.webhook_secrets,
            urls=settings.webhooks,
            allowed_hosts=settings.webhook_hosts,
            for_workers=settings.for_workers,
        )
        self._worker = worker_of(self._webhooks.graph) if settings.for_workers else None

    async def start(self) -> None:
        """Begin with what goes on by itself."""
        if self._mcp is not None:
            await self._mcp.start()
        if self._worker is not None:
            await self._worker.__aenter__()
        await self._webhooks.start()
        self._scheduler.start()

    async def close(self) -> None:
        """End it."""
        await self._scheduler.close()
        if self._mcp is not None:
            await self._mcp.close()
        await self._webhooks.close()
        if self._worker is not None:
            await self._worker.drain()


def _add_metrics(app: Any, router: APIRouter, service: RunService, keeper: Doorkeeper) -> None:
    try:
        from ropewalk.server.metrics import add_metrics  # noqa: PLC0415  the extra is loaded by who serves
    except ImportError:

        @router.get("/metrics", include_in_schema=False)
        async def missing() -> Response:  # pyright: ignore[reportUnusedFunction]
            raise PartMissing("Metrics for Prometheus", "metrics")
    else:
        add_metrics(app, router, service, keeper, version=app.version)


def _add_mcp(app: Any, service: RunService, keeper: Doorkeeper, limits: BodyLimits) -> Any:
    try:
        from ropewalk.server.mcp_door import McpDoor  # noqa: PLC0415  the extra is loaded by who serves
    except ImportError:

        async def missing(_: Request) -> Response:
            return problem_response(PartMissing("Graphs as tools (MCP)", "mcp"))

        app.router.routes.append(Route("/mcp", missing, methods=["GET", "POST", "DELETE"]))
        return None
    door = McpDoor(service, keeper, limits, version=app.version)
    app.router.routes.append(door.route())
    return door
