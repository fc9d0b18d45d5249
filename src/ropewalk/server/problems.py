"""Every error as HTTP tells it: a status and problem details (RFC 9457) with the code that the exception has."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ropewalk.errors import RopewalkError

MEDIA_TYPE = "application/problem+json"

_STATUSES: Mapping[str, int] = {
    "request_malformed": 400,
    "request_unreadable": 400,
    "invalid_session": 400,
    "model_not_allowed": 400,
    "not_authenticated": 401,
    "origin_refused": 403,
    "graph_not_found": 404,
    "run_not_found": 404,
    "pause_not_found": 404,
    "entry_not_found": 404,
    "step_not_found": 404,
    "page_not_found": 404,
    "session_not_found": 404,
    "message_not_found": 404,
    "method_refused": 405,
    "already_answered": 409,
    "pause_expired": 409,
    "run_exists": 409,
    "run_finished": 409,
    "run_taken": 409,
    "run_interrupted": 409,
    "session_busy": 409,
    "turn_taken": 409,
    "graph_changed": 409,
    "request_too_large": 413,
    "too_large": 413,
    "media_type_refused": 415,
    "host_refused": 421,
    "answer_invalid": 422,
    "input_invalid": 422,
    "invalid_id": 422,
    "key_reused": 422,
    "unknown_field": 422,
    "wrong_type": 422,
    "not_storable": 422,
    "state_missing": 422,
    "limit_reached": 429,
    "part_missing": 501,
    "store_unavailable": 503,
    "bus_unavailable": 503,
    "store_full": 503,
    "store_read_only": 503,
    "store_corrupt": 503,
    "store_too_new": 503,
}
_TOLD = ("run_id", "pause_id", "session", "graph", "step", "field", "by", "at", "limit", "status")
"""Attributes of errors that are told beside the message."""


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error; 500 for what nobody expected."""
    return _STATUSES.get(error.code, 500) if isinstance(error, RopewalkError) else 500


def problem_of(error: Exception) -> dict[str, Any]:
    """Return the problem details of an error. Of one that nobody expected the message stays inside: it may hold
    anything.
    """
    status = status_of(error)
    title = HTTPStatus(status).phrase
    if not isinstance(error, RopewalkError):
        detail = "Something went wrong that nobody expected; the server's log has it."
        return {"type": _type("internal"), "title": title, "status": status, "detail": detail, "code": "internal"}
    problem: dict[str, Any] = {
        "type": _type(error.code),
        "title": title,
        "status": status,
        "detail": str(error),
        "code": error.code,
    }
    for name in _TOLD:
        value = getattr(error, name, None)
        if name not in problem and isinstance(value, str | int | float):
            problem[name] = value
    problems = getattr(error, "problems", ())
    if problems:
        problem["errors"] = [{"field": one.message, "message": one.hint} for one in problems]
    seconds = getattr(error, "retry_after_seconds", None)
    if seconds is not None:
        problem["retry_after_seconds"] = seconds
    return problem


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers that go with the problem."""
    status = status_of(error)
    if status in (429, 503):
        return {"Retry-After": str(max(1, round(getattr(error, "retry_after_seconds", 1))))}
    return {"WWW-Authenticate": "Bearer"} if status == 401 else {}


def _type(code: str) -> str:
    return f"urn:ropewalk:error:{code}"
