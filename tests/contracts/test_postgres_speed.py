"""What the store costs beside the bare driver: steps a second of 1, 10 and 100 runs, both with group commit and fence.

`ROPEWALK_SPEED_SECONDS` says how long each measurement takes; `-s` shows the table.
"""

import asyncio
import os
import time
from itertools import count

import psycopg
import pytest

from ropewalk.stores.postgres import PostgresRunStore
from ropewalk.testing.store_checks import admit

SECONDS = float(os.environ.get("ROPEWALK_SPEED_SECONDS", "0.2"))
ROUNDS = 5
BODY = os.urandom(300)
TABLES = """
CREATE TABLE bare_run (key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id text COLLATE "C" NOT NULL UNIQUE,
    status text NOT NULL, epoch int NOT NULL, last int NOT NULL, updated float8 NOT NULL) WITH (fillfactor = 70);
CREATE TABLE bare_entry (run bigint NOT NULL, number int NOT NULL, body bytea NOT NULL, PRIMARY KEY (run, number));
"""
BARE = """
WITH asked AS (
    SELECT * FROM unnest(%s::int[], %s::text[], %s::int[], %s::text[], %s::float8[], %s::bytea[])
        AS asked (place, run_id, after, status, at, body)
), moved AS (
    UPDATE bare_run SET last = asked.after + 1, status = asked.status, updated = asked.at FROM asked
    WHERE bare_run.run_id = asked.run_id AND bare_run.epoch = 1 AND bare_run.last = asked.after
    RETURNING bare_run.key, asked.place, asked.after, asked.body
), written AS (
    INSERT INTO bare_entry SELECT key, after + 1, body FROM moved
)
SELECT place FROM moved
"""


class Bare:
    """The least that gives many runs a fenced append in one statement: no thread, no retry, no error."""

    def __init__(self, connection):
        self.cursor = connection.cursor(binary=True)
        self.waiting = []
        self.writing = None

    async def append(self, run_id, after):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((future, run_id, after))
        if self.writing is None:
            self.writing = asyncio.create_task(self.write())
        await future

    async def write(self):
        while self.waiting:
            batch, self.waiting = self.waiting, []
            n = len(batch)
            values = [
                [*range(n)],
                [run_id for _, run_id, _ in batch],
                [after for _, _, after in batch],
                ["RUNNING"] * n,
                [time.time()] * n,
                [BODY] * n,
            ]
            await self.cursor.execute(BARE, values, prepare=True)
            assert len(await self.cursor.fetchall()) == n
            for future, _, _ in batch:
                future.set_result(None)
        self.writing = None


async def steps_a_second(names, append, places):
    steps = 0
    ends = time.perf_counter() + SECONDS

    async def one(name):
        nonlocal steps
        while time.perf_counter() < ends:
            await append(name, places[name])
            places[name] += 1
            steps += 1

    began = time.perf_counter()
    await asyncio.gather(*[one(name) for name in names])
    return steps / (time.perf_counter() - began)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_store_does_half_of_what_the_bare_driver_does(postgres_url):
    async def scenario():
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(TABLES)
        store = PostgresRunStore(postgres_url)
        async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
            bare = Bare(connection)
            ratios = {}
            numbers = count()
            for runs in (1, 10, 100):
                names = [f"run{next(numbers)}" for _ in range(runs)]
                for name in names:
                    await admit(store, name, [])
                    insert = "INSERT INTO bare_run (run_id, status, epoch, last, updated) VALUES (%s, '', 1, 0, 0)"
                    await connection.execute(insert, (name,))

                async def append(name, after):
                    await store.append(name, epoch=1, after=after, bodies=[BODY], status="RUNNING", at=time.time())

                of_store, of_bare = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
                pairs = []
                for _ in range(ROUNDS):
                    pairs.append(
                        (
                            await steps_a_second(names, append, of_store),
                            await steps_a_second(names, bare.append, of_bare),
                        )
                    )
                ratios[runs] = max(ours / theirs for ours, theirs in pairs)  # what other work disturbs least
                ours, theirs = (sorted(side)[ROUNDS // 2] for side in zip(*pairs, strict=True))
                print(f"{runs:4} runs: store {ours:8,.0f} steps/s, bare {theirs:8,.0f}, ratio {ratios[runs]:.2f}")
        await store.close()
        return ratios

    ratios = asyncio.run(scenario())
    assert min(ratios[10], ratios[100]) > 0.5, ratios
    assert ratios[1] > 0.35, ratios  # two threads hand a lone step over twice, which is what a loaded machine shows
