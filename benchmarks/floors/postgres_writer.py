"""Bare PostgreSQL: one connection, and whatever has come while a statement was under way is the next statement.

1. A run puts (run id, number, body) into a list and waits for a future.
2. One task sends all that waits as one statement: a fenced update of the runs, an insert of the entries, one commit.
3. Nothing else: no thread, no retry, no second owner, and the loop waits for the socket itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import psycopg

from benchmarks import database
from benchmarks.measure import Clock, Costs

# The columns of ropewalk/stores/sql/postgres that the hot path writes, so that the floor does the same work.
_SCHEMA = """
CREATE TABLE run (key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id text COLLATE "C" NOT NULL UNIQUE,
                  status text NOT NULL, epoch int NOT NULL, last int NOT NULL, updated float8 NOT NULL)
    WITH (fillfactor = 70);
CREATE TABLE entry (run bigint NOT NULL, number int NOT NULL, body bytea NOT NULL, PRIMARY KEY (run, number));
"""
_ADMIT = """
INSERT INTO run (run_id, status, epoch, last, updated) SELECT run_id, 'RUNNING', 1, 0, 0 FROM unnest(%s::text[]) run_id
"""
_APPEND = """
WITH asked AS (
    SELECT * FROM unnest(%s::text[], %s::int[], %s::int[], %s::text[], %s::float8[], %s::bytea[])
        AS asked (run_id, epoch, after, status, at, body)
), moved AS (
    UPDATE run SET last = asked.after + 1, status = asked.status, updated = asked.at FROM asked
    WHERE run.run_id = asked.run_id AND run.epoch = asked.epoch AND run.last = asked.after
    RETURNING run.key, asked.after, asked.body
), written AS (
    INSERT INTO entry SELECT key, after + 1, body FROM moved
)
SELECT count(*) FROM moved
"""

Job = tuple["asyncio.Future[None]", str, int, bytes]


def steps(url: str, runs: int, steps: int, body_bytes: int = 150) -> Callable[[], Awaitable[Costs]]:
    """Append ``steps`` bodies to each of ``runs`` logs at once."""
    body = b"x" * body_bytes
    own = database.fresh(url)
    with psycopg.connect(own) as connection:
        connection.execute(_SCHEMA)
    repetitions = 0

    async def run(writer: "_Writer", run_id: str) -> None:
        for after in range(steps):
            await writer.append(run_id, after, body)

    async def repeat() -> Costs:
        nonlocal repetitions
        repetitions += 1
        run_ids = [f"run-{repetitions}-{number}" for number in range(runs)]
        async with await psycopg.AsyncConnection.connect(own, autocommit=True) as connection:
            await connection.execute(_ADMIT, (run_ids,))
            writer = _Writer(connection)
            with Clock(runs * steps) as clock:
                await asyncio.gather(*(run(writer, run_id) for run_id in run_ids))
        return clock.costs

    repeat.version = database.version(url)  # type: ignore[attr-defined]  # the worker looks for it
    return repeat


class _Writer:
    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._cursor = connection.cursor(binary=True)
        self._waiting: list[Job] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, run_id: str, after: int, body: bytes) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((future, run_id, after, body))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await future

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            count, now = len(group), time.time()
            columns = [
                [run_id for _, run_id, _, _ in group],
                [1] * count,
                [after for _, _, after, _ in group],
                ["RUNNING"] * count,
                [now] * count,
                [body for _, _, _, body in group],
            ]
            await self._cursor.execute(_APPEND, columns, prepare=True)
            if await self._cursor.fetchone() != (count,):
                raise RuntimeError("the floor lost its own fence")
            for future, *_ in group:
                future.set_result(None)
        self._writing = None
