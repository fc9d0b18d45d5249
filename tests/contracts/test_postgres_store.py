"""The PostgreSQL store keeps every promise of the contract, and what it says beyond it."""

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.contracts.test_run_stores_against_a_model import StoreAndModel

from ropewalk.contracts import RunStore
from ropewalk.errors import RunExists, RunNotFound, RunTaken, TurnTaken
from ropewalk.stores.postgres import PostgresRunStore
from ropewalk.stores.postgres_place import PostgreSQLConfig, config_of_url, dsn_of
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing import RunStoreSuite
from ropewalk.testing.store_checks import admit, log, new_run, write


@asynccontextmanager
async def opened(database):
    store = PostgresRunStore(database)
    try:
        yield store
    finally:
        await store.close()


def asked(url, statement, *parameters):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement, parameters or None).fetchall()


class TestPostgresRunStore(RunStoreSuite):
    @pytest.fixture(autouse=True)
    def database(self, postgres_url):
        self.url = postgres_url

    async def open_store(self) -> RunStore:
        return PostgresRunStore(self.url)

    async def open_again(self, store: RunStore) -> RunStore:
        return PostgresRunStore(f"{self.url}?max_connections=3")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_postgres_store_and_the_model_answer_the_same(postgres_url):
    class PostgresAndModel(StoreAndModel):
        def open(self):
            if not hasattr(self, "stores"):  # a new example begins
                with psycopg.connect(postgres_url, autocommit=True) as connection:
                    connection.execute("DROP SCHEMA IF EXISTS ropewalk CASCADE")
            return PostgresRunStore(postgres_url)

    run_state_machine_as_test(
        PostgresAndModel,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_our_store_keeps_the_newest_two_snapshots_of_a_run(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await admit(store, "r", [b"x"] * 9)
            for number in (2, 4, 6, 8, 1):
                await store.save_snapshot("r", epoch=1, number=number, body=b"%d" % number)
            assert [await store.snapshot("r", at=at) for at in (9, 7, 5)] == [(8, b"8"), (6, b"6"), None]

    asyncio.run(scenario())


def commits(url, table):
    """Return how many commits wrote what is in the table."""
    return asked(url, f"SELECT count(DISTINCT xmin::text) FROM ropewalk.{table}")[0][0]


def test_appends_that_wait_at_the_same_time_share_one_statement(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await asyncio.gather(*[admit(store, f"run{i}", []) for i in range(200)])
            await asyncio.gather(*[write(store, f"run{i}", b"x", after=0) for i in range(200)])
            assert asked(postgres_url, "SELECT count(*) FROM ropewalk.entry") == [(200,)]
            assert commits(postgres_url, "entry") <= 20
            before = commits(postgres_url, "entry")
            await write(store, "run0", b"y", b"z", after=1)
            assert commits(postgres_url, "entry") == before + 1

    asyncio.run(scenario())


def test_runs_that_are_admitted_at_the_same_time_share_one_statement(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            bodies = [[b"%d" % i] * (i % 3) for i in range(200)]
            admitting = [store.create(new_run(f"run{i}", at=float(i)), bodies[i]) for i in range(200)]
            assert await asyncio.gather(*admitting) == [1] * 200
            assert [await log(store, f"run{i}") for i in range(200)] == bodies
            record = await store.look("run7")
            assert (record.graph, record.plan, record.status) == ("g", "p1", "RUNNING")
            assert (record.created, record.updated, record.last) == (7.0, 7.0, 1)
            assert commits(postgres_url, "run") <= 20

    asyncio.run(scenario())


def test_a_store_opens_no_more_connections_than_it_may(postgres_url):
    async def scenario():
        async with opened(f"{postgres_url}?max_connections=3") as store:
            await admit(store, "parent")
            await asyncio.gather(
                *[admit(store, f"run{i}") for i in range(20)],
                *[admit(store, f"fork{i}", parent="parent", fork_at=1) for i in range(20)],
                *[write(store, "parent", b"x", after=after) for after in range(1, 20)],
                *[store.runs() for _ in range(20)],
            )
            ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ropewalk' AND datname = %s"
            assert asked(postgres_url, ours, postgres_url.rpartition("/")[2]) == [(3,)]

    asyncio.run(scenario())


def test_callers_that_go_on_in_step_share_statements_however_long_their_steps_take(postgres_url):
    async def drive(store, name, work):
        for after in range(20):
            sum(range(work))
            await write(store, name, b"x", after=after)

    async def scenario():
        async with opened(postgres_url) as store:
            for work in (100, 3_000, 30_000):
                names = [f"run{i} of {work}" for i in range(30)]
                await asyncio.gather(*[admit(store, name, []) for name in names])
                before = commits(postgres_url, "entry")
                await asyncio.gather(*[drive(store, name, work) for name in names])
                assert commits(postgres_url, "entry") - before <= 25

    asyncio.run(scenario())


def test_a_loop_that_stops_in_the_turn_in_which_it_asked_keeps_no_other_loop_waiting(postgres_url):
    async def in_time(call):
        async with asyncio.timeout(10):
            await call

    store = PostgresRunStore(postgres_url)
    stopped = asyncio.new_event_loop()
    admitting = stopped.create_task(admit(store, "of the stopped loop"))
    stopped.call_soon(stopped.stop)
    stopped.run_forever()
    for i in range(3):
        asyncio.run(in_time(admit(store, f"run{i}")))
    stopped.run_until_complete(in_time(admitting))
    stopped.close()
    asyncio.run(in_time(store.close()))
    assert asked(postgres_url, "SELECT count(*) FROM ropewalk.run") == [(4,)]


def test_of_admissions_at_the_same_time_only_those_of_runs_that_are_there_are_refused(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store, opened(postgres_url) as other:
            await admit(other, "run3", [b"theirs"])
            names = [f"run{i}" for i in range(9)]
            tries = [admit(store, name, [b"%d" % nth]) for nth, name in enumerate([*names, "run5", *names])]
            results = await asyncio.gather(*tries, return_exceptions=True)
            assert [nth for nth, result in enumerate(results) if result is None] == [0, 1, 2, 4, 5, 6, 7, 8]
            assert {type(result) for result in results} == {type(None), RunExists}
            assert await log(store, "run3") == [b"theirs"]
            assert await log(store, "run5") == [b"5"]

    asyncio.run(scenario())


def test_of_admissions_at_the_same_time_each_is_told_what_is_wrong_with_it(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await admit(store, "there", session="s", turn=1)
            runs = {
                "there": new_run("there", session="s", turn=1),
                "late": new_run("late", session="s", turn=1),
                **{f"run{i}": new_run(f"run{i}", session=f"s{i // 2}", turn=1) for i in range(40)},
                **{f"free{i}": new_run(f"free{i}") for i in range(20)},
            }
            queue = store.queue()
            admitting = [(store.create, queue.submit)[i % 3 > 0](run, [b"x"]) for i, run in enumerate(runs.values())]
            told = dict(zip(runs, await asyncio.gather(*admitting, return_exceptions=True), strict=True))
            assert isinstance(told["there"], RunExists)
            assert (told["late"].run_id, told["late"].session, told["late"].turn) == ("late", "s", 1)
            pairs = [{type(told[f"run{2 * i + j}"]) for j in range(2)} for i in range(20)]
            assert pairs == [{int, TurnTaken}] * 20
            assert [told[f"free{i}"] for i in range(20)] == [1] * 20
            kept = {record.run_id for record in await store.runs()}
            assert kept == {"there", *(run_id for run_id, outcome in told.items() if outcome == 1)}
            assert commits(postgres_url, "run") <= 8

    asyncio.run(scenario())


def test_stores_that_race_for_the_turns_of_many_sessions_never_give_one_twice(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store, opened(postgres_url) as other:
            runs = [new_run(f"run{i:03}", session=f"s{i * 7 % 25}", turn=1 + i // 100) for i in range(200)]
            admitting = [(store, other)[i % 2].create(run, [b"x"]) for i, run in enumerate(runs)]
            told = await asyncio.gather(*admitting, return_exceptions=True)
            assert {type(outcome) for outcome in told} == {int, TurnTaken}
            kept = [(record.session, record.turn) for record in await store.runs(limit=300)]
            assert sorted(kept) == sorted((f"s{i}", turn) for i in range(25) for turn in (1, 2))

    asyncio.run(scenario())


def test_stores_that_admit_the_same_runs_at_the_same_time_each_get_some(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store, opened(postgres_url) as other:
            names = [f"run{i}" for i in range(300)]
            mine = [admit(store, name, [b"mine"]) for name in names]
            theirs = [admit(other, name, [b"theirs"]) for name in reversed(names)]
            results = await asyncio.gather(*mine, *theirs, return_exceptions=True)
            for i, name in enumerate(names):
                pair = (results[i], results[-1 - i])
                assert {type(result) for result in pair} == {type(None), RunExists}
                assert await log(store, name) == [b"mine" if pair[0] is None else b"theirs"]

    asyncio.run(scenario())


def test_appends_to_one_run_that_wait_at_the_same_time_are_done_in_order(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await admit(store, "r", [])
            tries = [write(store, "r", b"%d" % i, after=i if i < 5 else 9) for i in range(8)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            assert [type(result) for result in results] == [type(None)] * 5 + [RunTaken] * 3
            assert await log(store, "r") == [b"0", b"1", b"2", b"3", b"4"]

    asyncio.run(scenario())


def test_a_value_that_postgres_cannot_keep_concerns_its_caller_alone(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await asyncio.gather(*[admit(store, f"run{i}", []) for i in range(9)])
            odd = {3: "N\0L", 6: "lone \udc80"}
            tries = [write(store, f"run{i}", b"x", after=0, status=odd.get(i, 'quoted "\\ {,}')) for i in range(9)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            assert [i for i in range(9) if results[i] is not None] == [3, 6]
            assert all(isinstance(results[i], ValueError) for i in (3, 6)), results
            assert (await store.look("run4")).status == 'quoted "\\ {,}'
            assert [len(await log(store, f"run{i}")) for i in range(9)] == [i not in odd for i in range(9)]

    asyncio.run(scenario())


def test_a_run_that_postgres_cannot_keep_concerns_who_admits_it_alone(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            odd = {3: {"status": "N\0L"}, 5: {"plan": "lone \udc80"}, 6: {"graph": "N\0L"}}
            runs = [new_run(f'r "\\ {{,}}{i}', **({"plan": "a'b\"\\,{}"} | odd.get(i, {}))) for i in range(9)]
            results = await asyncio.gather(*[store.create(run, [b"x"]) for run in runs], return_exceptions=True)
            assert [i for i in range(9) if results[i] != 1] == [3, 5, 6]
            assert all(isinstance(results[i], ValueError) for i in odd), results
            assert (await store.look(runs[4].run_id)).plan == "a'b\"\\,{}"
            assert len(await store.runs()) == 6

    asyncio.run(scenario())


def test_runs_are_found_by_tag_and_time_in_pages(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            for i in range(12):
                status = "DONE" if i % 4 else "FAILED"
                await admit(store, f"run{i:02}", graph="gh"[i % 2], status=status, at=100.0 + i // 2)
                await store.tag(f"run{i:02}", ["all", "even" if i % 2 == 0 else "odd"])

            async def found(**filters):
                return [record.run_id for record in await store.runs(**filters)]

            assert await found(tag="even") == [f"run{i:02}" for i in range(10, -1, -2)]
            assert await found(tag="all", limit=3, after="run07") == ["run06", "run05", "run04"]
            assert await found(tag="all", graph="g", statuses=["FAILED"]) == ["run08", "run04", "run00"]
            assert await found(tag="nothing") == []
            assert await found(since=102.0, until=104.0) == ["run07", "run06", "run05", "run04"]
            assert await found(since=102.0, graph="g", statuses=["DONE"], after="run10") == ["run06"]
            assert await found(tag="odd", until=101.0) == ["run01"]
            await store.tag("run02", ["late"])
            assert await found(tag="even", until=102.0) == ["run00"]
            assert await found(tag="late") == ["run02"]
            await store.delete("run02")
            assert await found(tag="late") == []
            with pytest.raises(RunNotFound):
                await store.tag("nobody", ["x"])

    asyncio.run(scenario())


def test_one_graph_is_pruned_alone(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            long_ago = time.time() - 7200
            for i in range(6):
                await admit(store, f"run{i}", graph="gh"[i % 2], status="DONE", at=long_ago)
            assert await store.prune(timedelta(hours=1), graph="g") == 3
            assert {record.graph for record in await store.runs()} == {"h"}
            assert await store.prune(timedelta(hours=1)) == 3

    asyncio.run(scenario())


def test_a_step_adds_as_many_bytes_as_in_sqlite_whatever_the_history(postgres_url, tmp_path):
    def size_in_postgres():
        return asked(
            postgres_url,
            "SELECT sum(pg_table_size(c) + pg_indexes_size(c))::bigint "
            "FROM unnest(ARRAY['ropewalk.entry', 'ropewalk.run']::regclass[]) AS c",
        )[0][0]

    async def steps(store, first, last):
        for after in range(first, last, 50):
            await write(store, "r", *[b"%0400d" % i for i in range(50)], after=after)

    async def scenario():
        async with opened(postgres_url) as store:
            await admit(store, "r", [])
            sizes = []
            for first in range(0, 20_000, 5_000):
                before = size_in_postgres()
                await steps(store, first, first + 5_000)
                sizes.append((size_in_postgres() - before) / 5_000)
        lite = SqliteRunStore(tmp_path / "runs.db")
        await admit(lite, "r", [])
        await steps(lite, 0, 20_000)
        await lite.close()
        per_step = (tmp_path / "runs.db").stat().st_size / 20_000
        print(f"bytes per step of 400: PostgreSQL {[round(size) for size in sizes]}, SQLite {per_step:.0f}")
        assert max(sizes) < 1.25 * min(sizes)
        assert sum(sizes) / len(sizes) < 1.2 * per_step

    asyncio.run(scenario())


def test_the_parts_of_an_address_keep_their_characters(postgres_url):
    told = {"host": "db.example", "port": 6543, "user": "o'b@r", "password": "p@ss/w:rd?#%", "database": "my db"}
    config = config_of_url(dsn_of(**told))
    read = psycopg.conninfo.conninfo_to_dict(config.conninfo)
    told["dbname"] = told.pop("database")
    assert {name: read[name] for name in told} == {name: str(value) for name, value in told.items()}
    assert "p@ss" not in config.shown + repr(config)
    assert "p%40ss" not in config.shown + repr(config)


def test_a_store_is_opened_by_the_parts_of_its_address(postgres_url):
    parts = psycopg.conninfo.conninfo_to_dict(postgres_url)
    names = {"host": "host", "port": "port", "user": "user", "password": "password", "dbname": "database"}
    told = {ours: parts[theirs] for theirs, ours in names.items() if theirs in parts}

    async def scenario():
        store = PostgresRunStore.from_config(**told, max_connections=3)
        await admit(store, "r")
        assert await log(store, "r") == [b"started"]
        await store.close()
        async with opened(PostgreSQLConfig(dsn=postgres_url)) as other:
            assert (await other.look("r")).last == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("query", ["migrate=perhaps", "max_connections=2", "max_connections=many", "patience=0"])
def test_an_option_that_makes_no_sense_is_refused_with_its_name(query):
    with pytest.raises(ValueError, match=query.partition("=")[0]) as told:
        PostgresRunStore(f"postgresql://me:secret@nowhere/db?{query}")
    assert "secret" not in str(told.value)


def test_a_fork_is_not_lost_when_its_parent_is_deleted_at_the_same_time(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store, opened(postgres_url) as other:
            for round in range(10):
                await admit(store, f"p{round}", [b"1", b"2", b"3"])
                await admit(store, f"q{round}", [b"4"], parent=f"p{round}", fork_at=3)
                forks = [other.create(new_run(f"f{round}.{i}", parent=f"q{round}", fork_at=2 + i), []) for i in (0, 1)]
                results = await asyncio.gather(
                    forks[0], store.delete(f"p{round}"), forks[1], store.delete(f"q{round}"), return_exceptions=True
                )
                for i, made in ((0, results[0]), (1, results[2])):
                    if made == 1:
                        assert await log(store, f"f{round}.{i}") == [b"1", b"2", b"3"][: 2 + i]
                    else:
                        assert isinstance(made, RunNotFound)

    asyncio.run(scenario())
