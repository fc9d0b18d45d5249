"""What tools see of the state and what becomes of their changes: each call has its own copy, all changes are kept.

Calls of one round see what was there before the round; their changes are taken in in the order of the calls. What a
call changed is part of its entry, so that a call which is not made again has changed the state all the same.
"""

from typing import Any, cast

from ropewalk.codec import to_plain
from ropewalk.contracts.messages import LLMMessage
from ropewalk.core.buffers import Items, LastValueBuffer, thaw
from ropewalk.core.state import Shape, Values, Write
from ropewalk.errors import ToolInvalid


class StateOfTools:
    """The state as the tools of one loop have left it."""

    def __init__(self, shape: Shape, values: Values) -> None:
        self._shape = shape
        self._first = values
        self._values = values
        self._seen = values

    @property
    def given(self) -> list[LLMMessage]:
        """The conversation that was there at the beginning."""
        return _messages(self._first)

    def begin_round(self, conversation: list[LLMMessage]) -> None:
        """Let the calls that follow see the state as it is now, with the conversation so far."""
        rich = self._values.rich
        self._seen = self._values
        if "messages" in rich:
            self._seen = Values(self._values.plain, {**rich, "messages": Items(conversation)})

    def view(self) -> Any:
        """Return the state for one call, to be changed in place."""
        return self._shape.view(self._seen) if self._shape.view_class is not None else None

    def changes(self, view: Any, tool: str) -> list[list[Any]]:
        """Return what a call has changed, as its entry has it. Raises what is wrong with the values."""
        if view is None or not self._shape.is_touched(view):
            return []
        writes = self._shape.changes(view, f"Tool {tool!r}")
        if any(write.field == "messages" and write.op == "set" for write in writes):
            raise ToolInvalid(tool, "it replaced what was said before", "Append to state.messages, change nothing.")
        self._shape.check_merge(self._seen, writes, f"tool {tool!r}")
        self._shape.check_size(writes, f"tool {tool!r}")
        return to_plain(self._shape.raw_writes(writes))

    def take_in(self, changes: list[list[Any]]) -> list[LLMMessage]:
        """Take in what a call has changed; return what it has added to the conversation."""
        added: list[LLMMessage] = []
        for write in self._shape.load(changes):
            if write.field == "messages" and isinstance(self._first.rich.get("messages"), Items):
                added += [write.value] if write.op == "add" else write.value
            else:
                self._values = self._shape.fold(self._values, [self._beside_others(write)])
        return added

    def write_into(self, view: Any) -> None:
        """Make the node's own view, or that of the call that asked an agent, show what the tools changed."""
        for name in self._shape.fields:
            now = _held(self._values, name)
            if now is not _held(self._first, name):
                setattr(view, name, thaw(now))

    def _beside_others(self, write: Write) -> Write:
        """Return the write so that it keeps what other calls of the round have done to the same value."""
        if write.op != "set" or not isinstance(self._shape.fields[write.field].buffer, LastValueBuffer):
            return write
        before, now = _held(self._seen, write.field), _held(self._values, write.field)
        if now is before:
            return write
        return write._replace(value=_both(before, now, write.value), raw=None)


def _both(before: Any, now: Any, new: Any) -> Any:
    """Return ``now`` with what turned ``before`` into ``new`` done to it; ``new`` where that cannot be told."""
    if isinstance(before, list) and isinstance(now, list) and isinstance(new, list):
        old, other, mine = cast("list[list[Any]]", [before, now, new])
        if mine[: len(old)] == old:
            return [*other, *mine[len(old) :]]
    elif isinstance(before, dict) and isinstance(now, dict) and isinstance(new, dict):
        olds, others, mines = cast("list[dict[Any, Any]]", [before, now, new])
        kept = {key: value for key, value in others.items() if key in mines or key not in olds}
        return kept | {key: value for key, value in mines.items() if key not in olds or olds[key] != value}
    return cast("Any", new)


def _messages(values: Values) -> list[LLMMessage]:
    held = values.rich.get("messages")
    return held.to_list() if isinstance(held, Items) else list(held or ())


def _held(values: Values, name: str) -> Any:
    return values.plain.get(name) if name in values.plain else values.rich.get(name)
