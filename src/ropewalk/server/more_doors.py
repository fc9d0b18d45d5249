"""Puts the other doors on a server: OpenAI's wire, chat user interfaces, metrics; and what goes on beside them."""

from typing import Any

from fastapi import APIRouter, Response

from ropewalk.errors import PartMissing
from ropewalk.server.bodies import BodyLimits
from ropewalk.server.openai_wire import add_openai_routes
from ropewalk.server.routes import Doorkeeper, new_router
from ropewalk.server.runs import RunService
from ropewalk.server.schedules import Scheduler
from ropewalk.server.ui_wire import add_ui_routes


class MoreDoors:
    """What `ropewalk serve` puts on its app beside runs: made before it serves, `start` and `close` around that."""

    def __init__(self, app: Any, service: RunService, *, body_limits: BodyLimits) -> None:
        keeper: Doorkeeper = app.state.keeper
        router = new_router()
        add_openai_routes(router, service, keeper, body_limits=body_limits)
        add_ui_routes(router, service, keeper, body_limits=body_limits)
        _add_metrics(app, router, service, keeper)
        app.include_router(router)
        schedules = [one for graph in service.graphs.values() for one in getattr(graph, "schedules", ())]
        self._scheduler = Scheduler(service, schedules)

    async def start(self) -> None:
        """Begin with what goes on by itself."""
        self._scheduler.start()

    async def close(self) -> None:
        """End it."""
        await self._scheduler.close()


def _add_metrics(app: Any, router: APIRouter, service: RunService, keeper: Doorkeeper) -> None:
    try:
        from ropewalk.server.metrics import add_metrics  # noqa: PLC0415  the extra is loaded by who serves
    except ImportError:

        @router.get("/metrics", include_in_schema=False)
        async def missing() -> Response:  # pyright: ignore[reportUnusedFunction]
            raise PartMissing("Metrics for Prometheus", "metrics")
    else:
        add_metrics(app, router, service, keeper, version=app.version)
