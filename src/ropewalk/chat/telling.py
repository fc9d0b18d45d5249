"""The text of a message, folded from its run's events: what is added to it, and when it must be said anew. Pure.

1. A node's tokens are a part. The entry that has all of it, the model's reply or the step's own, settles the part.
2. Several nodes that speak at once are told one after the other: the first to speak first.
3. What a lost or failed attempt, or a node that stopped to ask, has said is void; the text is then told anew. So is
   what no entry has when the run ends over it: whoever followed has what the history has.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from ropewalk.events import Event
from ropewalk.server.chat_replies import text_of

BETWEEN = "\n\n"
"""What stands between the parts."""


class Added(NamedTuple):
    """The text goes on."""

    text: str


class Anew(NamedTuple):
    """What was told is void; this stands for it."""

    text: str


class Telling:
    """One message's text, as far as its run has told it."""

    def __init__(self) -> None:
        self.shown = ""
        """What was told so far."""
        self.model = ""
        """Of the newest reply."""
        self._settled: list[str] = []
        self._open: dict[str, str] = {}
        """Node -> what it says, in the order in which they began."""

    @property
    def text(self) -> str:
        speaking = next(iter(self._open.values()), "")
        return BETWEEN.join(part for part in (*self._settled, speaking) if part)

    def take(self, events: Iterable[Event]) -> Added | Anew | None:
        """Take in what happened; return what is to be told of it."""
        for event in events:
            self._hear(event)
        return self.show(self.text)

    def show(self, text: str) -> Added | Anew | None:
        """Return what makes ``text`` of what was told so far."""
        before, self.shown = self.shown, text
        if text == before:
            return None
        return Added(text[len(before) :]) if text.startswith(before) else Anew(text)

    def _hear(self, event: Event) -> None:
        data = _object(event.data)
        node = event.node or ""
        match event.type:
            case "text":
                self._open[node] = self._open.get(node, "") + str(data.get("text", ""))
            case "model_replied":
                self._replied(node, data)
            case "step_finished":
                self._settle(node, data.get("text"))
            case "step_failed" | "paused":
                self._open.pop(node, None)
            case "run_failed" | "run_cancelled":
                self._open.clear()
            case "reset" if event.node is None:
                self._open.clear()
            case "reset":
                self._open[node] = str(data.get("text", ""))
            case _:
                pass

    def _replied(self, node: str, data: Mapping[str, Any]) -> None:
        name, value = str(data.get("name", "")), _object(data.get("value"))
        if "/" in name:  # of an agent that another one asked: its words are not the answer's
            return
        if name.endswith(" unusable"):
            self._open.pop(node, None)
            return
        self.model = str(value.get("model") or self.model)
        self._settle(node, text_of(_object(value.get("message"))))

    def _settle(self, node: str, text: Any) -> None:
        self._open.pop(node, None)
        if isinstance(text, str) and text:
            self._settled.append(text)


def answer_in(messages: Sequence[Any], asked: str) -> str | None:
    """Return what the assistant said in a conversation after the newest user's message ``asked``; None: nothing."""
    told = [_object(message) for message in messages]
    asked_at = [at for at, one in enumerate(told) if one.get("role") == "user" and text_of(one) == asked]
    if not asked_at:
        return None
    said = [text_of(one) for one in told[asked_at[-1] + 1 :] if one.get("role") == "assistant"]
    return BETWEEN.join(filter(None, said)) or None


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
