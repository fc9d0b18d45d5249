"""A SQLite store among processes: several at a file, killed ones, forked ones, and those that just exit."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

import ropewalk
from ropewalk.errors import RunTaken
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing.store_checks import admit, log, write

SOURCE = str(Path(ropewalk.__file__).parents[1])


def python(script, *args, **options):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, args)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": SOURCE}, text=True, **options)


def finished(script, *args):
    with python(script, *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout=15)
    assert process.returncode == 0, err
    return out, err


def rows(path):
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [number for (number,) in file.execute("SELECT number FROM entry ORDER BY number")]


def test_a_write_that_the_system_refuses_loses_nothing_acknowledged(tmp_path):
    out, _ = finished(
        """
        import asyncio, resource, sys
        from ropewalk.contracts import NewRun
        from ropewalk.errors import StoreUnavailable
        from ropewalk.stores.sqlite import SqliteRunStore

        def limit_files(size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        async def append(store, last):
            await store.append("r", epoch=1, after=last, bodies=[b"x" * 2000], status="RUNNING", at=2.0)

        async def main():
            store = SqliteRunStore(sys.argv[1])
            await store.create(NewRun(run_id="r", graph="g", plan="p", status="RUNNING", at=1.0), [])
            last = failed = 0
            for round in range(3):
                limit_files(150_000 + 100_000 * round)
                try:
                    while True:
                        await append(store, last)
                        last += 1
                except StoreUnavailable as error:
                    failed += 1
                    assert "disk" in str(error), error
                assert len(await store.read("r")) == last
            limit_files(resource.RLIM_INFINITY)
            await append(store, last)
            await store.close()
            print(failed, last + 1)

        asyncio.run(main())
        """,
        tmp_path / "runs.db",
    )
    failed, last = map(int, out.split())
    assert failed == 3
    assert last > 10
    assert rows(tmp_path / "runs.db") == [*range(1, last + 1)]


def test_a_second_process_takes_a_run_over(tmp_path):
    path = tmp_path / "runs.db"
    store = SqliteRunStore(path)
    asyncio.run(admit(store, "r"))
    out, _ = finished(
        """
        import asyncio, sys
        from ropewalk.stores.sqlite import SqliteRunStore

        async def main():
            store = SqliteRunStore(sys.argv[1])
            epoch = (await store.claim("r")).epoch
            await store.append("r", epoch=epoch, after=1, bodies=[b"mine"], status="DONE", at=3.0)
            print(epoch)

        asyncio.run(main())
        """,
        path,
    )
    assert out == "2\n"
    for after in (1, 2):
        with pytest.raises(RunTaken):
            asyncio.run(write(store, "r", b"too late", after=after))
    assert asyncio.run(log(store, "r")) == [b"started", b"mine"]
    epoch = asyncio.run(store.claim("r")).epoch
    asyncio.run(write(store, "r", b"back", after=2, epoch=epoch))
    asyncio.run(store.close())


WRITER = """
    import asyncio, os, sys
    from ropewalk.contracts import NewRun
    from ropewalk.stores.sqlite import SqliteRunStore

    async def main():
        store = SqliteRunStore(sys.argv[1])

        async def drive(run_id):
            if sys.argv[2] == "create":
                await store.create(NewRun(run_id=run_id, graph="g", plan="p", status="RUNNING", at=1.0), [])
            owned = await store.claim(run_id)
            for after in range(owned.last, owned.last + int(sys.argv[3])):
                body = f"{run_id}:{after + 1}".encode()
                told = {"epoch": owned.epoch, "after": after, "status": "RUNNING", "at": 2.0}
                await store.append(run_id, bodies=[body], **told)
                os.write(1, body + b"\\n")  # the acknowledgement: unbuffered, one write each

        await asyncio.gather(*[drive(f"{sys.argv[4]}{i}") for i in range(8)])
        await store.close()

    asyncio.run(main())
    """


def test_processes_that_open_a_new_file_together_all_write_to_it(tmp_path):
    path = tmp_path / "runs.db"
    started = [
        python(WRITER, path, "create", 20, name, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for name in "abc"
    ]
    for process in started:
        _, err = process.communicate(timeout=15)
        assert process.returncode == 0, err

    written = there(path)
    assert len(written) == 24
    assert set(written.values()) == {20}


def test_two_processes_never_give_a_turn_twice(tmp_path):
    script = """
        import asyncio, sys
        from ropewalk.errors import TurnTaken
        from ropewalk.stores.sqlite import SqliteRunStore
        from ropewalk.testing.store_checks import admit

        async def main():
            store = SqliteRunStore(sys.argv[1])
            for nth in range(30):
                while True:
                    turn = await store.last_turn(owner="ann", session="s") + 1
                    try:
                        await admit(store, f"{sys.argv[2]}.{nth}", owner="ann", session="s", turn=turn)
                    except TurnTaken:
                        continue
                    print(turn, flush=True)
                    break
            await store.close()

        asyncio.run(main())
    """
    pair = [python(script, tmp_path / "runs.db", name, stdout=subprocess.PIPE) for name in "ab"]
    taken = [[int(line) for line in process.communicate(timeout=30)[0].split()] for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert sorted(taken[0] + taken[1]) == [*range(1, 61)]


@pytest.mark.slow
def test_nothing_acknowledged_is_missing_after_kill_9(tmp_path):
    path = tmp_path / "runs.db"
    acknowledged = {}
    for life in range(4):
        process = python(WRITER, path, "claim" if life else "create", 1_000_000, "run", stdout=subprocess.PIPE)
        for _ in range(500 + 313 * life):
            note(acknowledged, process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            note(acknowledged, line)
        process.stdout.close()
        process.wait()
        assert all(there(path)[run_id] >= number for run_id, number in acknowledged.items())
    assert len(rows(path)) >= sum(acknowledged.values()) > 3_500


def note(acknowledged, line):
    if line.endswith("\n"):
        run_id, number = line.strip().split(":")
        assert int(number) > acknowledged.get(run_id, 0)
        acknowledged[run_id] = int(number)


def there(path):
    """Return the length of each log, having checked that every entry is the one that was written."""

    async def read():
        store = SqliteRunStore(path)
        found = {record.run_id: record.last for record in await store.runs()}
        for run_id, last in found.items():
            assert await log(store, run_id) == [f"{run_id}:{n}".encode() for n in range(1, last + 1)]
        await store.close()
        return found

    return asyncio.run(read())


def test_a_forked_process_opens_a_connection_of_its_own(tmp_path):
    out, err = finished(
        """
        import asyncio, os, sys, warnings
        from ropewalk.contracts import NewRun
        from ropewalk.stores.sqlite import SqliteRunStore

        store = SqliteRunStore(sys.argv[1])

        async def write(run_id):
            await store.create(NewRun(run_id=run_id, graph="g", plan="p", status="RUNNING", at=1.0), [b"x"])
            return len(await store.runs())

        assert asyncio.run(write("parent")) == 1
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork() beside threads: the very thing tried
        child = os.fork()
        if not child:
            assert asyncio.run(write("child")) == 2
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert asyncio.run(write("parent again")) == 3
        print("fine")
        """,
        tmp_path / "runs.db",
    )
    assert (out, err) == ("fine\n", "")


def test_a_store_that_is_never_closed_lets_the_interpreter_exit_and_leaves_one_file(tmp_path):
    _, err = finished(
        """
        import asyncio, sys
        from ropewalk.contracts import NewRun
        from ropewalk.stores.sqlite import SqliteRunStore

        unused = SqliteRunStore(sys.argv[1] + ".unused")
        store = SqliteRunStore(sys.argv[1])
        asyncio.run(store.create(NewRun(run_id="r", graph="g", plan="p", status="RUNNING", at=1.0), [b"x"]))
        asyncio.run(store.read("r"))
        """,
        tmp_path / "runs.db",
    )
    assert err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["runs.db"]


def test_a_store_that_is_dropped_ends_its_threads(tmp_path):
    _, err = finished(
        """
        import asyncio, gc, sys, threading
        from ropewalk.contracts import NewRun
        from ropewalk.stores.sqlite import SqliteRunStore

        store = SqliteRunStore(sys.argv[1])
        asyncio.run(store.create(NewRun(run_id="r", graph="g", plan="p", status="RUNNING", at=1.0), [b"x"]))
        asyncio.run(store.read("r"))
        threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
        assert len(threads) == 2, threads
        del store
        gc.collect()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        """,
        tmp_path / "runs.db",
    )
    assert err == ""


def test_appends_in_flight_when_the_interpreter_exits_are_still_written(tmp_path):
    finished(
        """
        import asyncio, sys
        from ropewalk.contracts import NewRun
        from ropewalk.stores.sqlite import SqliteRunStore

        async def main():
            store = SqliteRunStore(sys.argv[1])
            for i in range(100):
                run = NewRun(run_id=f"run{i}", graph="g", plan="p", status="RUNNING", at=1.0)
                asyncio.ensure_future(store.create(run, [b"x"]))
            await asyncio.sleep(0)
            globals()["kept"] = store

        asyncio.run(main())
        """,
        tmp_path / "runs.db",
    )
    assert len(rows(tmp_path / "runs.db")) == 100


def test_importing_and_making_a_store_loads_no_driver_and_touches_no_file(tmp_path):
    finished(
        """
        import sys
        from ropewalk.stores.sqlite import SqliteRunStore

        SqliteRunStore(sys.argv[1])
        assert "sqlite3" not in sys.modules
        """,
        tmp_path / "runs.db",
    )
    assert [*tmp_path.iterdir()] == []
