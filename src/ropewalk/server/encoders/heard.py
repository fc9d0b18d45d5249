"""Reads a run's events for those who show them as a conversation: text, never shown twice; tools, questions, ends.

A run tells its events for readers who can take something back: after a failed attempt the text of the next one replaces
it. Other people's streams only grow. So:

1. Text is counted by node. The step's entry, which has all of it, gives only what was not heard yet.
2. When an attempt starts over, what it says again is passed over as long as it is the same; where it differs, the part
   ends and another one begins with all of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ropewalk.events import LAST_OF_A_STRETCH, Event


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of what a node says."""

    node: str
    text: str


@dataclass(frozen=True, slots=True)
class TextEnds:
    """What this node says next is a part of its own."""

    node: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of what a model thinks aloud."""

    node: str
    text: str


@dataclass(frozen=True, slots=True)
class StepBegan:
    node: str
    step: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    node: str
    step: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A tool begins, or waits for somebody to approve it."""

    call_id: str
    tool: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class ToolEnded:
    call_id: str
    tool: str
    arguments: Any
    status: str
    """ok, or why there is no result: error, refused, rejected, expired, unknown."""
    result: Any
    error: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """The run waits for an answer to this."""

    pause_id: str
    kind: str
    node: str
    payload: Any


@dataclass(frozen=True, slots=True)
class Told:
    """Anything else that a node told its readers."""

    node: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run paused or ended."""

    kind: str
    code: str | None
    message: str | None


Heard = Text | TextEnds | Thought | StepBegan | StepEnded | ToolCalled | ToolEnded | Asked | Told | Stopped


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
                yield Thought(node, str(data.get("text", "")))
            case "step_started":
                self._nodes[str(data.get("step"))] = node
                yield StepBegan(node, str(data.get("step")))
            case "step_finished":
                yield from self._finished(node, data)
            case "step_failed":
                self._over(node)
                yield StepEnded(node, self._ended(data))
            case "reset":
                yield from self._reset(event.node, data)
            case "paused":
                yield from self._paused(node, data)
            case "answered":
                self.pauses.pop(str(data.get("pause")), None)
            case "snapshot":
                yield from self._snapshot(data)
            case _:
                yield from _heard_alone(event, data)

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

    def _finished(self, node: str, data: Mapping[str, Any]) -> Iterator[Heard]:
        text = data.get("text")
        voice = self._voices.get(node)
        if isinstance(text, str):
            heard = 0 if voice is None else voice.heard
            if heard < len(text):
                yield from self._text(node, text[heard:])
            voice = self._voices[node]
            voice.heard = max(0, voice.heard - len(text))
            if not voice.heard:
                del self._voices[node]
                yield TextEnds(node)
        yield StepEnded(node, self._ended(data))

    def _ended(self, data: Mapping[str, Any]) -> str:
        step = str(data.get("step"))
        self._nodes.pop(step, None)
        return step

    def _over(self, node: str) -> None:
        """Note that what the node said in this attempt is void."""
        voice = self._voices.get(node)
        if voice is not None:
            voice.before, voice.again, voice.heard = voice.said, "", 0

    def _reset(self, node: str | None, data: Mapping[str, Any]) -> Iterator[Heard]:
        """Start over: every node, or (a live event) one of them, with what it had said up to there."""
        for one in [*self._voices] if node is None else [node]:
            self._over(one)
        if node is not None and data.get("text"):
            yield from self._text(node, str(data["text"]))
        if node is None:
            for step, of in [*self._nodes.items()]:
                yield StepEnded(of, step)
            self._nodes.clear()

    # -- questions and tools ------------------------------------------------------------------------------------------

    def _paused(self, node: str, data: Mapping[str, Any]) -> Iterator[Heard]:
        self._over(node)
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


def object_of(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one for what is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _heard_alone(event: Event, data: Mapping[str, Any]) -> Iterator[Heard]:
    """Yield what an event means whatever came before it."""
    match event.type:
        case "tool_started" | "tool_call":
            told = _told(data)
            yield ToolCalled(str(told.get("call_id")), str(told.get("tool")), told.get("arguments"))
        case "tool_finished" | "tool_result":
            yield _tool_ended(_told(data))
        case "custom":
            yield Told(event.node, event.data)
        case _ if event.type in LAST_OF_A_STRETCH:
            yield Stopped(event.type, data.get("code"), data.get("message"))
        case _:
            pass


def _told(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry tells: its value, where it is one of a step's records."""
    return object_of(data.get("value")) or dict(data)


def _tool_ended(told: Mapping[str, Any]) -> ToolEnded:
    error = told.get("error")
    status = str(told.get("status") or ("error" if error else "ok"))
    call = (str(told.get("call_id")), str(told.get("tool")), told.get("arguments"))
    return ToolEnded(*call, status, told.get("result"), None if error is None else str(error))
