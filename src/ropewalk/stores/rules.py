"""What all stores of this house decide alike."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, cast

from ropewalk.contracts import NewRun
from ropewalk.errors import StoreUnavailable, did_you_mean

STATUSES = ("RUNNING", "PAUSED", "DONE", "FAILED", "CANCELLED")
FINAL_STATUSES = ("DONE", "FAILED", "CANCELLED")
"""What `prune` deletes when it is not told otherwise."""


def check_new_run(run: NewRun) -> None:
    """Raise ValueError when the run's log could not be dense, or its turn has no order: only a fork begins behind entry
    1, and only a session counts turns.
    """
    if run.fork_at < 0 or (run.fork_at and run.parent is None):
        raise ValueError(
            f"Run {run.run_id!r} cannot begin behind entry {run.fork_at}: its parent is {run.parent!r}. "
            "Name the parent whose entries 1..fork_at it shares, or leave fork_at at 0."
        )
    if run.turn is not None and (run.session is None or run.turn < 1):
        raise ValueError(
            f"Run {run.run_id!r} cannot have turn {run.turn!r} in session {run.session!r}: turns are counted from 1, "
            "in a session. Name the session, and take the turn behind its last one."
        )


def known_statuses(given: object) -> list[str]:
    """Return the statuses that a caller names, each once.

    Raises TypeError and ValueError: a status that no run has would find nothing, and nobody would be told.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        meant = given.upper() if isinstance(given, str) and given.upper() in STATUSES else "DONE"
        raise TypeError(f"statuses is a list of them, not {given!r}. Write statuses=[{meant!r}].")
    named: list[Any] = [*cast("Iterable[Any]", given)]
    wrong = [one for one in named if one not in STATUSES]
    if wrong:
        told = " ".join(f"No run has the status {one!r}.{did_you_mean(str(one).upper(), STATUSES)}" for one in wrong)
        raise ValueError(told)
    return [*dict.fromkeys(map(str, named))]


def what_to_prune(older_than: object, statuses: object, *, now: float) -> tuple[float, list[str]]:
    """Return before when a run must have changed last to be pruned, and the statuses of those that are.

    Raises TypeError and ValueError, as `known_statuses` does: what is deleted by a slip does not come back.
    """
    if not isinstance(older_than, timedelta):
        raise TypeError(f"older_than is a timedelta, not {older_than!r}. For thirty days: timedelta(days=30).")
    if older_than < timedelta(0):
        raise ValueError(
            f"older_than is an age, 0 or more, not {older_than}: a run that changes only later would be pruned. "
            "For whatever is over by now: timedelta(0)."
        )
    wanted = [*FINAL_STATUSES] if statuses is None else known_statuses(statuses)
    return now - older_than.total_seconds(), wanted


def store_closed(store: str) -> StoreUnavailable:
    """Return what every call of a closed store raises."""
    return StoreUnavailable(
        f"{store} was closed, so it can neither be read nor written; what was committed is where its "
        "medium keeps it. Close a store when nobody needs it any more, or open a new one."
    )
