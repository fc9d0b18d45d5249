"""Admissions and appends that come together are one statement, and each is answered as if it had come alone."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from ropewalk.errors import RunExists, RunTaken, TurnTaken
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing.store_checks import admit, log, new_run, write


@asynccontextmanager
async def traced(path):
    """Give a store and the list of statements that its writing connection does."""
    store, statements = SqliteRunStore(path), []
    await admit(store, "first")  # the connection is there

    def trace(file):
        file._connection.set_trace_callback(statements.append)

    await store._writer.ask(trace)
    statements.clear()
    try:
        yield store, statements
    finally:
        await store.close()


def test_runs_that_begin_and_go_on_at_once_are_one_statement(tmp_path):
    async def scenario():
        async with traced(tmp_path / "runs.db") as (store, statements):
            await asyncio.gather(
                *[admit(store, f"run{i}") for i in range(9)],
                write(store, "first", b"more", b"and more", after=1),
                admit(store, "last"),
            )
            (done,) = {*statements}  # it is told again for each row by a trigger
            assert done.startswith("INSERT INTO writing VALUES")
            assert [len(await log(store, f"run{i}")) for i in range(9)] == [1] * 9
            assert (await log(store, "first"))[1:] == [b"more", b"and more"]

    asyncio.run(scenario())


@pytest.mark.parametrize("bodies", [[], [b"one"], [b"one", b"two", b"three"]])
def test_a_run_is_admitted_with_as_many_entries_as_it_brings(tmp_path, bodies):
    async def scenario():
        store = SqliteRunStore(tmp_path / "runs.db")
        await asyncio.gather(admit(store, "a", bodies), admit(store, "b", bodies))
        assert await log(store, "a") == await log(store, "b") == bodies
        assert (await store.look("a")).last == len(bodies)
        await write(store, "a", b"x", b"y", after=len(bodies))
        assert await log(store, "a") == [*bodies, b"x", b"y"]
        await store.close()

    asyncio.run(scenario())


def test_of_runs_that_are_admitted_together_only_those_are_refused_that_must_be(tmp_path):
    async def scenario():
        store = SqliteRunStore(tmp_path / "runs.db")
        await asyncio.gather(admit(store, "there"), store.create(new_run("turn1", session="s", turn=1), [b"x"]))
        calls = [
            admit(store, "a"),
            admit(store, "there", [b"another"]),
            store.create(new_run("late", session="s", turn=1), [b"x"]),
            write(store, "there", b"more", after=1),
            write(store, "there", b"from somebody else", after=1),
            store.create(new_run("turn2", session="s", turn=2), [b"x"]),
            store.create(new_run("fork", parent="there", fork_at=1), [b"own"]),
            admit(store, "a", [b"again"]),
            admit(store, "z"),
        ]
        told = await asyncio.gather(*calls, return_exceptions=True)
        kinds = [one if not isinstance(one, Exception) else type(one) for one in told]
        assert kinds == [None, RunExists, TurnTaken, None, RunTaken, 1, 1, RunExists, None]
        assert (await log(store, "there"))[1:] == [b"more"]
        assert (await log(store, "fork"))[1:] == [b"own"]
        assert {record.run_id for record in await store.runs()} == {"there", "turn1", "turn2", "a", "fork", "z"}
        await store.close()

    asyncio.run(scenario())
