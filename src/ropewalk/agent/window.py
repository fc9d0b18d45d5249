"""How much of a conversation a model gets to see: its newest part, cut only where no call is parted from its result."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ropewalk.contracts.messages import LLMMessage

Count = Callable[[LLMMessage], int]
Unit = list[LLMMessage]
"""What stands or falls together: a message, or one that calls tools with all that answers it."""


def rough_tokens(message: LLMMessage) -> int:
    """Return about how many tokens a message takes: four characters are one, and each message has some of its own."""
    content = message.content if isinstance(message.content, str) else json.dumps(message.content or "")
    calls = sum(len(call.name) + len(json.dumps(call.arguments)) for call in message.tool_calls or ())
    return (len(content) + calls) // 4 + 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The newest messages, as many as fit.

    System messages at the beginning are always seen, and so is the user's last message before the cut, when the cut
    would else begin in the middle of what the model does about it.
    """

    messages: int | None = None
    tokens: int | None = None
    count: Count = rough_tokens
    """Tokens of a message."""

    def of(self, messages: Sequence[LLMMessage]) -> list[LLMMessage]:
        """Return what of a conversation is seen."""
        if self._fits(messages):
            return list(messages)
        first = next((at for at, one in enumerate(messages) if one.role != "system"), len(messages))
        head, body = list(messages[:first]), units_of(messages[first:])
        for start in range(1, len(body)):
            kept = _anchored(body, start)
            if self._fits([*head, *kept]):
                return [*head, *kept]
        return [*head, *_anchored(body, max(len(body) - 1, 0))]

    def _fits(self, messages: Sequence[LLMMessage]) -> bool:
        if self.messages is not None and len(messages) > self.messages:
            return False
        return self.tokens is None or sum(map(self.count, messages)) <= self.tokens


def units_of(messages: Sequence[LLMMessage]) -> list[Unit]:
    """Cut a conversation wherever it may be cut."""
    units: list[Unit] = []
    for message in messages:
        if message.role == "tool" and units:
            units[-1].append(message)
        else:
            units.append([message])
    return units


def _anchored(body: list[Unit], start: int) -> list[LLMMessage]:
    kept = [message for unit in body[start:] for message in unit]
    if kept and kept[0].role != "user":
        question = next((unit for unit in reversed(body[:start]) if unit[0].role == "user"), None)
        return [*(question or ()), *kept]
    return kept
