"""What goes to and comes from a stream on the server: messages, dead letters, a turn's outcomes and its results."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ropewalk.errors import NotReadable
from ropewalk.messaging.redis.talk import text
from ropewalk.messaging.redis.values import load


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamMessage:
    """One entry of a stream."""

    id: str
    data: Any
    attempt: int = 1
    """Which attempt of its group this is; those that failed and those that died are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A message that was given up."""

    id: str
    """Its place among the dead letters; what `replay_dead_letters` takes."""
    data: Any
    reason: str
    """``ErrorClass: message`` of the last attempt, ``WorkerDied: ...`` where that ended with its worker."""
    attempts: int
    group: str
    message_id: str
    """The id it had in the stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamStats:
    """Numbers of one group, for metrics."""

    length: int
    lag: int | None
    """Entries that nobody was given yet; None where the server cannot tell (entries were deleted)."""
    pending: int
    """Given to a worker and not finished, those that wait for another try included."""
    waiting: int
    """Of the pending: waiting for another try."""
    dead: int
    workers: int


class Taken(NamedTuple):
    """An entry as the server gave it."""

    id: str
    raw: bytes
    only: str
    """The group that it is for; empty when it is for all."""
    attempts: int
    """How many there were before this one."""


class Outcome(NamedTuple):
    """What became of an entry in a worker's hand."""

    kind: Literal["ok", "fail", "dead", "back"]
    taken: Taken
    reason: str = ""
    doubtful: bool = False
    """It was sent before, to a server that did not answer."""


class Turn(NamedTuple):
    """What the server did in one turn."""

    refused: Sequence[str]
    taken: Sequence[Taken]
    due_seconds: float | None
    suspects: int
    """How many wait for a worker that does nothing else: a worker died with them."""
    suspect_taken: bool


def as_arguments(outcomes: Sequence[Outcome]) -> list[Any]:
    """Return what turn.lua is told: what was done first, and in few words, since that is nearly all."""
    done = [outcome.taken.id for outcome in outcomes if outcome.kind == "ok" and not outcome.doubtful]
    arguments: list[Any] = [len(done), *done]
    for kind, taken, reason, doubtful in outcomes:
        if kind != "ok" or doubtful:
            raw = taken.raw if kind in ("fail", "dead") else b""
            arguments += [kind, taken.id, reason, raw, taken.attempts if doubtful else ""]
    return arguments


def as_taken(number: bytes, parts: Sequence[bytes], attempts: int) -> Taken:
    if len(parts) == 2 and parts[0] == b"data":
        return Taken(number.decode(), parts[1], "", attempts)
    fields = {parts[i]: parts[i + 1] for i in range(0, len(parts), 2)}
    raw = fields.get(b"data")
    if raw is None:  # another program's entry
        raw = json.dumps({text(name): text(value) for name, value in fields.items()}).encode()
    return Taken(text(number), raw, text(fields.get(b"only")), attempts)


def as_letter(number: str, parts: Sequence[bytes]) -> DeadLetter:
    fact = {text(parts[i]): parts[i + 1] for i in range(0, len(parts), 2)}
    try:
        data: Any = load(fact["data"], "A dead letter") if fact["data"] else None
    except NotReadable:
        data = fact["data"]  # that is why it is here
    return DeadLetter(
        id=number,
        data=data,
        reason=text(fact["reason"]),
        attempts=int(fact["attempts"]),
        group=text(fact["group"]),
        message_id=text(fact["id"]),
    )
