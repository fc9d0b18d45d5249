"""The doors beside the plain ones: OpenAI's wire, chat user interfaces; and what starts and stops with them."""

from typing import Any

from ropewalk.server.bodies import BodyLimits
from ropewalk.server.openai_wire import add_openai_routes
from ropewalk.server.routes import new_router
from ropewalk.server.runs import RunService
from ropewalk.server.ui_wire import add_ui_routes


class MoreDoors:
    """What `ropewalk serve` puts on its app beside runs: made before it serves, `start` and `close` around that."""

    def __init__(self, app: Any, service: RunService, *, body_limits: BodyLimits) -> None:
        keeper = app.state.keeper
        router = new_router()
        add_openai_routes(router, service, keeper, body_limits=body_limits)
        add_ui_routes(router, service, keeper, body_limits=body_limits)
        app.include_router(router)

    async def start(self) -> None:
        """Begin with what goes on by itself."""

    async def close(self) -> None:
        """End it."""
