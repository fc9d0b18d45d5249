"""Reads what a tool loop tells: calls while they are written, proposed, made, and how they end. Pure.

1. A model writes a call: pieces of its arguments, live. They count for nothing until its reply is in the log.
2. The reply is in the log, and with it what is called with which arguments.
3. The call begins: told again only where a person has changed the arguments.
4. There is one result of each call.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ropewalk.events import Event
from ropewalk.server.encoders.words import OfTools, ToolCalled, ToolDropped, ToolEnded, ToolTold, ToolWritten, object_of

INNER = "call "
"""How the names of records begin that an agent keeps which another one has asked, as a tool."""
_ABOUT_THE_CALL = ("call_id", "tool")


class _Written(NamedTuple):
    node: str
    within: str | None
    """The call whose agent writes it."""
    tool: str


class ToolHearing:
    """The fold of what one run tells of its tools."""

    def __init__(self) -> None:
        self._written: dict[str, _Written] = {}
        """Calls that are being written, by id."""

    def hear(self, event: Event, data: Mapping[str, Any]) -> Iterator[OfTools]:
        """Yield what an event tells of tools; nothing for others."""
        match event.type:
            case "tool_arguments":
                yield from self._piece(event.node or "", data)
            case "tool_progress":
                yield from self._progress(data)
            case "tool_call":
                yield _called(object_of(data.get("value")))
            case "tool_result":
                yield _ended(object_of(data.get("value")))
            case _:
                pass

    def proposed(self, data: Mapping[str, Any]) -> Iterator[ToolCalled]:
        """Yield the calls of a model's reply that is in the log."""
        for call in object_of(object_of(data.get("value")).get("message")).get("tool_calls") or ():
            self._written.pop(call["id"], None)
            yield ToolCalled(call["id"], call["name"], call.get("arguments", {}))

    def drop(self, node: str | None, within: str | None = None) -> Iterator[ToolDropped]:
        """Note that what a node (None: each of them) was writing is void; ``within``: only what the agent of that call
        was writing.
        """
        for call_id, written in [*self._written.items()]:
            if node in (None, written.node) and within in (None, written.within):
                del self._written[call_id]
                yield ToolDropped(call_id, written.tool)

    def _piece(self, node: str, data: Mapping[str, Any]) -> Iterator[ToolWritten]:
        call_id, tool = data.get("call_id"), str(data.get("tool"))
        if isinstance(call_id, str) and call_id:  # one without an id gets it with the reply
            self._written.setdefault(call_id, _Written(node, data.get("within"), tool))
            yield ToolWritten(call_id, tool, str(data.get("arguments", "")))

    def _progress(self, data: Mapping[str, Any]) -> Iterator[OfTools]:
        call_id, tool = (str(data.get(name)) for name in _ABOUT_THE_CALL)
        if "reset" in data:
            yield from self.drop(None, call_id)
        told = {name: value for name, value in data.items() if name not in _ABOUT_THE_CALL}
        yield ToolTold(call_id, tool, told["data"] if [*told] == ["data"] else told)


def is_inner(data: Mapping[str, Any]) -> bool:
    """Tell whether a record is of an agent that another one asked: its words are not the answer's."""
    return str(data.get("name")).startswith(INNER)


def is_unusable(data: Mapping[str, Any]) -> bool:
    """Tell whether a reply is in the log for what it cost alone: it was cut off, or refused."""
    return str(data.get("name")).endswith(" unusable")


def _called(told: Mapping[str, Any]) -> ToolCalled:
    return ToolCalled(str(told.get("call_id")), str(told.get("tool")), told.get("arguments"))


def _ended(told: Mapping[str, Any]) -> ToolEnded:
    error = told.get("error")
    call = (str(told.get("call_id")), str(told.get("tool")), told.get("arguments"))
    return ToolEnded(*call, str(told.get("status")), told.get("result"), None if error is None else str(error))
