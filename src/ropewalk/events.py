"""What a run tells: entries, which are its log, and events, which are how readers follow it."""

from dataclasses import dataclass
from typing import Any

LAST_OF_A_STRETCH = frozenset({"run_paused", "run_done", "run_failed", "run_cancelled"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One numbered record of a run's log."""

    number: int
    type: str
    node: str | None
    data: dict[str, Any]
    """Plain JSON data."""
    at: float
    """Seconds since the epoch, by the clock of the process that wrote it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What `run.events()` yields: an entry (id ``"12"``) or a live event after it (id ``"12.3"``)."""

    id: str
    type: str
    node: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text for ``ctx.emit``; the step's entry holds all of them joined."""

    text: str


def parse_event_id(after: str | int | None) -> tuple[int, int]:
    """Return ``(entry, n)`` of an event id; None is the beginning. Raises ValueError for anything else."""
    if after is None:
        return (0, 0)
    entry, dot, live = str(after).partition(".")
    if not entry.isdecimal() or (dot and not live.isdecimal()):
        raise ValueError(f"{after!r} is no event id: ids look like '12' or '12.3'.")
    return (int(entry), int(live or 0))
