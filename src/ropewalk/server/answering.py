"""How routes answer: JSON, and every error of ours as problem details, in whichever app they are mounted."""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic_core import to_json

from ropewalk.errors import Problem, RequestMalformed, RopewalkError
from ropewalk.server.problems import MEDIA_TYPE, headers_of, problem_of


class Json(Response):
    """A JSON response of plain data."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(to_json(content), status_code, dict(headers or {}) | {"cache-control": "no-store"})


def problem_response(error: Exception, status: int | None = None) -> Response:
    """Return the response that tells of an error; ``status`` where it depends on what was too large."""
    headers = headers_of(error) | {"cache-control": "no-store"}
    told = problem_of(error)
    if status is not None:
        told |= {"status": status, "title": HTTPStatus(status).phrase}
    return Response(to_json(told), told["status"], headers, media_type=MEDIA_TYPE)


def malformed(error: RequestValidationError) -> RequestMalformed:
    """Return FastAPI's refusal of a parameter in our words, without what was sent."""
    found = [Problem(".".join(map(str, one["loc"][1:])), str(one["msg"])) for one in error.errors()]
    return RequestMalformed("The request does not fit:", found)


class ProblemRoute(APIRoute):
    """A route whose errors are problem details."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_tell(request: Request) -> Response:
            try:
                return await handle(request)
            except RopewalkError as error:
                return problem_response(error)
            except RequestValidationError as error:
                return problem_response(malformed(error))

        return handle_or_tell
