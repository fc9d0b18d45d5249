"""When the beginning of a conversation is summed up, how a model is asked to, and what is sent instead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ropewalk.agent.tool_state import ConversationSummary
from ropewalk.agent.window import Count, rough_tokens, units_of
from ropewalk.contracts.messages import LLMMessage
from ropewalk.contracts.model import Model

PROMPT = (
    "Sum up the conversation below for somebody who must go on with it. Keep every fact, name, number, decision, "
    "result of a tool and open question that may still matter; leave out small talk. Answer with the summary alone."
)
_INTRODUCTION = "Summary of the conversation before this point:\n\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Let a model sum up what is older than the newest messages, as soon as there is too much of it."""

    after_messages: int | None = None
    """How many may be sent; one more, and the oldest are summed up."""
    after_tokens: int | None = None
    keep: int = 8
    """How many of the newest stay as they are; more, where a call would be parted from its result."""
    model: Model | None = None
    """None: the agent's own."""
    prompt: str = PROMPT
    count: Count = rough_tokens

    def is_due(self, messages: Sequence[LLMMessage]) -> bool:
        """Tell whether there is too much to send."""
        if self.after_messages is not None and len(messages) > self.after_messages:
            return True
        return self.after_tokens is not None and sum(map(self.count, messages)) > self.after_tokens


class Parted(NamedTuple):
    """A conversation, cut where its summary ends."""

    head: list[LLMMessage]
    """System messages at the beginning: never summed up."""
    old: list[LLMMessage]
    new: list[LLMMessage]


def parted(messages: Sequence[LLMMessage], summary: ConversationSummary | None, keep: int | None = None) -> Parted:
    """Cut a conversation: behind what ``summary`` covers, or before its newest ``keep`` messages."""
    first = next((at for at, one in enumerate(messages) if one.role != "system"), len(messages))
    head, body = list(messages[:first]), list(messages[first:])
    start = 0
    if summary is not None:
        start = next((at + 1 for at, one in enumerate(body) if one.id == summary.until), 0)
    if keep is not None:
        units = units_of(body[start:])
        while units and sum(map(len, units)) > keep and len(units) > 1:
            start += len(units.pop(0))
    return Parted(head, body[:start], body[start:])


def request_to_sum_up(prompt: str, old: Sequence[LLMMessage], before: str | None) -> tuple[LLMMessage, ...]:
    """Return what the model is asked; the conversation is told, not held, so that no provider's rules apply to it."""
    told = [f"[summary of what came before] {before}"] if before else []
    told += [line for message in old for line in _lines(message)]
    return (LLMMessage(role="system", content=prompt), LLMMessage(role="user", content="\n".join(told)))


def with_summary(parts: Parted, summary: ConversationSummary) -> list[LLMMessage]:
    """Return the conversation with its summary in place of what it covers."""
    stands_for = LLMMessage(role="user", content=_INTRODUCTION + summary.text, should_show_to_user=False)
    return [*parts.head, stands_for, *parts.new]


def _lines(message: LLMMessage) -> list[str]:
    lines = [f"[{message.role}] {message.text}"] if message.text else []
    return lines + [f"[{message.role} calls {call.name}] {call.arguments}" for call in message.tool_calls or ()]
