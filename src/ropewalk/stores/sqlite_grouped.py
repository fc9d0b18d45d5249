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

_OF_AN_APPEND = 7
_OF_AN_ADMISSION = 12
_NO_ADMISSION = (None,) * (_OF_AN_ADMISSION - _OF_AN_APPEND)
_VIEWS = {_OF_AN_APPEND: "appending", _OF_AN_ADMISSION: "writing"}
_ROWS_A_STATEMENT = 512

Statement = tuple[str, list[Any]]


def goes_along(job: Job) -> bool:
    """Tell whether a job can be part of such a statement; a fork shares entries, which takes several."""
    return job[1] is append or (job[1] is create and job[2][0].parent is None)


def as_statements(jobs: Sequence[Job]) -> list[Statement]:
    """Return statements that do the jobs in order; each is refused as a whole if one of its jobs must be."""
    values: list[Any] = []
    if all(job[1] is append for job in jobs):
        for _, _, args in jobs:
            _add_append(values, (), *args)
        return _statements(values, _OF_AN_APPEND)
    for _, work, args in jobs:
        if work is append:
            _add_append(values, _NO_ADMISSION, *args)
        else:
            _add_admission(values, *args)
    return _statements(values, _OF_AN_ADMISSION)


def outcomes_of(jobs: Sequence[Job]) -> list[Outcome]:
    """Return what the callers get of jobs that were done: a new run's epoch, or nothing."""
    return [(future, 1 if work is create else None) for future, work, _ in jobs]


def _add_append(  # noqa: PLR0917 - the hot path: keywords would have to travel in a dict of their own
    values: list[Any],
    rest: tuple[None, ...],
    run_id: str,
    epoch: int,
    after: int,
    bodies: Sequence[bytes],
    status: str,
    at: float,
) -> None:
    body = bodies[0] if bodies else None
    values += (run_id, epoch, after + 1, after + len(bodies), status, at, body, *rest)
    for number, further in enumerate(bodies[1:], after + 2):
        values += (run_id, None, number, None, None, None, further, *rest)


def _add_admission(values: list[Any], run: NewRun, bodies: Sequence[bytes]) -> None:
    body = bodies[0] if bodies else None
    values += (run.run_id, 1, 1, len(bodies), run.status, run.at, body)
    values += (run.graph, run.plan, run.owner, run.session, run.turn)
    for number, further in enumerate(bodies[1:], 2):
        values += (run.run_id, None, number, None, None, None, further, *_NO_ADMISSION)


def _statements(values: list[Any], width: int) -> list[Statement]:
    most = width * _ROWS_A_STATEMENT
    return [_statement(values[start : start + most], width) for start in range(0, len(values), most)]


def _statement(values: list[Any], width: int) -> Statement:
    """Fill up to a number of rows for which the statement is prepared: there are few of these."""
    rows = len(values) // width
    step = max(1, (1 << rows.bit_length()) // 8)
    filled = -(-rows // step) * step
    values += (None,) * (width * (filled - rows))
    return _insert(filled, width), values


@cache
def _insert(rows: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {_VIEWS[width]} VALUES {', '.join([row] * rows)}"
