"""A SQLite store in trouble tells everyone concerned, loses nothing acknowledged, and recovers by itself."""

import asyncio
import ctypes
import errno
import platform
import sqlite3
import struct
import sys
from contextlib import asynccontextmanager, closing

import pytest

from ropewalk import END, START, Graph, GraphState, History
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


# A disk that fails for real: the kernel itself answers the writer thread's system calls with an error. A seccomp filter
# can never be taken off a thread again, so the disk is whole again for the next store, which has a thread of its own.

CALLS = {
    "x86_64": {"fsync": 74, "fdatasync": 75, "write": 1, "pwrite64": 18},
    "aarch64": {"fsync": 82, "fdatasync": 83, "write": 64, "pwrite64": 68},
}
SYNC, WRITE = ("fsync", "fdatasync"), ("write", "pwrite64")
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
LOAD, JUMP_IF_EQUAL, RETURN, ALLOW, REFUSE = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000


def fail_in_this_thread(calls, error):
    """Have the kernel refuse these system calls to the calling thread, as a failing disk would."""
    numbers = [CALLS[platform.machine()][call] for call in calls]
    program = [struct.pack("=HBBI", LOAD, 0, 0, 0)]
    program += [struct.pack("=HBBI", JUMP_IF_EQUAL, len(numbers) - at, 0, one) for at, one in enumerate(numbers)]
    program += [struct.pack("=HBBI", RETURN, 0, 0, what) for what in (ALLOW, REFUSE | error)]
    body = ctypes.create_string_buffer(b"".join(program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(body)))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0)):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter")


async def disk_fails(store, calls, error=errno.EIO):
    await store._writer.ask(lambda file: fail_in_this_thread(calls, error))


failing_disks = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() not in CALLS,
    reason="only Linux lets a thread have its own failing disk",
)


@failing_disks
@pytest.mark.parametrize("calls", [SYNC, WRITE], ids=["sync", "write"])
def test_what_a_failing_disk_did_not_take_is_not_acknowledged_and_what_was_is_kept(tmp_path, calls):
    async def fails():
        async with opened(tmp_path / "runs.db") as store:
            await asyncio.gather(*[admit(store, f"run{i}") for i in range(10)])
            await asyncio.gather(*[write(store, f"run{i}", b"kept", after=1) for i in range(10)])
            await disk_fails(store, calls)
            for attempt in range(2):
                appends = [write(store, f"run{i}", b"x", after=2) for i in range(10)]
                results = await asyncio.gather(*appends, admit(store, f"new{attempt}"), return_exceptions=True)
                assert [type(result) for result in results] == [StoreUnavailable] * 11
                assert "The disk may be failing" in str(results[0])
                assert (await log(store, "run3"))[:2] == [b"started", b"kept"]

    async def is_whole_again():
        async with opened(tmp_path / "runs.db") as store:
            for i in range(10):
                entries = await log(store, f"run{i}")
                assert entries in ([b"started", b"kept"], [b"started", b"kept", b"x"]), "not acknowledged is not undone"
                await write(store, f"run{i}", b"after", after=len(entries))
        async with opened(tmp_path / "runs.db") as store:
            assert [(await log(store, f"run{i}"))[-1] for i in range(10)] == [b"after"] * 10

    asyncio.run(fails())
    with closing(sqlite3.connect(tmp_path / "runs.db")) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    asyncio.run(is_whole_again())


@failing_disks
def test_full_durability_waits_for_the_disk_at_every_commit_and_normal_does_not(tmp_path):
    """What the docs say of both: only `full` notices at once that nothing reaches the disk any more."""

    async def appended(durability):
        async with opened(tmp_path / f"{durability}.db", durability=durability) as store:
            await admit(store, "r")
            await disk_fails(store, SYNC)
            return (await asyncio.gather(write(store, "r", b"x", after=1), return_exceptions=True))[0]

    assert isinstance(asyncio.run(appended("full")), StoreUnavailable)
    assert asyncio.run(appended("normal")) is None


@failing_disks
def test_a_disk_that_is_full_for_real_is_told_as_full(tmp_path):
    async def scenario():
        async with opened(tmp_path / "runs.db") as store:
            await admit(store, "r")
            await disk_fails(store, WRITE, errno.ENOSPC)
            with pytest.raises(StoreFull, match="Make room"):
                await write(store, "r", b"x", after=1)
            assert await log(store, "r") == [b"started"]

    asyncio.run(scenario())


class Done(GraphState):
    done: History[str]


@failing_disks
def test_a_run_whose_disk_fails_stops_and_goes_on_when_it_is_whole_again(tmp_path):
    """Promises 2 and 3: nothing starts on what did not reach the disk, and nothing that did runs again."""
    called = []

    def drawn(store):
        graph = Graph(Done, store=store)

        def named(name):
            async def node():
                called.append(name)
                if called == ["a", "b"]:
                    await disk_fails(store, SYNC)
                return {"done": name}

            return node

        for before, name in ((START, "a"), ("a", "b"), ("b", "c")):
            graph.add_node(named(name), name=name).add_edge(before, name)
        return graph.add_edge("c", END)

    async def fails():
        async with opened(tmp_path / "runs.db") as store:
            run = drawn(store).start(run_id="r")
            with pytest.raises(StoreUnavailable, match="disk may be failing"):
                await run
            assert called == ["a", "b"]

    async def is_whole_again():
        async with opened(tmp_path / "runs.db") as store:
            run = drawn(store).open("r")
            await run.resume()
            return (await run).done

    asyncio.run(fails())
    assert asyncio.run(is_whole_again()) == ["a", "b", "c"]
    assert called in (["a", "b", "c"], ["a", "b", "b", "c"])
