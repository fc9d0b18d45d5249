"""What the wires of all providers have in common: calls, usage and finishes out of JSON, requests into it."""

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from ropewalk.contracts.messages import LLMMessage, ToolCall
from ropewalk.contracts.model import Finish, ModelPart, ModelRequest, Reply, Usage
from ropewalk.errors import ModelReplyUnreadable

JsonObject = dict[str, Any]
OURS = frozenset({"messages", "input", "stream"})
"""What a request's ``extra`` may not set: it has fields of its own for them."""
ALREADY_JSON = frozenset({"messages", "input", "tools"})
"""Where the bulk of a request is."""


class Fold(Protocol):
    """Takes the events of one stream, in order."""

    ended: bool
    """Whether the terminal event has come."""

    def take(self, event: JsonObject) -> Iterable[ModelPart]:
        """Return what this event adds to the answer. Raises `ModelError` for an error event."""
        ...

    def reply(self) -> Reply:
        """Return the whole answer; only when `ended`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """How one API is spoken; pure."""

    build: Callable[[ModelRequest, str, bool], JsonObject]
    """Request, model, whether to stream -> keyword arguments of the SDK's ``create``."""
    read: Callable[[JsonObject], Reply]
    """The body of an answer that was not streamed. Raises `ModelError`."""
    fold: Callable[[], Fold]


def sendable(arguments: JsonObject, known: Container[str]) -> JsonObject:
    """Move into ``extra_body`` what the SDK's ``create`` has no name for (the provider is the one to refuse it), and
    what is JSON already: the SDK would walk through a whole conversation before every call, to make the same of it.
    """
    moved = {name: value for name, value in arguments.items() if name in ALREADY_JSON or name not in known}
    kept = {name: value for name, value in arguments.items() if name not in moved}
    demanded: JsonObject = {name: [] for name in ALREADY_JSON & moved.keys()}  # what extra_body has counts
    return {**kept, **demanded, "extra_body": {**moved, **below(arguments, "extra_body")}}


def with_extra(body: JsonObject, request: ModelRequest) -> JsonObject:
    """Add what the request passes through to the SDK, and its idempotency key. Raises ValueError."""
    clash = OURS & request.extra.keys()
    if clash:
        raise ValueError(f"extra may not set {', '.join(sorted(clash))}: the request has fields of its own for that")
    tools = [*listed(body, "tools"), *listed(request.extra, "tools")]  # the provider's own tools stand beside ours
    body = {**body, **request.extra, **({"tools": tools} if tools else {})}
    if request.idempotency_key is not None:
        body["extra_headers"] = {"Idempotency-Key": request.idempotency_key, **(body.get("extra_headers") or {})}
    return body


def arguments_text(call: ToolCall) -> str:
    """Return a call's arguments as the JSON object that every server can read, even those that were none."""
    return json.dumps(arguments_object(call), ensure_ascii=False)


def arguments_object(call: ToolCall) -> JsonObject:
    return call.arguments if call.invalid is None else {"invalid_arguments": call.invalid}


def read_call(name: str, call_id: str, arguments: object) -> ToolCall:
    """Return a call; its arguments come as JSON text, or as an object from servers that do it their way."""
    if isinstance(arguments, dict):
        return ToolCall(name, cast("JsonObject", arguments), call_id)
    text = str(arguments or "")
    try:
        value: Any = json.loads(text) if text.strip() else {}
    except ValueError:
        return ToolCall(name, {}, call_id, invalid=text)
    if not isinstance(value, dict):
        return ToolCall(name, {}, call_id, invalid=text)
    return ToolCall(name, cast("JsonObject", value), call_id)


def made_reply(
    *,
    provider: str,
    body: Mapping[str, Any],
    text: str,
    calls: Sequence[ToolCall],
    finish: Finish,
    usage: Usage,
    echo: list[JsonObject] | None = None,
) -> Reply:
    """Return a reply. Calls are kept only where they are to be made: what was cut off is no call."""
    if finish == "tool_calls" and not calls:
        raise ModelReplyUnreadable("it says that it calls tools and names none")
    if finish == "stop" and calls:  # several local servers end a tool call with "stop"
        finish = "tool_calls"
    kept = list(calls) if finish == "tool_calls" else None
    message = LLMMessage(
        role="assistant", content=text or None, tool_calls=kept, echo={provider: echo} if echo else None
    )
    return Reply(
        message=message,
        finish=finish,
        usage=usage,
        provider=provider,
        model=str(body.get("model") or ""),
        response_id=body.get("id"),
    )


def known_finish(reason: object, table: Mapping[str, Finish]) -> Finish:
    """Return our word for a provider's. Raises `ModelReplyUnreadable` for one that nobody knows."""
    finish = table.get(str(reason))
    if finish is None:
        raise ModelReplyUnreadable(
            f"it ended for a reason that is not known: {reason!r}; known are {', '.join(table)}", retryable=False
        )
    return finish


def unmeasured() -> Usage:
    """Return the usage of an answer that tells none."""
    return Usage(cost=None, unmeasured_calls=1)


def count(values: Mapping[str, Any] | None, name: str) -> int:
    return int((values or {}).get(name) or 0)


def below(values: Mapping[str, Any], name: str) -> JsonObject:
    """Return the object under a name, an empty one where there is none."""
    return values.get(name) or {}


def listed(values: Mapping[str, Any], name: str) -> list[JsonObject]:
    """Return the objects under a name, none where there are none."""
    return values.get(name) or []
