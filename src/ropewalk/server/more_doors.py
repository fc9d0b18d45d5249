"""Puts the other doors on a server: OpenAI's wire, chat user interfaces, metrics, MCP; and what goes on beside them."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from starlette.routing import Route

from ropewalk.errors import PartMissing
from ropewalk.server.answering import problem_response
from ropewalk.server.bodies import BodyLimits
from ropewalk.server.openai_wire import add_openai_routes
from ropewalk.server.routes import Doorkeeper, new_router
from ropewalk.server.runs import RunService
from ropewalk.server.schedules import Scheduler
from ropewalk.server.stream import Receive, Scope, Send
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
        self.answered = _add_metrics(app, router, service, keeper)
        """Takes in how a request was answered that does not go through the app: method, route, status, seconds."""
        self._mcp = LazyMcp(service, keeper, body_limits, version=app.version)
        app.router.routes.append(Route("/mcp", self._mcp))
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
        if self._worker is not None:
            await self._worker.__aenter__()
        await self._webhooks.start()
        self._scheduler.start()

    async def close(self) -> None:
        """End it."""
        await self._scheduler.close()
        await self._mcp.close()
        await self._webhooks.close()
        if self._worker is not None:
            await self._worker.drain()


def _add_metrics(
    app: Any, router: APIRouter, service: RunService, keeper: Doorkeeper
) -> Callable[[str, str, int, float], None] | None:
    try:
        from ropewalk.server.metrics import add_metrics  # noqa: PLC0415  the extra is loaded by who serves
    except ImportError:

        @router.get("/metrics", include_in_schema=False)
        async def missing() -> Response:  # pyright: ignore[reportUnusedFunction]
            raise PartMissing("Metrics for Prometheus", "metrics")

        return None
    return add_metrics(app, router, service, keeper, version=app.version).answered


class LazyMcp:
    """The door of MCP, whose SDK takes a second to load: it is loaded by the first request."""

    def __init__(self, service: RunService, keeper: Doorkeeper, limits: BodyLimits, *, version: str) -> None:
        self._made_of = (service, keeper, limits, version)
        self._door: Any = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; with what is missing where the extra is."""
        try:
            async with self._lock:
                if self._door is None:
                    door = await asyncio.to_thread(self._loaded)
                    await door.start()
                    self._door = door
        except PartMissing as error:
            await problem_response(error)(scope, receive, send)
        else:
            await self._door(scope, receive, send)

    def _loaded(self) -> Any:
        try:
            from ropewalk.server.mcp_door import McpDoor  # noqa: PLC0415  loaded when somebody asks
        except ImportError as error:
            raise PartMissing("Graphs as tools (MCP)", "mcp") from error
        service, keeper, limits, version = self._made_of
        return McpDoor(service, keeper, limits, version=version)

    async def close(self) -> None:
        if self._door is not None:
            await self._door.close()
