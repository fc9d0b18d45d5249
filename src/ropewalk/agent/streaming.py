"""Streams to the outside, in the form of seed 000: which events, where to, and how a model's parts become events."""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from pydantic_core import from_json

from ropewalk.contracts.messages import ToolCall
from ropewalk.contracts.model import ModelPart, Reply, Restarted, TextPart, ThinkingPart, ToolCallPart

Told = Callable[[dict[str, Any]], Awaitable[Any] | Any]
"""A callback, async or not."""


class StreamingEventType(StrEnum):
    """What a stream tells."""

    TEXT = "text"
    INPUT_JSON = "input_json"
    MESSAGE_STOP = "message_stop"
    CONTENT_BLOCK_STOP = "content_block_stop"
    TOOL_USE = "tool_use"
    MESSAGE_START = "message_start"
    ALL = "all"


def _text_only() -> set[StreamingEventType]:
    return {StreamingEventType.TEXT}


@dataclass(frozen=True)
class StreamingConfig:
    """Where a stream goes: to a Redis channel, to a callback, or to both."""

    enabled: bool = False
    event_types: Iterable[StreamingEventType | str] = field(default_factory=_text_only)
    redis_host: str | None = field(default=None, repr=False)
    """A host's name, or a whole URL: ``rediss://user:password@host:6379``."""
    redis_port: int = 6379
    redis_channel: str | None = None
    callback: Told | None = None
    event_type_mapping: Mapping[StreamingEventType | str, str] = field(default_factory=dict[Any, str])
    """Other words for the types: ``{"text": "token"}``."""

    def __post_init__(self) -> None:
        types = {StreamingEventType(one) for one in self.event_types}
        if StreamingEventType.ALL in types:
            types = set(StreamingEventType) - {StreamingEventType.ALL}
        object.__setattr__(self, "event_types", frozenset(types))
        names = {StreamingEventType(one).value: name for one, name in self.event_type_mapping.items()}
        object.__setattr__(self, "event_type_mapping", names)
        if self.enabled and not self.publishes and self.callback is None:
            raise ValueError(
                "A stream that is enabled goes somewhere: give redis_host and redis_channel, or a callback."
            )

    @property
    def publishes(self) -> bool:
        """Tell whether it goes to Redis."""
        return bool(self.redis_host and self.redis_channel)


class StreamFold:
    """Makes events of one reply's parts; pure but for what it remembers."""

    def __init__(self, message_id: str, model: str, types: Iterable[str]) -> None:
        self._id = message_id
        self._model = model
        self._types = frozenset(str(one) for one in types)
        self._begin()

    def _begin(self) -> None:
        self._started = False
        self._text = ""
        self._text_is_open = False
        self._call: ToolCallPart | None = None
        self._arguments = ""

    def take(self, part: ModelPart) -> list[dict[str, Any]]:
        """Return the events that a part makes, the wanted ones, without their time."""
        return [event for event in self._events(part) if event["type"] in self._types]

    def _events(self, part: ModelPart) -> Iterator[dict[str, Any]]:
        if isinstance(part, Restarted):
            self._begin()
            return
        if not self._started:
            yield from self._start()
            if isinstance(part, Reply):  # it was not streamed: make up for it
                for piece in _pieces_of(part):
                    yield from self._events(piece)
        match part:
            case TextPart(text=text):
                yield from self._close_call()
                self._text += text
                self._text_is_open = True
                yield {"type": "text", "text": text, "snapshot": self._text}
            case ToolCallPart():
                yield from self._close_text()
                yield from self._arguments_of(part)
            case Reply():
                yield from self._close_text()
                yield from self._close_call()
                yield {"type": "message_stop", "message": {"id": self._id, "role": "assistant"}}
            case ThinkingPart():
                pass

    def _start(self) -> Iterator[dict[str, Any]]:
        self._started = True
        usage = {"input_tokens": 0, "output_tokens": 0}  # not known before the end
        message = {"id": self._id, "model": self._model, "role": "assistant", "type": "message", "usage": usage}
        yield {"type": "message_start", "message": message}

    def _arguments_of(self, part: ToolCallPart) -> Iterator[dict[str, Any]]:
        if self._call is None or self._call.index != part.index:
            yield from self._close_call()
            self._call = part
        if part.arguments:
            self._arguments += part.arguments
            snapshot = _partial(self._arguments) if "input_json" in self._types else None
            yield {"type": "input_json", "partial_json": part.arguments, "snapshot": snapshot}

    def _close_text(self) -> Iterator[dict[str, Any]]:
        if self._text_is_open:
            self._text_is_open = False
            yield {"type": "content_block_stop", "content_block": {"type": "text", "text": self._text}}
            self._text = ""

    def _close_call(self) -> Iterator[dict[str, Any]]:
        call = self._call
        if call is not None:
            told = {"id": call.id, "name": call.name, "input": _partial(self._arguments)}
            self._call, self._arguments = None, ""
            yield {"type": "content_block_stop", "content_block": {"type": "tool_use", **told}}
            yield {"type": "tool_use", "tool_use": told}


def _pieces_of(reply: Reply) -> Iterator[ModelPart]:
    if reply.message.text:
        yield TextPart(reply.message.text)
    for index, call in enumerate(reply.message.tool_calls or []):
        yield ToolCallPart(index, call.id, call.name, _written(call))


def _written(call: ToolCall) -> str:
    return json.dumps(call.arguments) if call.invalid is None else call.invalid


def _partial(text: str) -> dict[str, Any]:
    """Return what of an object's JSON is there already."""
    try:
        found = from_json(text or "{}", allow_partial=True)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
