"""The app that `ropewalk serve` runs: the routes behind middleware that refuses what no route should see.

1. Raw ASGI, outermost: size of the headers, Host and Origin, CORS for the origins that are allowed.
2. Routes (`server/routes.py`) and the WebSocket; who asks is found out there.
3. Whatever error comes out is told as problem details; the third and last place where every exception is caught.
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from ropewalk.errors import (
    MethodRefused,
    OriginRefused,
    PageNotFound,
    RequestMalformed,
    RequestTooLarge,
    RopewalkError,
)
from ropewalk.server.answering import malformed, problem_response
from ropewalk.server.auth import Authenticate, let_anybody_in
from ropewalk.server.bodies import BodyLimits
from ropewalk.server.limits import Limiter
from ropewalk.server.policy import DoorPolicy
from ropewalk.server.routes import Doorkeeper, add_routes, new_router
from ropewalk.server.runs import RunService
from ropewalk.server.stream import Receive, Scope, Send
from ropewalk.server.told import package_version
from ropewalk.server.websocket import add_websocket

log = logging.getLogger("ropewalk")

MAX_HEADER_BYTES = 32 * 1024
_ALLOWED_HEADERS = b"authorization, content-type, idempotency-key, last-event-id"
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    service: RunService,
    *,
    authenticate: Authenticate = let_anybody_in,
    policy: DoorPolicy | None = None,
    limiter: Limiter | None = None,
    body_limits: BodyLimits | None = None,
    lifespan: Lifespan | None = None,
    version: str | None = None,
) -> FastAPI:
    """Return the app of ``service``; more doors are mounted on it by whoever puts the parts together.

    ``app.state.keeper`` asks who is there, for doors that come later. ``version`` is told by the app's document and to
    its clients; None is the package's.
    """
    keeper = Doorkeeper(authenticate, None, limiter)
    service.following.check = keeper.limiter.check_streams
    app = FastAPI(
        title="Ropewalk",
        version=version or package_version(),
        lifespan=lifespan or _lifespan_of(service),
        docs_url=None,
        redoc_url=None,
    )
    app.state.keeper, app.state.service = keeper, service
    router = new_router()
    add_routes(router, service, keeper, body_limits=body_limits)
    add_websocket(router, service, keeper)
    app.include_router(router)
    tell_errors(app)
    app.add_middleware(FirstDoor, policy=policy or DoorPolicy())
    return app


def _lifespan_of(service: RunService) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await service.close()

    return lifespan


def tell_errors(app: FastAPI) -> None:
    """Let every error be problem details, those of the framework too."""

    async def ours(_: Request, error: Exception) -> Response:
        return problem_response(error)

    async def parameter(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(malformed(error))

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return problem_response(PageNotFound())
        if error.status_code == 405:
            response = problem_response(MethodRefused(request.method[:20]))
            response.headers.update(error.headers or {})
            return response
        return problem_response(RequestMalformed("The request cannot be read."))

    async def unexpected(_: Request, error: Exception) -> Response:
        return problem_response(error)

    app.add_exception_handler(RopewalkError, ours)
    app.add_exception_handler(RequestValidationError, parameter)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(Exception, unexpected)


def check_headers(policy: DoorPolicy, scope: Scope) -> dict[str, str]:
    """Return the headers of a request, names in lower case, the last of several. Raises `RequestTooLarge`,
    `RequestMalformed`, `HostRefused`, `OriginRefused`.
    """
    given: list[tuple[bytes, bytes]] = scope["headers"]
    size = hosts = 0
    plain: dict[str, str] = {}
    for name, value in given:
        size += len(name) + len(value)
        hosts += name == b"host"
        plain[name.decode("latin-1")] = value.decode("latin-1")
    if size > MAX_HEADER_BYTES:
        raise RequestTooLarge("What the headers hold", MAX_HEADER_BYTES)
    if hosts > 1:
        raise RequestMalformed("The request names several hosts.")
    policy.check(scope.get("method", "GET"), plain, is_websocket=scope["type"] == "websocket")
    return plain


class FirstDoor:
    """Refuses requests by their headers alone, before anything is read of them."""

    def __init__(self, app: Any, policy: DoorPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            check_headers(self._policy, scope)
        except RopewalkError as error:
            await _refuse(error, scope, receive, send)
            return
        origin = headers.get("origin")
        if scope["type"] == "websocket" or origin is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await self._preflight(origin, headers, scope, receive, send)
        else:
            await self._app(scope, receive, self._with_cors(origin, headers, send))

    async def _preflight(self, origin: str, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._policy.allows_origin(origin, headers.get("host", "")):
            await _refuse(OriginRefused(origin[:100]), scope, receive, send)
            return
        more = {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "GET, POST, PATCH, DELETE",
            "access-control-allow-headers": _ALLOWED_HEADERS.decode(),
            "access-control-max-age": "600",
            "vary": "Origin",
        }
        await Response(status_code=204, headers=more)(scope, receive, send)

    def _with_cors(self, origin: str, headers: Headers, send: Send) -> Send:
        if not self._policy.allows_origin(origin, headers.get("host", "")):
            return send

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                allowed = [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]
                exposed = [(b"access-control-expose-headers", b"location, retry-after")]
                message = {**message, "headers": [*message.get("headers", []), *allowed, *exposed]}
            await send(message)

        return sending


async def _refuse(error: RopewalkError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        return
    response = problem_response(error, 431 if isinstance(error, RequestTooLarge) else None)
    response.headers["connection"] = "close"
    await response(scope, receive, send)
