"""The tables of a SQLite store: told from strangers', created, and brought up to date by numbered steps.

1. `application_id` says that the file is ours, `user_version` how many steps of `sql/sqlite/` it has seen.
2. Each step and its number are one transaction, so that any number of processes may open a new file at once.
"""

import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from ropewalk.errors import StoreTooNew, StoreUnavailable

APPLICATION_ID = 0x526F7065  # "Rope"
OLDEST_SQLITE = (3, 37)  # STRICT tables


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Make the file a write-ahead log file with the newest tables; change nothing of a stranger's."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreUnavailable(
            f"{str(path)!r} was not opened: this Python brings SQLite {sqlite3.sqlite_version}, and the "
            "store needs 3.37 or newer. Use a newer Python build, or another store."
        )
    steps = _steps()
    seen = _seen(connection, path, len(steps))
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreUnavailable(
                f"{str(path)!r} was not opened: its file system, as those of networks, "
                f"allows no write-ahead log (SQLite stays at {mode!r}). Put the file on a local disk."
            )
    for number in range(seen + 1, len(steps) + 1):
        _apply(connection, path, steps, number)


@cache
def named_statements() -> dict[str, str]:
    """Return the statements of queries.sql by name."""
    text = (files("ropewalk.stores") / "sql/sqlite/queries.sql").read_text("utf-8")
    named = (part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return {name.strip(): _without_comments(body) for name, body in named}


def prepare_writing(connection: sqlite3.Connection) -> None:
    """Make what `sqlite_grouped` writes into; it lives in the connection, not in the file."""
    connection.execute("PRAGMA temp_store = MEMORY")
    for statement in _statements((files("ropewalk.stores") / "sql/sqlite/writing.sql").read_text("utf-8")):
        connection.execute(statement)


def _without_comments(body: str) -> str:
    return "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()


@cache
def _steps() -> tuple[str, ...]:
    folder = files("ropewalk.stores") / "sql/sqlite"
    numbered = {file.name: file for file in folder.iterdir() if file.name[:4].isdecimal()}
    return tuple(numbered[name].read_text("utf-8") for name in sorted(numbered))


def _seen(connection: sqlite3.Connection, path: Path, known: int) -> int:
    connection.execute("BEGIN")  # the three answers must be of one moment
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (seen,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    connection.execute("COMMIT")
    if application != APPLICATION_ID and (application or tables):
        raise StoreUnavailable(
            f"{str(path)!r} is a SQLite file of another program, so runs are not put into it. "
            "Choose another path for the store."
        )
    if seen > known:
        raise StoreTooNew(
            f"{str(path)!r} was written by a newer Ropewalk (its tables are of version {seen}, this one "
            f"knows {known}), so it was not touched. Upgrade Ropewalk, or choose another path for the store."
        )
    return seen


def _apply(connection: sqlite3.Connection, path: Path, steps: tuple[str, ...], number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] < number:  # else another process was first
            for statement in _statements(steps[number - 1]):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
