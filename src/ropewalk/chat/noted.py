"""What the chat keeps with a run, and finds again in its first entry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ropewalk.server.chat_replies import text_of

KEY = "chat"
"""Of the run's note."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """Where the answer of a run is to go."""

    session_id: str
    correlation_id: str
    asked: str = ""
    """The user's message."""
    model: str = ""
    """What is told as the model of an answer that no model of ours has made."""
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the client said beside the message, but for the conversation it brought along."""
    timestamp: str | None = None
    """When the message came, as its first answer told it."""
    answers: Mapping[str, Any] | None = None
    """What it says to another message that asks; None: it begins something (`chat/replies.py`)."""
    is_first: bool = False
    """Its session had no other when it was taken."""
    behind: str | None = None
    """The newest message of its session when it was taken: as a rule the one whose history it goes on with."""

    def note(self) -> dict[str, Any]:
        about = {"session_id": self.session_id, "correlation_id": self.correlation_id, "model": self.model}
        answers = None if self.answers is None else dict(self.answers)
        more = {"timestamp": self.timestamp, "answers": answers, "is_first": self.is_first or None}
        more["behind"] = self.behind
        told = {name: value for name, value in more.items() if value is not None}
        return {KEY: {**about, "context": dict(self.context), **told}}


def noted_in(started: Mapping[str, Any]) -> Noted | None:
    """Return what stands in a run's first entry; None for a run that did not come from a chat."""
    told = _object(_object(started.get("note")).get(KEY))
    session_id = told.get("session_id")
    if not isinstance(session_id, str):
        return None
    messages = _object(started.get("state")).get("messages")
    newest = _object(cast("list[Any]", messages)[-1]) if isinstance(messages, list) and messages else {}
    return Noted(
        session_id=session_id,
        correlation_id=str(told.get("correlation_id") or ""),
        asked=text_of(newest),
        model=str(told.get("model") or ""),
        context=_object(told.get("context")),
        timestamp=told.get("timestamp"),
        answers=_object(told.get("answers")) or None,
        is_first=told.get("is_first") is True,
        behind=str(told["behind"]) if told.get("behind") else None,
    )


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
