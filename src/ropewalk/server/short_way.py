"""The request that comes most often, starting a run, without the framework's way to it.

The route is documented where all are (`server/routes.py`); this does the same with the same functions, and leaves
out what FastAPI does to find out what to call: half of what such a request costs.
"""

from typing import Any, NamedTuple

from starlette.requests import Request

from ropewalk.errors import RequestMalformed, RopewalkError
from ropewalk.server.answering import problem_response
from ropewalk.server.bodies import BodyLimits
from ropewalk.server.routes import MAX_KEY_LENGTH, Doorkeeper, start_run
from ropewalk.server.runs import RunService
from ropewalk.server.stream import Receive, Scope, Send

_BEFORE, _BEHIND = "/graphs/", "/runs"


class _Route(NamedTuple):
    """What middleware looks for to tell routes apart."""

    path: str


_ROUTE = _Route("/graphs/{graph}/runs")


class ShortWay:
    """Answers ``POST /graphs/{graph}/runs``; passes on everything else."""

    def __init__(self, app: Any, service: RunService, keeper: Doorkeeper, limits: BodyLimits) -> None:
        self._app = app
        self._service = service
        self._keeper = keeper
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        path: str = scope.get("path", "")
        graph = path[len(_BEFORE) : -len(_BEHIND)]
        takes = scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path")
        if not takes or path != f"{_BEFORE}{graph}{_BEHIND}" or not graph or "/" in graph:
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE
        request = Request(scope, receive)
        try:
            caller = await self._keeper.admit(request)
            key = request.headers.get("idempotency-key")
            if key is not None and len(key) > MAX_KEY_LENGTH:
                raise RequestMalformed(f"Idempotency-Key is longer than {MAX_KEY_LENGTH} characters.")
            response = await start_run(self._service, caller, graph, request, key, self._limits, path)
        except RopewalkError as error:
            response = problem_response(error)
        await response(scope, receive, send)
