"""Mends text that UTF-8 cannot carry, so that no log and no provider refuses what a model or a tool has said.

Half of a character (a lone surrogate) comes from providers that cut a stream through the middle of an emoji, and from
names of files that are no UTF-8.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic_core import PydanticSerializationError, to_json

from ropewalk.contracts.messages import ToolCall
from ropewalk.contracts.model import ModelPart, Reply, TextPart, ThinkingPart, ToolCallPart


def whole_text(text: str) -> str:
    """Return the text with halves that belong together joined, and those that stand alone replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def whole_data(value: Any) -> Any:
    """Return plain data with every text in it whole."""
    match value:
        case str():
            return whole_text(value)
        case list() | tuple():
            return [whole_data(item) for item in cast("list[Any]", value)]
        case dict():
            named = cast("dict[Any, Any]", value)
            return {whole_data(name): whole_data(item) for name, item in named.items()}
        case _:
            return value


def whole_reply(reply: Reply) -> Reply:
    """Return the reply as a log can hold it; the same one where nothing is amiss."""
    try:
        to_json(reply.message)
    except PydanticSerializationError:
        message = reply.message
        calls = None if message.tool_calls is None else [_whole_call(call) for call in message.tool_calls]
        told = {"content": whole_data(message.content), "tool_calls": calls, "echo": whole_data(message.echo)}
        return replace(reply, message=message.model_copy(update=told))
    return reply


def _whole_call(call: ToolCall) -> ToolCall:
    invalid = None if call.invalid is None else whole_text(call.invalid)
    return ToolCall(whole_text(call.name), whole_data(call.arguments), whole_text(call.id), invalid)


class Halves:
    """Joins the pieces of one stream where it was cut through a character."""

    def __init__(self) -> None:
        self._half: Mapping[object, str] = {}

    def take(self, part: ModelPart) -> ModelPart | None:
        """Return the part, whole; None where nothing of it can be told yet."""
        match part:
            case TextPart(text=text) | ThinkingPart(text=text):
                whole = self._joined(type(part), text)
                return replace(part, text=whole) if whole or not text else None
            case ToolCallPart(index=index, arguments=arguments):
                return replace(part, arguments=self._joined(index, arguments))
            case _:
                self._half = {}
                return part

    def _joined(self, key: object, text: str) -> str:
        text = self._half.get(key, "") + text
        half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        self._half = {key: half} if half else {}
        return whole_text(text.removesuffix(half) if half else text)
