"""The app of a pod: its routes behind the same first door as every server of ours."""

from fastapi import FastAPI

from ropewalk.chat.routes import ChatDoors, add_chat_routes
from ropewalk.server.gateway import FirstDoor, tell_errors
from ropewalk.server.policy import DoorPolicy
from ropewalk.server.routes import new_router
from ropewalk.server.told import package_version


def create_pod_app(doors: ChatDoors, policy: DoorPolicy) -> FastAPI:
    """Return the app of a pod."""
    app = FastAPI(title="Ropewalk gateway", version=package_version(), docs_url=None, redoc_url=None)
    app.state.keeper = doors.keeper
    router = new_router()
    add_chat_routes(router, doors)
    app.include_router(router)
    tell_errors(app)
    app.add_middleware(FirstDoor, policy=policy)
    return app
