"""Where a run comes from: whose it is, which conversation it belongs to, which request asked for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What is known of a run's beginning beside its graph and input."""

    owner: str | None = None
    session: str | None = None
    request: str | None = None
    """Digest of the request, where one may come twice."""
    behind: str | None = None
    """The run that must have stopped before this one may begin: until somebody resumes it, nothing of it starts."""
    webhook: str | None = None
    """Who wants to be told when it stops."""
    turn: int | None = None
    """Which of its session's runs it is, counted from 1: while a lower one is RUNNING, nothing of it starts. None: it
    has no place in an order."""
    note: Mapping[str, Any] | None = None
    """What the door that admitted the run wants to find again; nobody else looks inside."""


NO_ORIGIN = Origin()
