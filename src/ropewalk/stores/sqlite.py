"""A run store in one SQLite file: a writing thread that commits in groups, a reading thread beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ropewalk.contracts import NewRun, RunRecord
from ropewalk.stores import sqlite_reads, sqlite_writes
from ropewalk.stores.rules import check_new_run, known_statuses, store_closed, what_to_prune
from ropewalk.stores.sqlite_appends import append
from ropewalk.stores.sqlite_thread import SqliteThread

if TYPE_CHECKING:
    from ropewalk.stores.sqlite_file import SqliteFile

_WRITES_A_TRANSACTION = 512
_READS_A_TRANSACTION = 16
_ABOVE_ALL_KEYS = 2**63 - 1


class SqliteRunStore:
    """Keeps runs in the SQLite file at ``path``, which is created, with its folders, when it is first needed.

    Any number of processes may use the file at once, and any number of event loops one store. ``durability="full"``
    syncs the disk before a call returns; ``"normal"`` survives the death of the process, not always that of the
    machine.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["full", "normal"] = "full",
        lock_wait_seconds: float = 30.0,
    ) -> None:
        if os.fspath(path) in {"", ":memory:"}:
            raise ValueError(f"{path!r} names no file. Give the path of one, or use MemoryRunStore.")
        if durability not in {"full", "normal"}:
            raise ValueError(f"durability={durability!r} is unknown. Use 'full' or 'normal'.")
        self.path = Path(os.path.abspath(path))
        self._closed = False
        closed = partial(store_closed, f"The SQLite store {str(self.path)!r}")
        self._refusal = closed
        file = partial(_file, self.path, durability=durability, lock_wait_seconds=lock_wait_seconds)
        name = f"ropewalk-sqlite-{self.path.name}"
        self._writer = SqliteThread(
            f"{name}-writer", partial(file, writes=True), batch=_WRITES_A_TRANSACTION, closed=closed
        )
        self._reader = SqliteThread(
            f"{name}-reader", partial(file, writes=False), batch=_READS_A_TRANSACTION, closed=closed
        )

    async def create(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        check_new_run(run)
        return await self._writing().ask(sqlite_writes.create, run, bodies)

    async def append(
        self, run_id: str, *, epoch: int, after: int, bodies: Sequence[bytes], status: str, at: float
    ) -> None:
        if self._closed:
            raise self._refusal()
        await self._writer.ask(append, run_id, epoch, after, bodies, status, at)

    async def claim(self, run_id: str) -> RunRecord:
        return await self._writing().ask(sqlite_writes.claim, run_id)

    async def look(self, run_id: str) -> RunRecord:
        return await self._reading().ask(sqlite_reads.look, run_id)

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[tuple[int, bytes]]:
        return await self._reading().ask(sqlite_reads.read, run_id, after, limit)

    async def runs(
        self,
        *,
        graph: str | None = None,
        statuses: Sequence[str] | None = None,
        owner: str | None = None,
        session: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        wanted = None if statuses is None else known_statuses(statuses)
        return await self._reading().ask(sqlite_reads.runs, graph, wanted, (owner, session), after, limit)

    async def last_turn(self, *, owner: str | None, session: str) -> int:
        return await self._reading().ask(sqlite_reads.last_turn, owner, session)

    async def whose_turn(self, *, owner: str | None, session: str) -> RunRecord | None:
        return await self._reading().ask(sqlite_reads.whose_turn, owner, session)

    async def save_snapshot(self, run_id: str, *, epoch: int, number: int, body: bytes) -> None:
        await self._writing().ask(sqlite_writes.save_snapshot, run_id, epoch, number, body)

    async def snapshot(self, run_id: str, *, at: int | None = None) -> tuple[int, bytes] | None:
        return await self._reading().ask(sqlite_reads.snapshot, run_id, at)

    async def copy(self, run_id: str, new_run_id: str) -> None:
        await self._writing().ask(sqlite_writes.copy, run_id, new_run_id)

    async def delete(self, run_id: str) -> None:
        await self._writing().ask(sqlite_writes.delete, run_id)

    async def prune(self, older_than: timedelta, statuses: Sequence[str] | None = None) -> int:
        before, wanted = what_to_prune(older_than, statuses, now=time.time())
        pruned = 0
        below = _ABOVE_ALL_KEYS
        while True:  # between two rounds the appends of others get their turn
            keys: list[int] = await self._reading().ask(sqlite_reads.stale, before, wanted, below)
            if not keys:
                return pruned
            pruned += await self._writing().ask(sqlite_writes.delete_stale, keys, before, wanted)
            below = keys[-1]

    async def close(self) -> None:
        self._closed = True
        await self._reader.close()
        await self._writer.close()  # the last to leave folds the write-ahead log into the file

    def _writing(self) -> SqliteThread:
        if self._closed:
            raise self._refusal()
        return self._writer

    def _reading(self) -> SqliteThread:
        if self._closed:
            raise self._refusal()
        return self._reader


def _file(path: Path, *, writes: bool, durability: str, lock_wait_seconds: float) -> SqliteFile:
    from ropewalk.stores.sqlite_file import SqliteFile  # noqa: PLC0415 - importing ropewalk loads no database driver

    return SqliteFile(path, writes=writes, durability=durability, lock_wait_seconds=lock_wait_seconds)
