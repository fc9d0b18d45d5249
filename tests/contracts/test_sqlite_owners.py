"""A file of an older program gets the columns for owners, sessions and turns in place, while that program goes on."""

import asyncio
import sqlite3
from importlib.resources import files
from pathlib import Path

from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.stores.sqlite_schema import APPLICATION_ID, named_statements
from ropewalk.testing.store_checks import admit, log, write

ADD_RUN = """
INSERT INTO run (run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, base, shared)
VALUES (?, 'g', 'p1', 'RUNNING', 1, 1, 100.0, 100.0, NULL, 0, NULL, 0)
"""


def old_file(path: Path) -> sqlite3.Connection:
    """Return a connection of the program that made the file, before there were owners."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript((files("ropewalk.stores") / "sql/sqlite/0001_runs.sql").read_text("utf-8"))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    add(connection, "before")
    return connection


def add(connection: sqlite3.Connection, run_id: str) -> None:
    key = connection.execute(ADD_RUN, (run_id,)).lastrowid
    connection.execute("INSERT INTO entry (run, number, body) VALUES (?, 1, x'7b7d')", (key,))


def test_an_older_file_is_upgraded_in_place_and_its_program_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    older = old_file(path)

    async def scenario() -> None:
        store = SqliteRunStore(path)
        before = await store.look("before")
        assert (before.owner, before.session, before.turn) == (None, None, None)
        await write(store, "before", b"x", after=1)
        await admit(store, "owned", owner="ann", session="s", at=200.0)
        add(older, "meanwhile")
        older.execute("UPDATE run SET status = 'DONE' WHERE run_id = 'meanwhile'")
        assert [record.run_id for record in await store.runs(owner="ann")] == ["owned"]
        assert {record.run_id for record in await store.runs()} == {"before", "owned", "meanwhile"}
        assert (await store.look("meanwhile")).owner is None
        assert await log(store, "before") == [b"{}", b"x"]
        await admit(store, "turned", owner="ann", session="s", turn=1)
        assert await store.last_turn(owner="ann", session="s") == 1
        add(older, "later")
        assert (await store.look("later")).turn is None
        await store.close()

    asyncio.run(scenario())
    assert older.execute("PRAGMA user_version").fetchone() == (3,)
    older.close()


def test_runs_of_an_owner_and_turns_are_found_by_an_index(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SqliteRunStore(tmp_path / "runs.db")
        await admit(store, "r", owner="ann", session="s")
        await store.close()

    asyncio.run(scenario())
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        for condition, index in (
            ("owner = 'ann'", "run_newest_of_owner"),
            ("owner = 'ann' AND status = 'RUNNING'", "run_newest_of_owner_and_status"),
            ("session = 's'", "run_newest_of_session"),
        ):
            query = f"SELECT * FROM run WHERE {condition} ORDER BY created DESC, run_id DESC LIMIT 10"
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
            assert index in plan
            assert "TEMP B-TREE" not in plan
        statements = named_statements()
        for name, index in (("turn", "run_turn"), ("last_turn", "run_turn"), ("whose_turn", "run_whose_turn")):
            asked = ("s", "ann", 1)[: statements[name].count("?")]
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {statements[name]}", asked).fetchall())
            assert index in plan
            assert "TEMP B-TREE" not in plan
    connection.close()
