"""The app of a pod: its routes behind the same first door as every server of ours."""

from typing import Any

from fastapi import FastAPI

from ropewalk.chat.closing import Closing
from ropewalk.chat.desk import ChatDesk
from ropewalk.chat.pod import Pod
from ropewalk.chat.relay import Relay
from ropewalk.chat.routes import Telling, add_chat_routes
from ropewalk.server.auth import Authenticate
from ropewalk.server.bodies import BodyLimits
from ropewalk.server.gateway import FirstDoor, tell_errors
from ropewalk.server.limits import Limiter, RequestLimits
from ropewalk.server.policy import policy_of
from ropewalk.server.routes import Doorkeeper, new_router
from ropewalk.settings import DoorSettings


def create_pod_app(  # noqa: PLR0913,PLR0917  the parts of one pod
    desk: ChatDesk,
    pod: Pod,
    relay: Relay,
    closing: Closing,
    telling: Telling,
    parts: Any,
    doors: DoorSettings,
    authenticate: Authenticate,
) -> FastAPI:
    """Return the app of a pod."""
    asked = RequestLimits(requests_per_second=doors.requests_per_second, streams_per_user=doors.streams_per_user)
    keeper = Doorkeeper(authenticate, None, Limiter(asked))
    app = FastAPI(title="Ropewalk gateway", docs_url=None, redoc_url=None)
    app.state.keeper = keeper
    router = new_router()
    add_chat_routes(
        router, desk, pod, relay, closing, telling, parts.bus, keeper, BodyLimits(bytes=doors.max_body_bytes)
    )
    app.include_router(router)
    tell_errors(app)
    policy = policy_of(doors.allowed_hosts, doors.allowed_origins, checks_hosts=not doors.asks_who)
    app.add_middleware(FirstDoor, policy=policy)
    return app
