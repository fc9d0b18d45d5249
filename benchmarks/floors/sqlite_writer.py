"""Bare SQLite: a writer thread that makes a fenced update and an insert durable before the caller goes on.

1. A run hands (run, epoch, number, body) to the thread through a queue and waits for a future.
2. The thread takes what is queued, up to a group, into one transaction: WAL, synchronous=FULL.
3. After the commit it wakes all of the group with one call into the loop.
"""

import asyncio
import queue
import sqlite3
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.measure import Clock, Costs

# The tables and statements of the hot path of ropewalk/stores/sql, so that the floor does the same work.
_SCHEMA = """
CREATE TABLE run (key INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
                  epoch INTEGER NOT NULL, last INTEGER NOT NULL, updated REAL NOT NULL) STRICT;
CREATE TABLE entry (run INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
                    PRIMARY KEY (run, number)) STRICT;
"""
_FENCE = """
UPDATE run SET last = ?, updated = ?
WHERE key = ? AND run_id = ? AND epoch = ? AND last = ? AND status = ?
"""
_INSERT = "INSERT INTO entry (run, number, body) VALUES (?, ?, ?)"
_GROUP = 512

Job = tuple[int, str, int, bytes, "asyncio.Future[None]"]


def steps(runs: int, steps: int, body_bytes: int = 150) -> Callable[[], Awaitable[Costs]]:
    """Append ``steps`` bodies to each of ``runs`` logs at once."""
    body = b"x" * body_bytes

    async def run(writer: "_Writer", key: int, run_id: str) -> None:
        for number in range(1, steps + 1):
            await writer.append(key, run_id, number, body)

    async def repeat() -> Costs:
        with tempfile.TemporaryDirectory() as folder:
            run_ids = list(enumerate(f"run-{number}" for number in range(runs)))
            writer = _Writer(Path(folder) / "floor.db", run_ids)
            with Clock(runs * steps) as clock:
                await asyncio.gather(*(run(writer, *pair) for pair in run_ids))
            writer.close()
        return clock.costs

    return repeat


class _Writer:
    def __init__(self, path: Path, run_ids: list[tuple[int, str]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(path,))
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            connection.executemany("INSERT INTO run VALUES (?, ?, 'RUNNING', 1, 0, 0.0)", run_ids)
        connection.close()
        self._thread.start()

    async def append(self, key: int, run_id: str, number: int, body: bytes) -> None:
        future = self._loop.create_future()
        self._jobs.put((key, run_id, number, body, future))
        await future

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _work(self, path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        while (job := self._jobs.get()) is not None:
            group = [job]
            while len(group) < _GROUP and not self._jobs.empty():
                following = self._jobs.get_nowait()
                if following is None:
                    self._jobs.put(None)
                    break
                group.append(following)
            self._commit(connection, group)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, group: list[Job]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for key, run_id, number, body, _ in group:
            fence = (number, 0.0, key, run_id, 1, number - 1, "RUNNING")
            if connection.execute(_FENCE, fence).rowcount != 1:
                raise RuntimeError("the floor lost its own fence")
            connection.execute(_INSERT, (key, number, body))
        connection.execute("COMMIT")
        self._loop.call_soon_threadsafe(_wake, group)


def _wake(group: list[Job]) -> None:
    for *_, future in group:
        future.set_result(None)
