"""An append to a SQLite store by itself: it says why it is refused; many as one statement are `sqlite_grouped`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ropewalk.errors import RunNotFound, RunTaken

if TYPE_CHECKING:
    from ropewalk.stores.sqlite_file import SqliteFile


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
