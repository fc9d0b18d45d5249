"""A SQLite store in trouble tells everyone concerned, loses nothing acknowledged, and recovers by itself."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing

import pytest

from ropewalk.errors import RunNotFound, StoreCorrupt, StoreFull, StoreReadOnly, StoreTooNew, StoreUnavailable
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing.store_checks import admit, log, write


@asynccontextmanager
async def opened(path, **options):
    store = SqliteRunStore(path, **options)
    try:
        yield store
    finally:
        await store.close()


async def limit_pages(store, pages):
    """Make the file as full as a disk would: SQLite itself then refuses to grow it."""
    await store._writer.ask(lambda file, pages: file.execute(f"PRAGMA max_page_count = {pages}"), pages)


def test_a_full_disk_is_told_to_everyone_and_over_when_there_is_room(tmp_path):
    async def scenario():
        async with opened(tmp_path / "runs.db") as store:
            await asyncio.gather(*[admit(store, f"run{i}", [b"x" * 3000]) for i in range(10)])
            await limit_pages(store, 1)  # SQLite takes the present size for the least
            calls = [write(store, f"run{i}", b"y" * 9000, after=1) for i in range(10)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(result) for result in results] == [StoreFull] * 10
            assert "Make room" in str(results[0])
            assert len({id(result) for result in results}) == 10
            assert len(await log(store, "run3")) == 1
            await limit_pages(store, 100_000)
            await asyncio.gather(*[write(store, f"run{i}", b"y" * 9000, after=1) for i in range(10)])
            assert len(await log(store, "run3")) == 2

    asyncio.run(scenario())


def test_an_entry_too_large_for_the_disk_does_not_stop_the_smaller_ones(tmp_path):
    async def scenario():
        async with opened(tmp_path / "runs.db") as store:
            await asyncio.gather(*[admit(store, f"run{i}") for i in range(10)])
            await limit_pages(store, 40)
            sizes = [10_000_000 if i == 4 else 100 for i in range(10)]
            calls = [write(store, f"run{i}", b"y" * size, after=1) for i, size in enumerate(sizes)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(result) for result in results] == [StoreFull if i == 4 else type(None) for i in range(10)]
            assert [len(await log(store, f"run{i}")) for i in range(10)] == [1 if i == 4 else 2 for i in range(10)]

    asyncio.run(scenario())


def set_write_version(path, version):
    """Say in the header which format a writer must know: SQLite reads a file above 2 and never writes it."""
    with path.open("r+b") as file:
        file.seek(18)
        file.write(bytes([version]))


def test_a_read_only_file_is_read_and_refuses_writes(tmp_path):
    path = tmp_path / "runs.db"

    async def fill():
        async with opened(path) as store:
            await admit(store, "r")

    async def use():
        async with opened(path) as store:
            assert await log(store, "r") == [b"started"]
            results = await asyncio.gather(write(store, "r", b"x", after=1), admit(store, "s"), return_exceptions=True)
            assert [type(result) for result in results] == [StoreReadOnly] * 2
            assert "Give this user the right" in str(results[0])
            await asyncio.to_thread(set_write_version, path, 2)
            await write(store, "r", b"x", after=1)
            assert await log(store, "r") == [b"started", b"x"]
            with pytest.raises(RunNotFound):
                await store.look("s")

    asyncio.run(fill())
    set_write_version(path, 3)
    asyncio.run(use())


def test_a_path_below_a_file_is_refused_with_the_path(tmp_path):
    (tmp_path / "file").write_text("no folder")

    async def scenario():
        async with opened(tmp_path / "file" / "runs.db") as store:
            with pytest.raises(StoreUnavailable, match=r"runs\.db"):
                await admit(store, "r")
            with pytest.raises(StoreUnavailable, match="Choose a path"):
                await store.read("r")

    asyncio.run(scenario())


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    async def scenario():
        async with opened(tmp_path) as store:
            with pytest.raises(StoreUnavailable, match="could not be opened"):
                await admit(store, "r")

    asyncio.run(scenario())


def test_a_file_that_stays_locked_is_told_and_used_when_it_is_free(tmp_path):
    path = tmp_path / "runs.db"

    async def scenario():
        async with opened(path, lock_wait_seconds=0.05) as store:
            await admit(store, "r")
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                results = await asyncio.gather(
                    *[write(store, "r", b"x", after=1) for _ in range(5)], return_exceptions=True
                )
                assert [type(result) for result in results] == [StoreUnavailable] * 5
                assert "locked for 0.05 s" in str(results[0])
                assert await log(store, "r") == [b"started"]
                other.execute("ROLLBACK")
            await write(store, "r", b"x", after=1)
            assert await log(store, "r") == [b"started", b"x"]

    asyncio.run(scenario())


def test_a_lock_that_is_let_go_in_time_is_waited_for(tmp_path):
    path = tmp_path / "runs.db"

    async def scenario():
        async with opened(path) as store:
            await admit(store, "r")
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                append = asyncio.ensure_future(write(store, "r", b"x", after=1))
                assert await log(store, "r") == [b"started"]
                assert not append.done()
                other.execute("COMMIT")
                await append

    asyncio.run(scenario())


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes. " * 1000)

    async def scenario():
        async with opened(path) as store:
            for call in (admit(store, "r"), store.read("r"), store.runs(), store.claim("r")):
                with pytest.raises(StoreCorrupt, match="not a whole store"):
                    await call

    asyncio.run(scenario())
    assert path.read_text() == "These are my notes. " * 1000


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE run (mine TEXT)")
    before = path.read_bytes()

    async def scenario():
        async with opened(path) as store:
            with pytest.raises(StoreUnavailable, match="another program"):
                await admit(store, "r")
            with pytest.raises(StoreUnavailable, match="another program"):
                await store.runs()

    asyncio.run(scenario())
    assert path.read_bytes() == before


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "runs.db"

    async def use():
        async with opened(path) as store:
            await admit(store, "r")

    asyncio.run(use())
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    before = path.read_bytes()

    async def scenario():
        async with opened(path) as store:
            results = await asyncio.gather(
                write(store, "r", b"x", after=1), store.read("r"), store.look("r"), return_exceptions=True
            )
            assert [type(result) for result in results] == [StoreTooNew] * 3
            assert "Upgrade Ropewalk" in str(results[0])

    asyncio.run(scenario())
    assert path.read_bytes() == before


def test_a_damaged_page_is_told_to_those_who_need_it(tmp_path):
    path = tmp_path / "runs.db"

    async def fill():
        async with opened(path) as store:
            await asyncio.gather(*[admit(store, f"run{i}", [b"x" * 500] * 50) for i in range(20)])

    async def read():
        async with opened(path) as store:
            calls = [store.read(f"run{i}") for i in range(20)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert any(isinstance(result, StoreCorrupt) for result in results)
            assert all(isinstance(result, list | StoreCorrupt) for result in results)

    asyncio.run(fill())
    with path.open("r+b") as file:
        file.seek(4096 * 60)
        file.write(b"\xff" * 4096)
    asyncio.run(read())


def test_a_lost_row_is_never_read_over(tmp_path):
    path = tmp_path / "runs.db"

    async def fill():
        async with opened(path) as store:
            await admit(store, "r", [b"x"] * 9)
            await admit(store, "whole")

    async def read():
        async with opened(path) as store:
            with pytest.raises(StoreCorrupt, match="Entry 5 of run 'r' is missing"):
                await store.read("r")
            results = await asyncio.gather(store.read("r"), store.read("whole"), return_exceptions=True)
            assert isinstance(results[0], StoreCorrupt)
            assert results[1] == [(1, b"started")]
            assert await store.read("r", after=5) == [(number, b"x") for number in range(6, 10)]

    asyncio.run(fill())
    with closing(sqlite3.connect(path)) as vandal, vandal:
        vandal.execute("DELETE FROM entry WHERE number = 5")
    asyncio.run(read())


def test_a_wrong_argument_is_its_callers_trouble_alone(tmp_path):
    async def scenario():
        async with opened(tmp_path / "runs.db") as store:
            await asyncio.gather(*[admit(store, f"run{i}") for i in range(9)])
            wrong = {2: "text, not bytes", 5: object(), 7: None}
            calls = [write(store, f"run{i}", wrong.get(i, b"x"), after=1) for i in range(9)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [i for i, result in enumerate(results) if result is not None] == [2, 5, 7]
            assert not any(isinstance(results[i], StoreUnavailable) for i in wrong)
            assert [len(await log(store, f"run{i}")) for i in range(9)] == [1 if i in wrong else 2 for i in range(9)]

    asyncio.run(scenario())


def test_a_closed_store_says_so(tmp_path):
    async def scenario():
        store = SqliteRunStore(tmp_path / "runs.db")
        await admit(store, "r")
        await store.close()
        for call in (
            write(store, "r", b"x", after=1),
            store.read("r"),
            store.claim("r"),
            store.runs(),
            admit(store, "s"),
        ):
            with pytest.raises(StoreUnavailable, match=r"runs\.db' was closed"):
                await call

    asyncio.run(scenario())


@pytest.mark.parametrize("path", [":memory:", ""])
def test_a_path_that_names_no_file_is_refused(path):
    with pytest.raises(ValueError, match="MemoryRunStore"):
        SqliteRunStore(path)


def test_an_unknown_durability_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'full' or 'normal'"):
        SqliteRunStore(tmp_path / "runs.db", durability="fast")


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("normal", 1)])
def test_durability_decides_what_is_synced(tmp_path, durability, level):
    def synchronous(file):
        return file.execute("PRAGMA synchronous").fetchone()[0]

    async def scenario():
        async with opened(tmp_path / "runs.db", durability=durability) as store:
            assert await store._writer.ask(synchronous) == level

    asyncio.run(scenario())
