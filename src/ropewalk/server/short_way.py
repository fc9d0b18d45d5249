"""The request that comes most often, starting a run, without the framework's way to it.

The route is documented where all are (`server/routes.py`); this does the same with the same functions, and leaves
out what stands before and around them, which is most of what such a request costs. It stands outermost:

1. What it does not know, and what a page of another site may have sent, goes the long way.
2. So does what the first door would refuse: that is told there, before anything of the body is read.
"""

import time
from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from ropewalk.errors import RequestMalformed, RopewalkError
from ropewalk.server.answering import problem_response
from ropewalk.server.bodies import BodyLimits, StartBody, fitted, whole_body
from ropewalk.server.gateway import check_headers
from ropewalk.server.policy import DoorPolicy
from ropewalk.server.routes import MAX_KEY_LENGTH, MAX_NAME_LENGTH, Doorkeeper, asked_run
from ropewalk.server.runs import RunService, Started
from ropewalk.server.stream import Receive, Scope, Send

_BEFORE, _BEHIND = "/graphs/", "/runs"
_ROUTE = "/graphs/{graph}/runs"
_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
Answered = Callable[[str, str, int, float], None]
"""Told of each answer: method, the route's pattern, status, and the seconds until it began."""


class ShortWay:
    """Answers ``POST /graphs/{graph}/runs``; passes on everything else."""

    def __init__(  # noqa: PLR0917  what the long way is made of
        self,
        app: Any,
        service: RunService,
        keeper: Doorkeeper,
        policy: DoorPolicy,
        limits: BodyLimits,
        answered: Answered | None = None,
    ) -> None:
        self._app = app
        self._service = service
        self._keeper = keeper
        self._policy = policy
        self._limits = limits
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        graph = _graph_asked(scope)
        headers = None if graph is None else self._headers(scope)
        if graph is None or headers is None:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        try:
            started = await self._start(scope, headers, receive, graph)
        except RopewalkError as error:
            response = problem_response(error)
            self._tell(response.status_code, began)
            await response(scope, receive, send)
        except Exception as error:
            response = problem_response(error)
            self._tell(response.status_code, began)
            await response(scope, receive, send)
            raise  # the server writes it down
        else:
            self._tell(202, began)
            await _send(started, send)

    def _headers(self, scope: Scope) -> dict[str, str] | None:
        """Return the headers; None for what is told on the long way."""
        try:
            headers = check_headers(self._policy, scope)
        except RopewalkError:
            return None
        return None if "origin" in headers else headers

    async def _start(self, scope: Scope, headers: dict[str, str], receive: Receive, graph: str) -> Started:
        caller = await self._keeper.admit_by(scope, headers)
        key = headers.get("idempotency-key")
        if key is not None and len(key) > MAX_KEY_LENGTH:
            raise RequestMalformed(f"Idempotency-Key is longer than {MAX_KEY_LENGTH} characters.")
        given = fitted(await whole_body(headers, receive, self._limits), StartBody, self._limits)
        return await self._service.start(caller, graph, asked_run(given, key))

    def _tell(self, status: int, began: float) -> None:
        if self._answered is not None:
            self._answered("POST", _ROUTE, status, time.perf_counter() - began)


def _graph_asked(scope: Scope) -> str | None:
    """Return the graph that a run is to be started of; None for any other request."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
        return None
    path: str = scope["path"]
    if not path.startswith(_BEFORE) or not path.endswith(_BEHIND):
        return None
    graph = path[len(_BEFORE) : -len(_BEHIND)]
    return graph if 0 < len(graph) <= MAX_NAME_LENGTH and "/" not in graph else None


async def _send(started: Started, send: Send) -> None:
    body = to_json({"run_id": started.run_id, "status": started.status})
    location, length = f"/runs/{started.run_id}".encode(), str(len(body)).encode()
    headers = [*_HEADERS, (b"location", location), (b"content-length", length)]
    if not started.is_new:
        headers.append((b"idempotent-replayed", b"true"))
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": body})
