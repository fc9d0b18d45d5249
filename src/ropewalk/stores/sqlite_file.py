"""One connection to a SQLite file: it does jobs in batches, a batch a transaction, and is opened anew after trouble.

1. Admissions and appends that follow each other are one statement. When it is refused, or anything else goes wrong,
   the batch is undone and done again job by job.
2. A job that is refused (`RunError`) has written nothing and touches no other.
3. When a job breaks the transaction, it is undone and every job is done again in one of its own.
4. When the medium is in trouble, nothing is tried again: everybody in the batch is told, and the next batch
   finds a new connection.
"""

import sqlite3
import time
from asyncio import Future
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from ropewalk.errors import RunError
from ropewalk.stores.sqlite_grouped import as_statements, goes_along, outcomes_of
from ropewalk.stores.sqlite_schema import bring_up_to_date, named_statements, prepare_writing
from ropewalk.stores.sqlite_trouble import in_our_words, is_locked, needs_new_connection

Work = Callable[..., Any]
"""What a job does: called with the file and the job's arguments, inside a transaction."""

Job = tuple["Future[Any]", Work, tuple[Any, ...]]
Outcome = tuple["Future[Any]", Any]


class SqliteFile:
    """Belongs to the thread that calls `do`."""

    def __init__(self, path: Path, *, writes: bool, durability: str, lock_wait_seconds: float) -> None:
        self.path = path
        self.sql: dict[str, str] = {}
        self.execute: Callable[..., sqlite3.Cursor]
        self._writes = writes
        self._begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._synchronous = "FULL" if durability == "full" else "NORMAL"
        self._lock_wait_seconds = lock_wait_seconds
        self._connection: sqlite3.Connection | None = None

    def do(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Do the jobs; return each one's future with its result or the exception that its caller gets."""
        done: list[Outcome] | Exception = []
        for way in (self._together, self._one_by_one):
            done = self._tried(way, jobs)
            if isinstance(done, list):
                return done
            if is_locked(done) or self._connection is None:  # every job would meet it
                break
        else:
            if len(jobs) > 1:
                return [outcome for job in jobs for outcome in self.do([job])]
        return [(future, self._told(done)) for future, _, _ in jobs]

    def close(self) -> None:
        """Let go of the file; the last connection to leave folds the write-ahead log into it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # trouble while folding loses nothing: the next to open does it
                connection.close()

    def _tried(self, way: Callable[[Sequence[Job]], list[Outcome]], jobs: Sequence[Job]) -> list[Outcome] | Exception:
        try:
            if self._connection is None:
                self._open()
            return way(jobs)
        except Exception as trouble:  # noqa: BLE001 - its callers wait in other threads: it is carried there
            self._take_back(trouble)
            return trouble

    def _together(self, jobs: Sequence[Job]) -> list[Outcome]:
        stretches = [(together, list(stretch)) for together, stretch in groupby(jobs, goes_along)]
        if len(stretches) == 1 and stretches[0][0]:
            statements = as_statements(jobs)
            if len(statements) == 1:  # a transaction by itself
                self.execute(*statements[0])
                return outcomes_of(jobs)
        outcomes: list[Outcome] = []
        self.execute(self._begin)
        for together, stretch in stretches:
            if together:
                for statement in as_statements(stretch):
                    self.execute(*statement)
                outcomes += outcomes_of(stretch)
            else:
                outcomes += self._each(stretch)
        self.execute("COMMIT")
        return outcomes

    def _one_by_one(self, jobs: Sequence[Job]) -> list[Outcome]:
        self.execute(self._begin)
        outcomes = self._each(jobs)
        self.execute("COMMIT")
        return outcomes

    def _each(self, jobs: Sequence[Job]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for future, work, args in jobs:
            try:
                outcomes.append((future, work(self, *args)))
            except RunError as refusal:
                outcomes.append((future, refusal))
        return outcomes

    def _take_back(self, trouble: Exception) -> None:
        if needs_new_connection(trouble):
            self.close()
        elif self._connection is not None and self._connection.in_transaction:
            try:
                self._connection.rollback()
            except sqlite3.Error:
                self.close()

    def _told(self, trouble: Exception) -> Exception:
        return in_our_words(trouble, self.path, self._lock_wait_seconds)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._lock_wait_seconds
        while True:
            connection = sqlite3.connect(self.path, timeout=self._lock_wait_seconds, isolation_level=None)
            try:
                bring_up_to_date(connection, self.path)
                self._set_up(connection)
            except Exception as trouble:
                connection.close()
                # Becoming a write-ahead log file is the one moment for which SQLite does not wait by itself.
                if not is_locked(trouble) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                self._connection = connection
                return

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if self._writes:
            prepare_writing(connection)
        else:
            connection.execute("PRAGMA query_only = ON")
        self.sql = named_statements()
        self.execute = connection.cursor().execute
