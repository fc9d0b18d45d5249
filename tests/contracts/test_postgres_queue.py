"""What only the queue in PostgreSQL has: a row beside the run in the same commit, connections that break, hints."""

import asyncio
from contextlib import asynccontextmanager

import psycopg
import pytest

from ropewalk.contracts.run_queue import QueuesRuns
from ropewalk.errors import StoreUnavailable
from ropewalk.stores.postgres import PostgresRunStore
from ropewalk.testing.store_checks import admit, new_run, write


@asynccontextmanager
async def opened(url):
    store = PostgresRunStore(url)
    assert isinstance(store, QueuesRuns)
    try:
        yield store, store.queue()
    finally:
        await store.close()


def claimed(claims):
    return {claim.record.run_id: claim.record.epoch for claim in claims}


def asked(url, statement, *parameters):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def end_leases(url):
    """Do to the leases what time does."""
    asked(url, "UPDATE ropewalk.work SET wake_at = now() - interval '1 s' WHERE worker IS NOT NULL")


def test_runs_submitted_at_the_same_time_are_due_in_the_commit_that_admits_them(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            waiting = asyncio.create_task(queue.wait(["g"], at_most_seconds=30))
            names = [f"run{i}" for i in range(60)]
            admitting = [
                queue.submit(new_run(name, status="PAUSED" if i % 3 == 0 else "RUNNING"), [b"x"])
                if i % 2
                else store.create(new_run(name), [b"x"])
                for i, name in enumerate(names)
            ]
            assert await asyncio.gather(*admitting) == [1] * 60
            async with asyncio.timeout(5):
                await waiting
            same = "SELECT run_id, run.xmin = work.xmin FROM ropewalk.work JOIN ropewalk.run ON run.key = work.run"
            due = {name: True for i, name in enumerate(names) if i % 2 and i % 3}
            assert dict(asked(postgres_url, same)) == due
            assert claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=99)) == dict.fromkeys(due, 2)

    asyncio.run(scenario())


def test_a_renewer_outlives_its_connection_and_tells_a_server_that_is_gone(own_postgres):
    async def scenario():
        async with opened(own_postgres.url) as (_, queue):
            await queue.submit(new_run("r"), [])
            claims = claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30))
            renewer = queue.renewer("w")
            assert renewer.renew({}, ttl_seconds=30) == set()
            assert renewer.renew(claims, ttl_seconds=30) == {"r"}
            await asyncio.to_thread(own_postgres.restart)
            assert renewer.renew(claims, ttl_seconds=30) == {"r"}
            await asyncio.to_thread(own_postgres.stop)
            with pytest.raises(StoreUnavailable):
                renewer.renew(claims, ttl_seconds=30)
            await asyncio.to_thread(own_postgres.start)
            assert renewer.renew(claims, ttl_seconds=30) == {"r"}
            renewer.close()

    asyncio.run(scenario())


def test_the_append_that_pauses_a_run_gives_up_its_lease_and_the_one_that_goes_on_makes_it_due(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            await queue.submit(new_run("r"), [])
            await queue.claim("w", graphs=["g"], ttl_seconds=30)
            await write(store, "r", b"asked", after=0, epoch=2, status="PAUSED")
            assert asked(postgres_url, "SELECT count(*) FROM ropewalk.work") == [(0,)]
            end_leases(postgres_url)
            assert await queue.claim("w", graphs=["g"], ttl_seconds=30) == []
            answering = await store.claim("r")
            await write(store, "r", b"answered", after=1, epoch=answering.epoch)
            (claim,) = await queue.claim("w", graphs=["g"], ttl_seconds=30)
            assert (claim.record.epoch, claim.record.last, claim.taken_from) == (4, 2, None)
            await write(store, "r", b"done", after=2, epoch=4, status="DONE")
            assert asked(postgres_url, "SELECT count(*) FROM ropewalk.work") == [(0,)]

    asyncio.run(scenario())


def test_a_listener_that_lost_its_connection_listens_again(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (_, queue), opened(postgres_url) as (_, other):
            await queue.wait(["g"], at_most_seconds=0.05)
            asked(
                postgres_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'",
            )
            await queue.wait(["g"], at_most_seconds=5)  # woken, for it may have missed something
            await asyncio.sleep(1.5)
            waiting = asyncio.create_task(queue.wait(["g"], at_most_seconds=20))
            await asyncio.sleep(0.2)
            await other.submit(new_run("r"), [])
            async with asyncio.timeout(5):
                await waiting

    asyncio.run(scenario())


def test_a_run_without_a_reason_to_move_is_found(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            for status in ("RUNNING", "PAUSED", "DONE"):
                await queue.submit(new_run(status, status=status), [])
            await admit(store, "embedded")
            assert await queue.stranded() == []
            asked(postgres_url, "DELETE FROM ropewalk.work")
            assert await queue.stranded() == ["RUNNING"]

    asyncio.run(scenario())
