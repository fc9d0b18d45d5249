"""Reads a run's events for those who show them as a conversation: text, never shown twice; tools, questions, ends.

A run tells its events for readers who can take something back: after a failed attempt the text of the next one replaces
it. Other people's streams only grow. So:

1. Text is counted by node. The entry that has all of it, a model's reply or the end of the step, gives only what was
   not heard yet; a reply is a part of its own.
2. When an attempt starts over, what it says again is passed over as long as it is the same; where it differs, the part
   ends and another one begins with all of it.
3. What tools do is read by `heard_tools`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ropewalk.events import LAST_OF_A_STRETCH, Event
from ropewalk.server.encoders.heard_tools import ToolHearing, is_inner, is_unusable
from ropewalk.server.encoders.words import (
    Asked,
    Heard,
    StepBegan,
    StepEnded,
    Stopped,
    Text,
    TextEnds,
    Thought,
    Told,
    ToolTold,
    object_of,
)


@dataclass(slots=True)
class _Voice:
    """What one node has said since its text last ended."""

    said: str = ""
    """What was passed on."""
    heard: int = 0
    """Characters of the attempts in flight, passed on or not."""
    before: str = ""
    """What the attempt before had said and was passed on: it is not passed on again."""
    again: str = ""
    """What of that has come again."""


class Hearing:
    """The fold of one run's events, from any cursor on."""

    def __init__(self, said: str = "") -> None:
        """``said`` is what a reader has from before: a step that begins anew may say it again."""
        self.usage: dict[str, float] = {}
        """What the run used up, as far as it was heard: input_tokens, output_tokens, ..."""
        self.pauses: dict[str, Asked] = {}
        """Questions that are open."""
        self._said = said
        self._tools = ToolHearing()
        self._voices: dict[str, _Voice] = {}
        self._nodes: dict[str, str] = {}
        """Step -> node of what is in flight."""

    def hear(self, event: Event) -> Iterator[Heard]:
        """Yield what an event means for a conversation; nothing for what it does not concern."""
        data = object_of(event.data)
        node = event.node or ""
        self._count(data.get("usage"))
        match event.type:
            case "text":
                yield from self._text(node, str(data.get("text", "")))
            case "thinking":
                yield _thought(node, data)
            case "model_replied":
                yield from self._replied(node, data)
            case "step_started" | "step_finished" | "step_failed":
                yield from self._step(event.type, node, data)
            case "reset":
                yield from self._reset(event.node, data)
            case "paused":
                yield from self._paused(node, data)
            case "answered":
                self.pauses.pop(str(data.get("pause")), None)
            case "snapshot":
                yield from self._snapshot(data)
            case _:
                yield from self._tools.hear(event, data)
                yield from _heard_alone(event, data)

    def _step(self, kind: str, node: str, data: Mapping[str, Any]) -> Iterator[Heard]:
        step, text = str(data.get("step")), data.get("text")
        if kind == "step_started":
            self._nodes[step] = node
            yield StepBegan(node, step)
            return
        if kind == "step_failed":
            yield from self._over(node)
        elif isinstance(text, str):
            yield from self._whole(node, text)
        yield from self._tools.drop(node)
        self._nodes.pop(step, None)
        yield StepEnded(node, step)

    # -- text ---------------------------------------------------------------------------------------------------------

    def _text(self, node: str, text: str) -> Iterator[Heard]:
        voice = self._voices.get(node)
        if voice is None:
            voice = self._voices[node] = _Voice(said=self._said, before=self._said)
            self._said = ""
        voice.heard += len(text)
        if not voice.before:
            if text:
                voice.said += text
                yield Text(node, text)
            return
        voice.again += text
        if voice.before.startswith(voice.again):
            return
        again, before = voice.again, voice.before
        voice.before = voice.again = ""
        if again.startswith(before):
            new = again[len(before) :]
        else:
            yield TextEnds(node)
            voice.said, new = "", again
        voice.said += new
        yield Text(node, new)

    def _replied(self, node: str, data: Mapping[str, Any]) -> Iterator[Heard]:
        """Take in a model's reply that is in the log: its text is said for good, then come its calls."""
        if is_unusable(data):
            if not is_inner(data):
                yield from self._over(node)
            return
        message = object_of(object_of(data.get("value")).get("message"))
        text = _text_of(message.get("content"))
        if text and not is_inner(data):
            yield from self._whole(node, text)
        elif (voice := self._voices.get(node)) is not None and not voice.heard:
            yield from self._part_ends(node)  # of an attempt at this reply that was void
        yield from self._tools.proposed(data)

    def _whole(self, node: str, text: str) -> Iterator[Heard]:
        """Take in all of what was said, now that it stands in the log."""
        voice = self._voices.get(node)
        heard = 0 if voice is None else voice.heard
        if heard < len(text):
            yield from self._text(node, text[heard:])
        voice = self._voices[node]
        voice.heard = max(0, voice.heard - len(text))
        if not voice.heard:
            if voice.again and voice.again != voice.before:  # this attempt said less than what was shown
                yield TextEnds(node)
                yield Text(node, voice.again)
            yield from self._part_ends(node)

    def _part_ends(self, node: str) -> Iterator[Heard]:
        del self._voices[node]
        yield TextEnds(node)

    def _over(self, node: str) -> Iterator[Heard]:
        """Note that what the node said in this attempt is void."""
        yield from self._tools.drop(node)
        voice = self._voices.get(node)
        if voice is not None:
            voice.before, voice.again, voice.heard = voice.said, "", 0

    def _reset(self, node: str | None, data: Mapping[str, Any]) -> Iterator[Heard]:
        """Start over: every node, or (a live event) one of them, with what it had said up to there."""
        yield from self._tools.drop(node)
        for one in [*self._voices] if node is None else [node]:
            yield from self._over(one)
        if node is not None and data.get("text"):
            yield from self._text(node, str(data["text"]))
        if node is None:
            for step, of in [*self._nodes.items()]:
                yield StepEnded(of, step)
            self._nodes.clear()

    # -- questions and tools ------------------------------------------------------------------------------------------

    def _paused(self, node: str, data: Mapping[str, Any]) -> Iterator[Heard]:
        yield from self._over(node)
        step = str(data.get("step"))
        if self._nodes.pop(step, None) is not None:
            yield StepEnded(node, step)
        asked = Asked(str(data.get("pause")), str(data.get("kind")), node, data.get("payload"))
        self.pauses[asked.pause_id] = asked
        yield asked

    def _snapshot(self, data: Mapping[str, Any]) -> Iterator[Heard]:
        for pause in cast("list[dict[str, Any]]", data.get("pauses") or []):
            asked = Asked(str(pause["id"]), str(pause["kind"]), str(pause["node"]), pause.get("payload"))
            if self.pauses.setdefault(asked.pause_id, asked) is asked:
                yield asked

    def _count(self, usage: Any) -> None:
        for name, amount in object_of(usage).items():
            if isinstance(amount, int | float):
                self.usage[name] = self.usage.get(name, 0) + amount


def _heard_alone(event: Event, data: Mapping[str, Any]) -> Iterator[Heard]:
    """Yield what an event means whatever came before it."""
    match event.type:
        case "custom":
            yield Told(event.node, event.data)
        case _ if event.type in LAST_OF_A_STRETCH:
            yield Stopped(event.type, data.get("code"), data.get("message"))
        case _:
            pass


def _thought(node: str, data: Mapping[str, Any]) -> Heard:
    """Return what a model thinks; that of an agent which another one asked belongs to its call."""
    text = str(data.get("text", ""))
    if "call_id" in data:
        return ToolTold(str(data["call_id"]), str(data.get("tool")), {"thinking": text})
    return Thought(node, text)


def _text_of(content: Any) -> str:
    """Return a message's text, whether its content is text or parts."""
    if isinstance(content, list):
        return "".join(str(object_of(part).get("text", "")) for part in cast("list[Any]", content))
    return content if isinstance(content, str) else ""
