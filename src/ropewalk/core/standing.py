"""Where a run stands, as its user sees it: status, state, pauses, and how it ended.

All of it is told by the fold of the run's log.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ropewalk.codec import ANY
from ropewalk.core.facts import StateEdited
from ropewalk.core.offers import ShowsProgress, show_all
from ropewalk.core.schedule import Schedule
from ropewalk.core.state import Values
from ropewalk.errors import RunCancelled, RunFailed


class RunStatus(StrEnum):
    """Where a run stands."""

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    PAUSE = "PAUSED"
    """The seeds' name of PAUSED."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """What a paused run waits for."""

    id: str
    kind: str
    """question, approval or breakpoint."""
    node: str
    payload: Any
    expires_at: float | None = None
    """Until when it may be answered, in seconds since the epoch; None: for ever."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a run stands at one entry of its log."""

    status: RunStatus
    number: int
    """Of the newest entry."""
    state: dict[str, Any]
    """Plain JSON data, with what unfinished steps show of themselves."""
    pauses: tuple[Pause, ...]
    usage: dict[str, float | None]
    """What its models have used, by name; None as soon as one of them did not tell."""
    code: str | None = None
    """Why it failed or was cancelled, and where."""
    node: str | None = None
    message: str | None = None


def standing_of(schedule: Schedule, shows: list[ShowsProgress]) -> Standing:
    """Return all of it, of one moment; ``shows`` are the nodes' functions that show what is not finished."""
    over = schedule.stopped if schedule.status in ("FAILED", "CANCELLED") else None
    return Standing(
        status=RunStatus(schedule.status),
        number=schedule.number,
        state=_state_data(schedule, shows),
        pauses=tuple(pauses_of(schedule)),
        usage=dict(schedule.usage),
        code=over and over.code,
        node=over and over.node,
        message=over and over.message,
    )


def pauses_of(schedule: Schedule) -> list[Pause]:
    """Return every open question and breakpoint, oldest first."""
    return [
        Pause(
            id=pause.fact.pause,
            kind=pause.fact.kind,
            node=pause.fact.node,
            payload=ANY.validate_json(pause.fact.payload),
            expires_at=pause.fact.expires_at,
        )
        for pause in schedule.open_pauses.values()
    ]


def state_of(schedule: Schedule, edits: Iterable[StateEdited], shows: list[ShowsProgress]) -> Any:
    """Return an instance of the state class: what is committed, then ``edits``, which are not yet."""
    state = schedule.shape.to_state(_values_of(schedule, edits))
    show_all(shows, state, schedule)
    return state


def mirror(schedule: Schedule, edits: Iterable[StateEdited], shows: list[ShowsProgress], state: Any) -> None:
    """Make ``state``, the user's own object, show what `state_of` returns."""
    schedule.shape.mirror(_values_of(schedule, edits), state)
    show_all(shows, state, schedule)


def end_of(schedule: Schedule, cause: BaseException | None) -> Exception | None:
    """Return what ended the run as an error, when it failed or was cancelled; ``cause`` is what its node raised."""
    stopped = schedule.stopped
    if stopped is None or schedule.status not in ("FAILED", "CANCELLED"):
        return None
    if stopped.kind == "run_cancelled":
        return RunCancelled(schedule.run_id, stopped.message)
    error = RunFailed(
        schedule.run_id,
        reason=stopped.code or "failed",
        message=stopped.message or "",
        node=stopped.node,
        attempt=stopped.attempt,
    )
    error.__cause__ = cause
    return error


def _values_of(schedule: Schedule, edits: Iterable[StateEdited]) -> Values:
    values = schedule.union()
    for edit in edits:
        values = schedule.shape.fold(values, edit.writes)
    return values


def _state_data(schedule: Schedule, shows: list[ShowsProgress]) -> dict[str, Any]:
    if not shows or schedule.shape.state_class is None:
        return schedule.shape.to_json(schedule.union())
    return ANY.validate_json(state_of(schedule, (), shows).model_dump_json(warnings="none"))
