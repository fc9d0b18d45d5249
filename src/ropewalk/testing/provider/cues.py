"""What a script of the local provider is made of: answers, refusals, and answers that break."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ropewalk.contracts.messages import ToolCall

BreakKind = Literal["reset", "eof", "stall", "error_event", "bad_json"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Say:
    """An answer, told in the form of whichever API was asked."""

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    thinking: str = ""
    """Signed where the API signs it, and demanded back where the API demands that."""
    finish: str | None = None
    """``stop``, ``tool_calls``, ``length``, ``refusal``, ``filter``, ``context``, ``paused``; anything else is sent as
    it is. None: what fits the answer."""
    usage: bool = True
    """Whether the answer tells what it used."""
    cached_tokens: int = 0
    split_bytes: bool = False
    """A stream is written one byte at a time, characters torn apart."""
    delay_seconds: float = 0.0
    """Before the answer, and before each event of a stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refuse:
    """An HTTP error in the API's own form."""

    status: int
    code: str | None = None
    """What the API puts into ``error.code`` or ``error.type``: ``insufficient_quota``, ``overloaded_error``."""
    message: str = "refused by the script"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, kw_only=True, slots=True)
class Break:
    """An answer that ends badly."""

    kind: BreakKind
    """``reset``: the connection is torn down. ``eof``: a clean end, too early. ``stall``: silence on an open line.
    ``error_event``: an error inside the stream. ``bad_json``: an event, or a body, that is no JSON."""
    after: int | None = 3
    """Events of the stream that still arrive; None: it breaks before the first byte."""
    say: Say = field(default_factory=lambda: Say(text="one two three four five six"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request as it was received."""

    number: int
    """From 1, over all keys."""
    api: str
    """``chat``, ``responses``, ``messages``."""
    key: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


Answer = str | ToolCall | Sequence[str | ToolCall] | Say | Refuse | Break
Cue = Answer | Callable[[Asked], Answer]
Full = Say | Refuse | Break


def in_full(cue: Cue, asked: Asked) -> Full:
    """Return a cue of any form in its full one. Raises TypeError for what is no cue."""
    if callable(cue):
        cue = cue(asked)
    match cue:
        case Say() | Refuse() | Break():
            return cue
        case str():
            return Say(text=cue)
        case ToolCall():
            return Say(tool_calls=[cue])
        case list() | tuple():
            items = cast("Sequence[str | ToolCall]", cue)
            texts = [item for item in items if isinstance(item, str)]
            return Say(text="".join(texts), tool_calls=[item for item in items if isinstance(item, ToolCall)])
        case _:
            raise TypeError(f"{cue!r} is no cue: give a text, a ToolCall, a list of them, Say, Refuse or Break.")


def from_json(value: object) -> Cue:
    """Read a cue that another process sent: a text, a list, or an object with ``say``, ``refuse``, ``break``, ``call``.

    Raises ValueError, TypeError.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return [cast("str | ToolCall", from_json(item)) for item in cast("list[object]", value)]
    if isinstance(value, dict) and len(cast("dict[str, Any]", value)) == 1:
        ((kind, given),) = cast("dict[str, dict[str, Any]]", value).items()
        if kind == "call":
            return ToolCall(**given)
        if kind == "refuse":
            return Refuse(**given)
        if kind == "say":
            return _say(given)
        if kind == "break":
            say: dict[str, Any] = {"say": _say(given["say"])} if "say" in given else {}
            told: dict[str, Any] = {**given, **say}
            return Break(**told)
    raise ValueError(f"{value!r} is no cue: send a text, a list, or one of say, refuse, break, call.")


def _say(given: dict[str, Any]) -> Say:
    told: dict[str, Any] = {**given, "tool_calls": [ToolCall(**call) for call in given.get("tool_calls", [])]}
    return Say(**told)
