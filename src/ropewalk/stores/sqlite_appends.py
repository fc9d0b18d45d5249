"""Appends to a SQLite store: many as one statement, or one by itself that says why it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ropewalk.errors import RunNotFound, RunTaken

if TYPE_CHECKING:
    from ropewalk.stores.sqlite_file import Job, SqliteFile

_VALUES_A_ROW = 7
_ROWS_A_STATEMENT = 512

Statement = tuple[str, list[Any]]


def append(  # noqa: PLR0917 - the hot path: keywords would have to travel in a dict of their own
    file: SqliteFile, run_id: str, epoch: int, after: int, bodies: Sequence[bytes], status: str, at: float
) -> None:
    found = file.execute(file.sql["key"], (run_id,)).fetchone()
    if found is None:
        raise RunNotFound(run_id)
    last = after + len(bodies)
    if file.execute(file.sql["fence"], (last, status, at, run_id, epoch, after)).rowcount != 1:
        raise RunTaken(run_id)
    for number, body in enumerate(bodies, after + 1):
        file.execute(file.sql["add_entry"], (found[0], number, body))


def as_statements(appends: Sequence[Job]) -> list[Statement]:
    """Return statements that do the appends in order; each is refused as a whole if one of its appends must be."""
    values: list[Any] = []
    for _, _, (run_id, epoch, after, bodies, status, at) in appends:
        if not bodies:
            values += (run_id, epoch, after, after, status, at, None)
        for last, body in enumerate(bodies, after + 1):
            values += (run_id, epoch, last - 1, last, status, at, body)
    most = _VALUES_A_ROW * _ROWS_A_STATEMENT
    return [_statement(values[start : start + most]) for start in range(0, len(values), most)]


def _statement(values: list[Any]) -> Statement:
    """Fill up to a power of two, so that ten statements, each prepared once, serve every number of rows."""
    rows = len(values) // _VALUES_A_ROW
    width = 1 << (rows - 1).bit_length()
    values += (None,) * (_VALUES_A_ROW * (width - rows))
    return _insert(width), values


@cache
def _insert(width: int) -> str:
    row = f"({', '.join('?' * _VALUES_A_ROW)})"
    return f"INSERT INTO appending VALUES {', '.join([row] * width)}"
