"""What all stores of this house decide alike."""

from ropewalk.contracts import NewRun
from ropewalk.errors import StoreUnavailable

FINAL_STATUSES = ("DONE", "FAILED", "CANCELLED")
"""What `prune` deletes when it is not told otherwise."""


def check_new_run(run: NewRun) -> None:
    """Raise ValueError when the run's log could not be dense: only a fork begins behind entry 1."""
    if run.fork_at < 0 or (run.fork_at and run.parent is None):
        raise ValueError(
            f"Run {run.run_id!r} cannot begin behind entry {run.fork_at}: its parent is {run.parent!r}. "
            "Name the parent whose entries 1..fork_at it shares, or leave fork_at at 0."
        )


def store_closed(store: str) -> StoreUnavailable:
    """Return what every call of a closed store raises."""
    return StoreUnavailable(
        f"{store} was closed, so it can neither be read nor written; what was committed is where its "
        "medium keeps it. Close a store when nobody needs it any more, or open a new one."
    )
