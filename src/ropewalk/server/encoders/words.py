"""What a run's events mean for those who show it as a conversation."""

from dataclasses import dataclass
from typing import Any, cast


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
class ToolWritten:
    """A piece of the arguments of a call that a model is writing: JSON text, of which the first piece may be empty."""

    call_id: str
    tool: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolDropped:
    """A call that a model had begun to write is not made: its reply begins anew."""

    call_id: str
    tool: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A model calls a tool: it is about to run, runs, or waits for somebody to approve it; told again where a person
    has changed its arguments.
    """

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
class ToolTold:
    """What a tool says while it runs, how far it is."""

    call_id: str
    tool: str
    data: Any


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


OfTools = ToolWritten | ToolDropped | ToolCalled | ToolTold | ToolEnded
Heard = Text | TextEnds | Thought | StepBegan | StepEnded | OfTools | Asked | Told | Stopped


def object_of(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one for what is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
