"""What comes most often to a SQLite store, admissions and appends, many as one statement."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ropewalk.stores.sqlite_appends import append
from ropewalk.stores.sqlite_writes import create

if TYPE_CHECKING:
    from ropewalk.contracts import NewRun
    from ropewalk.stores.sqlite_file import Job, Outcome

_VALUES_A_ROW = 12
_ROWS_A_STATEMENT = 512
_NO_ADMISSION = (None,) * 5

Statement = tuple[str, list[Any]]


def goes_along(job: Job) -> bool:
    """Tell whether a job can be part of such a statement; a fork shares entries, which takes several."""
    return job[1] is append or (job[1] is create and job[2][0].parent is None)


def as_statements(jobs: Sequence[Job]) -> list[Statement]:
    """Return statements that do the jobs in order; each is refused as a whole if one of its jobs must be."""
    values: list[Any] = []
    for _, work, args in jobs:
        if work is append:
            _add_append(values, *args)
        else:
            _add_admission(values, *args)
    most = _VALUES_A_ROW * _ROWS_A_STATEMENT
    return [_statement(values[start : start + most]) for start in range(0, len(values), most)]


def outcomes_of(jobs: Sequence[Job]) -> list[Outcome]:
    """Return what the callers get of jobs that were done: a new run's epoch, or nothing."""
    return [(future, 1 if work is create else None) for future, work, _ in jobs]


def _add_append(  # noqa: PLR0917 - the hot path: keywords would have to travel in a dict of their own
    values: list[Any], run_id: str, epoch: int, after: int, bodies: Sequence[bytes], status: str, at: float
) -> None:
    if not bodies:
        values += (run_id, epoch, after, after, status, at, None, *_NO_ADMISSION)
    for last, body in enumerate(bodies, after + 1):
        values += (run_id, epoch, last - 1, last, status, at, body, *_NO_ADMISSION)


def _add_admission(values: list[Any], run: NewRun, bodies: Sequence[bytes]) -> None:
    values += (run.run_id, 1, 0, 1, run.status, run.at, bodies[0]) if bodies else (
        run.run_id, 1, 0, 0, run.status, run.at, None
    )  # fmt: skip
    values += (run.graph, run.plan, run.owner, run.session, run.turn)
    if len(bodies) > 1:
        _add_append(values, run.run_id, 1, 1, bodies[1:], run.status, run.at)


def _statement(values: list[Any]) -> Statement:
    """Fill up to a power of two, so that ten statements, each prepared once, serve every number of rows."""
    rows = len(values) // _VALUES_A_ROW
    width = 1 << (rows - 1).bit_length()
    values += (None,) * (_VALUES_A_ROW * (width - rows))
    return _insert(width), values


@cache
def _insert(width: int) -> str:
    row = f"({', '.join('?' * _VALUES_A_ROW)})"
    return f"INSERT INTO writing VALUES {', '.join([row] * width)}"
