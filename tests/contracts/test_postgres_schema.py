"""The tables are made and brought up to date by whoever comes first, once, while older programs go on."""

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from urllib.parse import urlsplit

import psycopg
import pytest

from ropewalk.errors import RunNotFound, StoreReadOnly, StoreTooNew, StoreUnavailable, TurnTaken
from ropewalk.stores import postgres_schema
from ropewalk.stores.postgres import PostgresRunStore
from ropewalk.stores.postgres_sql import Step, named_statements, steps
from ropewalk.testing.store_checks import admit, log, write
from ropewalk.workers import stuck_runs

NEWEST = steps()[-1].number


@asynccontextmanager
async def opened(url):
    store = PostgresRunStore(url)
    try:
        yield store
    finally:
        await store.close()


def asked(url, statement, *parameters):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def seen(url):
    return [number for (number,) in asked(url, "SELECT number FROM ropewalk.migration ORDER BY number")]


def test_many_who_open_a_new_database_make_the_tables_once(postgres_url):
    async def scenario():
        stores = [PostgresRunStore(postgres_url) for _ in range(8)]
        await asyncio.gather(*[admit(store, f"run{i}") for i, store in enumerate(stores)])
        assert len(await stores[0].runs()) == 8
        await asyncio.gather(*[store.close() for store in stores])

    asyncio.run(scenario())
    assert seen(postgres_url) == [*range(1, NEWEST + 1)]


def test_who_only_looks_at_an_empty_database_makes_nothing_and_sees_what_is_made_meanwhile(postgres_url):
    async def look(store):
        assert await store.runs() == []
        for looking in (store.look("r"), store.read("r"), store.snapshot("r"), store.runs(after="r")):
            with pytest.raises(RunNotFound):
                await looking
        assert await store.queue().stranded() == []
        assert await store.queue().queued("r") is None
        assert await store.queue().overdue(for_seconds=0.0) == []
        assert await stuck_runs(store) == []
        assert await store.last_turn(owner=None, session="s") == 0
        assert await store.whose_turn(owner=None, session="s") is None

    async def scenario():
        async with opened(postgres_url) as store, opened(postgres_url) as other:
            await asyncio.gather(look(store), look(store))
            assert asked(postgres_url, "SELECT nspname FROM pg_namespace WHERE nspname = 'ropewalk'") == []
            await admit(other, "r")
            assert await log(store, "r") == [b"started"]

    asyncio.run(scenario())


def test_a_program_that_may_not_change_the_tables_says_who_must(postgres_url):
    async def scenario():
        async with opened(f"{postgres_url}?migrate=no") as store:
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="ropewalk db upgrade"):
                    await store.look("r")
            with pytest.raises(StoreUnavailable, match="ropewalk db upgrade"):
                await write(store, "r", b"x", after=0)
            assert asked(postgres_url, "SELECT to_regclass('ropewalk.run')") == [(None,)]
            assert await store.upgrade() == (0, NEWEST)
            assert await store.upgrade() == (NEWEST, NEWEST)
            await admit(store, "r")
        async with opened(f"{postgres_url}?migrate=no") as store:
            assert await log(store, "r") == [b"started"]

    asyncio.run(scenario())


def test_a_store_of_a_newer_program_is_left_alone(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            await admit(store, "r")
        asked(postgres_url, "INSERT INTO ropewalk.migration (number, name, least) VALUES (99, '0099_new', 99)")
        async with opened(postgres_url) as store:
            for call in (store.look("r"), write(store, "r", b"x", after=1), store.upgrade()):
                with pytest.raises(StoreTooNew, match="Upgrade Ropewalk"):
                    await call

    asyncio.run(scenario())


def test_an_older_program_goes_on_during_and_after_a_step_that_only_adds(postgres_url, monkeypatch):
    added = Step(NEWEST + 1, "new", b"ALTER TABLE ropewalk.run ADD COLUMN extra text", least=1)

    async def scenario():
        async with opened(postgres_url) as old:
            await admit(old, "r", [])
            for i in range(5):
                await write(old, "r", b"x", after=i)
            with monkeypatch.context() as patched:
                patched.setattr(postgres_schema, "steps", lambda: (*steps(), added))
                async with opened(postgres_url) as new:
                    appending = asyncio.gather(*[write(old, "r", b"x", after=5)], new.claim("r"))
                    await appending
            await write(old, "r", b"x", after=6, epoch=2)
            async with opened(postgres_url) as late:
                assert len(await log(late, "r")) == 7
        assert seen(postgres_url)[-1] == NEWEST + 1

    asyncio.run(scenario())


def test_a_database_from_before_there_were_turns_is_upgraded_while_its_program_goes_on(postgres_url, monkeypatch):
    add = """
        INSERT INTO ropewalk.run (run_id, graph, plan, status, epoch, last, created, updated, fork_at, shared, session)
        VALUES (%s, 'g', 'p1', 'RUNNING', 1, 0, 100, 100, 0, 0, 's') ON CONFLICT (run_id) DO NOTHING
    """

    async def scenario():
        with monkeypatch.context() as patched:
            patched.setattr(postgres_schema, "steps", lambda: steps()[:3])
            async with opened(postgres_url) as old:
                assert await old.upgrade() == (0, 3)
        asked(postgres_url, add, "before")
        async with opened(postgres_url) as store:
            await admit(store, "first", session="s", turn=1)
            asked(postgres_url, add, "meanwhile")
            asked(postgres_url, add, "first")
            with pytest.raises(TurnTaken):
                await admit(store, "late", session="s", turn=1)
            turns = {record.run_id: record.turn for record in await store.runs()}
            assert turns == {"before": None, "meanwhile": None, "first": 1}
            assert await store.last_turn(owner=None, session="s") == 1

    asyncio.run(scenario())


def test_a_step_that_fails_leaves_nothing_half_done(postgres_url, monkeypatch):
    broken = Step(NEWEST + 1, "broken", b"CREATE TABLE ropewalk.half (x int); SELECT 1 / 0", least=1)

    async def scenario():
        with monkeypatch.context() as patched:
            patched.setattr(postgres_schema, "steps", lambda: (*steps(), broken))
            async with opened(postgres_url) as store:
                with pytest.raises(StoreUnavailable, match="division by zero"):
                    await admit(store, "r")
        assert seen(postgres_url) == [*range(1, NEWEST + 1)]
        assert asked(postgres_url, "SELECT to_regclass('ropewalk.half')") == [(None,)]
        async with opened(postgres_url) as store:
            await admit(store, "r")

    asyncio.run(scenario())


def test_a_user_who_may_only_use_the_tables_can_and_one_who_may_not_is_told(postgres_url):
    name = "ropewalk_plain_" + urlsplit(postgres_url).path[-12:]
    asked(postgres_url, f"CREATE ROLE {name} LOGIN PASSWORD 'plain'")
    where = urlsplit(postgres_url)
    plain = where._replace(netloc=f"{name}:plain@{where.netloc.rpartition('@')[2]}").geturl()

    async def scenario():
        async with opened(plain) as store:
            assert await store.runs() == []
            with pytest.raises(StoreReadOnly, match="right to write the schema"):
                await admit(store, "r")
        async with opened(postgres_url) as store:
            await admit(store, "r")
        asked(postgres_url, f"GRANT USAGE ON SCHEMA ropewalk TO {name}")
        asked(postgres_url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ropewalk TO {name}")
        async with opened(plain) as store:
            await admit(store, "s")
            await write(store, "s", b"x", after=1)
            assert len(await log(store, "s")) == 2

    try:
        asyncio.run(scenario())
    finally:
        asked(postgres_url, f"DROP OWNED BY {name}")
        asked(postgres_url, f"DROP ROLE {name}")


def test_every_statement_says_what_it_changes_by_its_whole_name():
    """A search_path that somebody else may write to must not lead the store to other tables."""
    for name, statement in named_statements().items():
        words = statement.decode().replace("(", " ").split()
        for before, table in pairwise(words):
            if (
                before in ("INTO", "UPDATE") and table not in ("SET", "SKIP", "OF") and not table.startswith(")")
            ):  # FOR UPDATE
                assert table.startswith("ropewalk."), (name, table)
