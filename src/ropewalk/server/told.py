"""What the OpenAPI document tells of each route: its answers, its body, an example of each."""

from importlib import metadata
from typing import Any

from pydantic import BaseModel

from ropewalk.server.problems import MEDIA_TYPE

_RUN_ID = "run_4f0c1f2be3f04b5f8a2f6f0d7f3c9a11"
_RECORD = {
    "run_id": _RUN_ID,
    "graph": "Issue",
    "status": "PAUSED",
    "session": None,
    "created": 1795348800.0,
    "updated": 1795348801.5,
    "entries": 6,
    "parent": None,
    "fork_at": None,
}
_RUN = _RECORD | {
    "state": {"headline": "Mayor joins the circus"},
    "pauses": [{"id": "p_1", "kind": "question", "node": "approve", "payload": "print this?", "expires_at": None}],
    "usage": {},
    "error": None,
}
_GRAPH = {
    "name": "Issue",
    "plan": "b5c1",
    "nodes": ["check", "choose", "approve"],
    "input_schema": {"type": "object", "properties": {"headline": {"type": "string"}}},
    "example": {"headline": ""},
}

EXAMPLES: dict[str, Any] = {
    "health": {"status": "ok"},
    "graphs": {"items": [_GRAPH], "next": None},
    "graph": _GRAPH,
    "start": {"input": {}},
    "started": {"run_id": _RUN_ID, "status": "RUNNING"},
    "runs": {"items": [_RECORD], "next": None},
    "run": _RUN,
    "history": {
        "items": [{"number": 1, "type": "run_started", "node": None, "data": {"graph": "Issue"}, "at": 1795348800.0}],
        "next": None,
    },
    "state": {
        "run_id": _RUN_ID,
        "at": 4,
        "state": {"headline": "Mayor joins the circus"},
        "changes": [{"field": "headline", "op": "replace", "before": "", "value": "Mayor joins the circus"}],
    },
    "acted": {"run_id": _RUN_ID, "status": "RUNNING"},
    "answer": {"value": True},
    "nothing": {},
    "retry": {"step": "choose"},
    "cancel": {"reason": "nobody waits for it"},
    "fork": {"at": 4, "updates": {"headline": "Rope found"}},
    "edit": {"updates": {"headline": "Rope found"}},
}

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "The same as the exception's."},
    },
}
_REASONS = {
    400: "The request cannot be read",
    401: "Nobody knows who asks",
    403: "A page of this origin may not ask",
    404: "There is no such thing, or it is somebody else's",
    409: "It cannot be done as things stand",
    413: "The body is too large",
    415: "The body is no JSON",
    421: "The server does not answer to this name",
    422: "The body does not fit",
    429: "Too much at a time; Retry-After says when to come again",
    431: "The headers are too large",
    503: "The store cannot be reached",
}


def package_version() -> str:
    """Return which version of the package serves; ``0+source`` where it is not installed."""
    try:
        return metadata.version("ropewalk")
    except metadata.PackageNotFoundError:
        return "0+source"


def answers(status: int, example: str | None, *errors: int) -> dict[int | str, dict[str, Any]]:
    """Return what is documented of a route that answers JSON."""
    told: dict[int | str, dict[str, Any]] = {status: {"description": "Done"}}
    if example is not None:
        shown = EXAMPLES[example]
        told[status]["content"] = {"application/json": {"schema": {"type": "object"}, "example": shown}}
    return told | _errors(errors)


def text_answer(media_type: str, *errors: int) -> dict[int | str, dict[str, Any]]:
    schema = {"schema": {"type": "string"}}
    content = {media_type: schema, "text/plain": schema, "text/vnd.graphviz": schema}
    return {200: {"description": "The picture", "content": content}} | _errors(errors)


def sse_answer(*errors: int) -> dict[int | str, dict[str, Any]]:
    event = (
        'event: text\nid: 3.2\ndata: {"run_id":"r","id":"3.2","type":"text","node":"write","data":{"text":"row "}}\n\n'
    )
    content = {"text/event-stream": {"schema": {"type": "string"}, "example": event}}
    return {200: {"description": "Events, until the run stops", "content": content}} | _errors(errors)


def body_of(model: type[BaseModel], example: Any) -> dict[str, Any]:
    """Return what is documented of a request's body."""
    schema = model.model_json_schema()
    needed = bool(schema.get("required"))
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": needed, "content": content}}


def _errors(statuses: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPE: {"schema": _PROBLEM}}
    return {status: {"description": _REASONS[status], "content": content} for status in sorted({*statuses, 403, 421})}
