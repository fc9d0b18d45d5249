"""A PostgreSQL store among processes: killed ones, forked ones, those that just exit, and a store that is dropped."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import psycopg
import pytest

import ropewalk
from ropewalk.stores.postgres import PostgresRunStore
from ropewalk.testing.store_checks import admit, log, write

SOURCE = str(Path(ropewalk.__file__).parents[1])


def python(script, *args, **options):
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, args)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": SOURCE}, text=True, **options)


def test_nothing_acknowledged_is_lost_or_torn_when_a_process_is_killed(postgres_url):
    script = """
        import asyncio, sys
        from ropewalk.stores.postgres import PostgresRunStore
        from ropewalk.testing.store_checks import admit, write

        async def drive(store, run_id):
            await admit(store, run_id, [])
            for i in range(100_000):
                await write(store, run_id, b"a", b"b", after=2 * i)
                print(run_id, 2 * i + 2, flush=True)

        async def main():
            store = PostgresRunStore(sys.argv[1])
            await asyncio.gather(*[drive(store, f"{sys.argv[2]}.{i}") for i in range(10)])

        asyncio.run(main())
    """
    acknowledged = {}
    for round in range(3):
        with python(script, postgres_url, round, stdout=subprocess.PIPE) as process:
            for line in process.stdout:
                run_id, last = line.split()
                acknowledged[run_id] = int(last)
                if sum(acknowledged.values()) > 1000 * (round + 1):
                    break
            process.send_signal(signal.SIGKILL)
            for line in process.stdout:
                if line.endswith("\n"):
                    run_id, last = line.split()
                    acknowledged[run_id] = int(last)

    async def scenario():
        store = PostgresRunStore(postgres_url)
        for run_id, last in acknowledged.items():
            written = await log(store, run_id)
            assert len(written) >= last
            assert written == [b"a", b"b"] * (len(written) // 2)
            assert (await store.look(run_id)).last == len(written)
        await store.close()

    assert len(acknowledged) >= 10
    asyncio.run(scenario())


TURNS = """
    import asyncio, sys
    from ropewalk.errors import TurnTaken
    from ropewalk.runtime import open_store
    from ropewalk.testing.store_checks import admit

    async def main():
        store = open_store(sys.argv[1])
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


def test_two_processes_never_give_a_turn_twice(postgres_url):
    pair = [python(TURNS, postgres_url, name, stdout=subprocess.PIPE) for name in "ab"]
    taken = [[int(line) for line in process.communicate(timeout=30)[0].split()] for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert sorted(taken[0] + taken[1]) == [*range(1, 61)]


def test_a_program_that_does_not_close_its_store_ends_in_silence(postgres_url):
    script = """
        import asyncio, sys
        from ropewalk.stores.postgres import PostgresRunStore
        from ropewalk.testing.store_checks import admit, write

        store = PostgresRunStore(sys.argv[1])

        async def main():
            await admit(store, "r", [])
            asyncio.ensure_future(write(store, "r", b"x", after=0))
            await asyncio.sleep(0)

        asyncio.run(main())
    """
    with python(script, postgres_url, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.communicate(timeout=20) == ("", "")

    async def scenario():
        store = PostgresRunStore(postgres_url)
        assert await log(store, "r") == [b"x"]
        await store.close()

    asyncio.run(scenario())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_uses_the_store_beside_its_parent(postgres_url):
    store = PostgresRunStore(postgres_url)
    asyncio.run(admit(store, "r", []))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads do not survive a fork is the test
        child = os.fork()
    if child == 0:
        try:
            asyncio.run(write(store, "r", b"child", after=0))
            gc.collect()
            asyncio.run(store.close())
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(write(store, "r", b"parent", after=1))
    assert asyncio.run(log(store, "r")) == [b"child", b"parent"]
    asyncio.run(store.close())


def test_a_store_that_is_dropped_lets_go_of_its_thread_and_connections(postgres_url):
    before = threading.active_count()
    store = PostgresRunStore(postgres_url)
    asyncio.run(admit(store, "r"))
    thread = next(thread for thread in threading.enumerate() if thread.name == "ropewalk-postgres")
    del store
    gc.collect()
    thread.join(10)
    assert threading.active_count() <= before
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert rows.fetchone()[0] <= 1  # one may still be on its way out


def test_importing_the_store_loads_no_driver_and_a_missing_one_is_named():
    script = """
        import sys
        from ropewalk.stores.postgres import PostgresRunStore
        assert "psycopg" not in sys.modules
        sys.modules["psycopg"] = None
        try:
            PostgresRunStore("postgresql://me@nowhere/db")
        except ImportError as error:
            print(error)
    """
    with python(script, stdout=subprocess.PIPE) as process:
        assert "pip install 'ropewalk[postgres]'" in process.communicate(timeout=20)[0]
