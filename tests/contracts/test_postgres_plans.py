"""Every reading of the PostgreSQL store uses an index, whatever number of runs there are.

`ROPEWALK_PLAN_RUNS=1000000` asks for as many; `-s` shows the plans and what they cost.
"""

import asyncio
import os
import re
import time
from datetime import timedelta
from math import inf

import psycopg
import pytest
from psycopg.sql import SQL, Literal

from ropewalk.stores.postgres import PostgresRunStore
from ropewalk.stores.postgres_sql import named_statements
from ropewalk.testing.store_checks import admit, write

RUNS = int(os.environ.get("ROPEWALK_PLAN_RUNS", "20000"))
NOW = 1_700_000_000.0
FILL = """
INSERT INTO ropewalk.run
    (run_id, graph, plan, status, epoch, last, created, updated, fork_at, base, shared, for_workers, owner, session,
    turn)
SELECT 'run' || i, 'graph' || mod(i, 20), 'plan',
    CASE WHEN mod(i, 1000) = 0 THEN 'FAILED' WHEN mod(i, 50) = 0 THEN 'PAUSED' WHEN mod(i, 25) = 0 THEN 'RUNNING'
        ELSE 'DONE' END,
    1, 3, %(now)s - 0.5 * i, %(now)s - 0.5 * i, 0, NULL, 0, mod(i, 3) = 0,
    CASE WHEN mod(i, 2) = 0 THEN 'user' || mod(i, 40) END, CASE WHEN mod(i, 2) = 0 THEN 'session' || mod(i, 2000) END,
    CASE WHEN mod(i, 2) = 0 THEN i END
FROM generate_series(1, %(runs)s) AS i
ON CONFLICT DO NOTHING;
"""
MORE = (
    """
INSERT INTO ropewalk.entry (run, number, body)
SELECT key, number, '{"type":"step_finished"}' FROM ropewalk.run, generate_series(1, 3) AS number
""",
    """
INSERT INTO ropewalk.tag (tag, created, run_id, run)
SELECT 'tag' || key % 100, created, run_id, key FROM ropewalk.run WHERE key % 2 = 0
""",
    """
INSERT INTO ropewalk.work (run, graph, epoch, worker, wake_at)
SELECT key, graph, 1, 'w', now() + make_interval(secs => key % 1000 - 500) FROM ropewalk.run
WHERE status = 'RUNNING' AND for_workers
""",
    "VACUUM ANALYZE",
)
PAGE = {"created": NOW - RUNS / 4, "run_id": f"run{RUNS // 2}", "since": -inf, "limit": 50}
FIRST_PAGE = PAGE | {"created": inf, "run_id": ""}
PASSED_OVER = {"without": [f"run{75 * i}" for i in range(1, 1001)], "lasts": [3] * 1000}
TAKING = {"graphs": ["graph5", "graph15"], "limit": 10, "worker": "w", "ttl": 30.0, "entries": 20, "bytes": 65536}
ANY = PAGE | {"graph": None, "statuses": None, "owner": None, "session": None}
READINGS = {
    "newest": FIRST_PAGE,
    "newest, a page in the middle": PAGE,
    "newest_of_graph": PAGE | {"graph": "graph7"},
    "newest_of_statuses": PAGE | {"statuses": ["FAILED", "PAUSED"]},
    "newest_of_graph_and_statuses": PAGE | {"graph": "graph0", "statuses": ["FAILED", "RUNNING"]},
    "newest, of a time": PAGE | {"since": NOW - RUNS / 4 - 100},
    "newest_of_owner": ANY | {"owner": "user8"},
    "newest_of_owner_and_statuses": ANY | {"owner": "user8", "statuses": ["RUNNING", "PAUSED"]},
    "newest_of_session": ANY | {"session": "session48"},
    "newest_of_tag": ANY | {"tag": "tag4"},
    "newest_of_tag, and more": ANY | {"tag": "tag4", "graph": "graph3", "statuses": ["DONE"]},
    "last_turn": {"owner": "user8", "session": "session48"},
    "last_turn, of a session that nobody owns": {"owner": None, "session": "session48"},
    "session_stands": {"owner": "user8", "session": "session48", "most": 100, "limit": 100},
    "session_stands, of a session that nobody has begun": {
        "owner": "user8",
        "session": "another",
        "most": 100,
        "limit": 100,
    },
    "whose_turn": {"owner": "user8", "session": "session48"},
    "whose_turn, of a session that has none": {"owner": "user8", "session": "another"},
    "record": {"run_id": "run77"},
    "place": {"run_id": "run77"},
    "read": {"run_id": "run77", "after": 0, "up_to": 2**31 - 1},
    "snapshot": {"run_id": "run77", "at": None},
    "next_wake": {"graphs": ["graph5", "graph15"], "without": [], "lasts": []},
    "next_wake, around a thousand": {"graphs": ["graph5", "graph15"], **PASSED_OVER},
    "take": TAKING | {"without": [], "lasts": []},
    "take, around a thousand": TAKING | PASSED_OVER,
    "hold": {"run_id": "run75", "worker": "w", "ttl": 30.0},
    "wake": {"run_id": "run75"},
    "wake_next": {"run_ids": ["run75", "run50", "run2"]},
    "renew": {"run_ids": ["run75", "run225"], "epochs": [1, 1], "worker": "w", "ttl": 30.0},
    "delete": {"keys": [77, 78]},
    "heir": {"key": 77},
}
LARGE = re.compile(r"Seq Scan on ropewalk\.(run|entry|tag)|Seq Scan on (run|entry|tag)\b")


@pytest.fixture
def filled(postgres_url):
    async def make():
        store = PostgresRunStore(postgres_url)
        await admit(store, "first", [])
        await store.close()

    asyncio.run(make())
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(FILL, {"now": NOW, "runs": RUNS})
        for statement in MORE:
            connection.execute(statement)
        yield connection


def plan_of(connection, statement, parameters, mode):
    """Explain it as it runs when it is prepared, and undo it."""
    names = [*dict.fromkeys(re.findall(r"%\((\w+)\)s", statement))]
    for place, name in enumerate(names, 1):
        statement = statement.replace(f"%({name})s", f"${place}")
    with connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        connection.execute(f"PREPARE reading AS {statement}")
        values = SQL(", ").join(Literal(parameters[name]) for name in names)
        explain = SQL("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) EXECUTE reading ({})")
        for _ in range(2):  # the first fills the cache
            rows = connection.execute(explain.format(values)).fetchall()
        connection.execute("DEALLOCATE reading")
    return "\n".join(line for (line,) in rows)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_reading_uses_an_index_and_reads_little(filled):
    pages = {}
    for name, parameters in READINGS.items():
        statement = named_statements()[name.partition(",")[0]].decode()
        for mode in ("force_custom_plan", "force_generic_plan"):
            plan = plan_of(filled, statement, parameters, mode)
            print(f"-- {name} ({mode}, {RUNS:,} runs)\n{plan}\n")
            assert not LARGE.search(plan), f"{name}\n{plan}"
            hit, read = (re.search(rf"Buffers: shared.*?{word}=(\d+)", plan) for word in ("hit", "read"))
            pages[name, mode] = sum(int(found.group(1)) for found in (hit, read) if found)
    print(pages)
    assert all(count < 1_000 for count in pages.values()), pages


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pruning_leaves_room_that_is_used_again(filled):
    """A day's load, scaled down: as many runs as there are come and go while the tables stay as large as they were."""
    size = "SELECT pg_total_relation_size('ropewalk.entry') + pg_total_relation_size('ropewalk.run')"
    sizes = [filled.execute(size).fetchone()[0]]

    async def prune():
        parts = filled.info
        store = PostgresRunStore.from_config(
            host=parts.host, port=parts.port, user=parts.user, password=parts.password, database=parts.dbname
        )
        began = time.perf_counter()
        pruned = await store.prune(timedelta(days=1), ["DONE", "FAILED", "PAUSED", "RUNNING"])
        seconds = time.perf_counter() - began
        await store.close()
        return pruned, seconds

    for _ in range(3):
        pruned, seconds = asyncio.run(prune())
        began = time.perf_counter()
        filled.execute("VACUUM (ANALYZE) ropewalk.entry, ropewalk.run")
        vacuumed = time.perf_counter() - began
        print(
            f"pruned {pruned:,} runs of 3 entries in {seconds:.2f} s ({3 * pruned / seconds:,.0f} entries/s), "
            f"vacuum {vacuumed:.2f} s ({1e6 * vacuumed / (3 * pruned):.1f} us an entry)"
        )
        filled.execute(FILL, {"now": NOW, "runs": RUNS})
        filled.execute(MORE[0])
        sizes.append(filled.execute(size).fetchone()[0])
    print("bytes of run and entry, after each day:", sizes)
    assert pruned == RUNS
    assert sizes[-1] < 1.15 * sizes[1]


@pytest.mark.slow
def test_an_append_to_a_run_touches_none_of_its_indexes(postgres_url):
    """Else each step would leave a dead row in six indexes for VACUUM to find."""

    async def scenario():
        store = PostgresRunStore(postgres_url)
        await asyncio.gather(*[admit(store, f"run{i}", []) for i in range(50)])
        for after in range(100):
            await asyncio.gather(*[write(store, f"run{i}", b"x", after=after) for i in range(50)])
        await store.close()

    asyncio.run(scenario())
    counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'run'"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        until = time.monotonic() + 10
        while (found := connection.execute(counted).fetchone())[0] < 5_000 and time.monotonic() < until:
            time.sleep(0.1)
    print(f"{found[1]} of {found[0]} updates stayed in their page")
    assert found[1] > 0.9 * found[0] > 4_000
