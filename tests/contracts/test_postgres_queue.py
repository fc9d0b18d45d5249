"""The queue in PostgreSQL: leases by the database's clock, ownership by the epoch, a reason to move at every moment."""

import asyncio
import random
import threading
import time
from contextlib import asynccontextmanager

import psycopg
import pytest

from ropewalk.contracts.run_queue import QueuesRuns
from ropewalk.errors import RunExists, RunNotFound, RunTaken, StoreUnavailable
from ropewalk.stores.postgres import PostgresRunStore
from ropewalk.testing.store_checks import admit, log, new_run, write


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


def test_a_submitted_run_is_admitted_and_due_at_once(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            assert await queue.submit(new_run("r"), [b"started"]) == 1
            with pytest.raises(RunExists):
                await queue.submit(new_run("r"), [b"again"])
            assert await queue.claim("w", graphs=["another"], ttl_seconds=30) == []
            (claim,) = await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=5)
            assert claim.record == await store.look("r")
            assert (claim.record.epoch, claim.record.last, claim.taken_from) == (2, 1, None)
            assert await queue.claim("x", graphs=["g"], ttl_seconds=30) == []
            with pytest.raises(RunTaken):
                await write(store, "r", b"of who admitted it", after=1)
            await write(store, "r", b"of the worker", after=1, epoch=2)

    asyncio.run(scenario())


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


def test_a_run_without_workers_is_never_claimed_until_it_is_adopted(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            await admit(store, "r")
            await write(store, "r", b"x", after=1)
            assert await queue.claim("w", graphs=["g"], ttl_seconds=30) == []
            await queue.adopt("r")
            assert claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30)) == {"r": 2}
            with pytest.raises(RunNotFound):
                await queue.adopt("nobody")

    asyncio.run(scenario())


def test_a_lease_that_ran_out_tells_who_held_the_run(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue), opened(postgres_url) as (_, other):
            await queue.submit(new_run("r"), [])
            await queue.claim("dead", graphs=["g"], ttl_seconds=0.2)
            assert await other.claim("heir", graphs=["g"], ttl_seconds=30) == []
            await other.wait(["g"], at_most_seconds=5)
            (claim,) = await other.claim("heir", graphs=["g"], ttl_seconds=30)
            assert (claim.record.epoch, claim.taken_from) == (3, "dead")
            with pytest.raises(RunTaken):
                await write(store, "r", b"of a zombie", after=0, epoch=2)
            assert await log(store, "r") == []

    asyncio.run(scenario())


def test_a_lease_is_renewed_from_a_thread_and_what_is_lost_is_told(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            for i in range(5):
                await queue.submit(new_run(f"run{i}"), [])
            claims = claimed(await queue.claim("w", graphs=["g"], ttl_seconds=0.5, limit=5))
            assert len(claims) == 5
            kept = []

            def beat():
                renewer = queue.renewer("w")
                until = time.monotonic() + 1.5
                while time.monotonic() < until:
                    kept.append(renewer.renew(claims, ttl_seconds=0.5))
                    time.sleep(0.1)
                renewer.close()
                renewer.close()

            thread = threading.Thread(target=beat)
            thread.start()
            time.sleep(0.7)  # this loop is blocked; the leases live on
            assert await queue.claim("thief", graphs=["g"], ttl_seconds=30, limit=5) == []
            await write(store, "run0", status="PAUSED", after=0, epoch=claims["run0"])
            await store.claim("run1")
            await store.delete("run2")
            await asyncio.to_thread(thread.join)
            assert kept[0] == {*claims}
            assert kept[-1] == {"run3", "run4"}

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


def test_who_answers_a_run_that_a_worker_holds_hands_it_on_at_once(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            await queue.submit(new_run("r"), [])
            await queue.claim("w", graphs=["g"], ttl_seconds=30)
            answering = await store.claim("r")
            await write(store, "r", b"answered", after=0, epoch=answering.epoch)
            (claim,) = await queue.claim("x", graphs=["g"], ttl_seconds=30)
            assert (claim.record.epoch, claim.taken_from) == (4, None)

    asyncio.run(scenario())


def test_what_a_worker_releases_is_taken_at_once_or_when_it_is_due(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (_, queue), opened(postgres_url) as (_, other):
            for i in range(3):
                await queue.submit(new_run(f"run{i}"), [])
            claims = claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=3))
            waiting = asyncio.create_task(other.wait(["g"], at_most_seconds=20))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            began = time.monotonic()
            await queue.release("w", {"run0": claims["run0"], "run1": 99, "nobody": 1})
            await waiting
            assert time.monotonic() - began < 5
            (claim,) = await other.claim("x", graphs=["g"], ttl_seconds=30, limit=3)
            assert (claim.record.run_id, claim.taken_from) == ("run0", None)
            await queue.release("w", {"run1": claims["run1"]}, wake_in_seconds=0.3)
            assert await other.claim("x", graphs=["g"], ttl_seconds=30) == []
            await other.wait(["g"], at_most_seconds=20)
            assert claimed(await other.claim("x", graphs=["g"], ttl_seconds=30)) == {"run1": 3}
            await queue.release("thief", claims)
            assert await other.claim("x", graphs=["g"], ttl_seconds=30) == []

    asyncio.run(scenario())


def test_one_run_is_held_by_who_asks_for_it_and_prolonged_by_asking_again(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            for run_id in ("r", "s"):
                await queue.submit(new_run(run_id, session=run_id, turn=1), [b"started"])
            held = await queue.hold("r", "a stranger", ttl_seconds=0.4)
            assert held.record == await store.look("r")
            assert (held.record.epoch, held.record.turn, held.taken_from) == (2, 1, None)
            assert await queue.hold("r", "w", ttl_seconds=30) is None
            assert claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=5)) == {"s": 2}
            assert await queue.hold("s", "a stranger", ttl_seconds=30) is None
            for _ in range(4):
                await asyncio.sleep(0.2)
                again = await queue.hold("r", "a stranger", ttl_seconds=0.4)
                assert (again.record.epoch, again.taken_from) == (2, None)
            assert await queue.claim("w", graphs=["g"], ttl_seconds=30) == []
            renewer = queue.renewer("a stranger")
            assert await asyncio.to_thread(renewer.renew, {"r": 2}, ttl_seconds=0.4) == {"r"}
            renewer.close()
            await write(store, "r", b"theirs", after=1, epoch=2)
            await queue.release("a stranger", {"r": 2})
            assert claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30)) == {"r": 3}

    asyncio.run(scenario())


def test_who_holds_a_run_whose_worker_died_is_told_and_who_comes_back_late_still_has_it(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (_, queue):
            await queue.submit(new_run("r"), [])
            await queue.claim("dead", graphs=["g"], ttl_seconds=0.1)
            await asyncio.sleep(0.2)
            held = await queue.hold("r", "heir", ttl_seconds=0.1)
            assert (held.record.epoch, held.taken_from) == (3, "dead")
            await asyncio.sleep(0.2)
            late = await queue.hold("r", "heir", ttl_seconds=30)
            assert (late.record.epoch, late.taken_from) == (3, None)
            assert await queue.claim("w", graphs=["g"], ttl_seconds=30) == []

    asyncio.run(scenario())


def test_what_is_not_due_is_not_held(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            await admit(store, "embedded")
            await queue.submit(new_run("paused", status="PAUSED"), [])
            await queue.submit(new_run("later"), [])
            claims = claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30))
            await queue.release("w", claims, wake_in_seconds=30)
            for run_id in ("embedded", "paused", "later", "nobody"):
                assert await queue.hold(run_id, "a stranger", ttl_seconds=30) is None
                assert run_id == "nobody" or (await store.look(run_id)).epoch == (2 if run_id == "later" else 1)

    asyncio.run(scenario())


def test_of_many_who_would_hold_a_run_one_does(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (_, queue), opened(postgres_url) as (_, other):
            for i in range(10):
                await queue.submit(new_run(f"run{i}"), [])
                asking = [(queue, other)[nth % 2].hold(f"run{i}", f"stranger{nth}", ttl_seconds=30) for nth in range(8)]
                claiming = other.claim("w", graphs=["g"], ttl_seconds=30)
                *held, by_worker = await asyncio.gather(*asking, claiming)
                assert len([one for one in held if one is not None]) + len(by_worker) == 1

    asyncio.run(scenario())


def test_a_run_that_was_set_for_later_is_woken_and_one_that_is_held_is_not(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (_, queue), opened(postgres_url) as (_, other):
            await queue.submit(new_run("r"), [])
            claims = claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30))
            await queue.wake("r")
            await queue.wake("nobody")
            assert await queue.claim("x", graphs=["g"], ttl_seconds=30) == []
            await queue.release("w", claims, wake_in_seconds=60)
            waiting = asyncio.create_task(other.wait(["g"], at_most_seconds=20))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await queue.wake("r")
            await asyncio.wait_for(waiting, 5)
            assert claimed(await other.claim("x", graphs=["g"], ttl_seconds=30)) == {"r": 3}

    asyncio.run(scenario())


def test_waiting_is_ended_by_a_submission_by_time_and_by_the_end_of_the_store(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue), opened(postgres_url) as (_, other):
            await queue.wait(["g"], at_most_seconds=0.05)
            waiting = [asyncio.create_task(queue.wait([graph], at_most_seconds=20)) for graph in ("g", "h")]
            await asyncio.sleep(0.3)
            await other.submit(new_run("r", graph="h"), [])
            await waiting[1]
            assert not waiting[0].done()
            await store.close()
            await waiting[0]

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


def test_graphs_take_turns_and_the_longest_waiting_goes_first(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (_, queue):
            for i in range(20):
                await queue.submit(new_run(f"many{i:02}", graph="many"), [])
            for i in range(3):
                await queue.submit(new_run(f"few{i}", graph="few"), [])
            first = claimed(await queue.claim("w", graphs=["many", "few"], ttl_seconds=30, limit=6))
            assert {*first} == {"many00", "many01", "many02", "few0", "few1", "few2"}
            rest = claimed(await queue.claim("w", graphs=["many", "few"], ttl_seconds=30, limit=5))
            assert {*rest} == {f"many{i:02}" for i in range(3, 8)}

    asyncio.run(scenario())


def test_what_a_worker_does_without_stays_due_for_others_and_is_its_again_when_its_log_has_grown(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (store, queue):
            for i in range(4):
                await queue.submit(new_run(f"run{i}"), [b"started"])
            without = {"run0": 1, "run1": 1, "run3": 7}
            taken = claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=9, without=without))
            assert taken == {"run2": 2, "run3": 2}
            assert await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=9, without=without) == []
            assert claimed(await queue.claim("x", graphs=["g"], ttl_seconds=30)) == {"run0": 2}
            await write(store, "run0", b"more", after=1, epoch=2)
            await queue.release("x", {"run0": 2})
            taken = claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=9, without=without))
            assert taken == {"run0": 3}

    asyncio.run(scenario())


def test_who_waits_is_not_woken_by_the_time_for_what_it_does_without(postgres_url):
    async def scenario():
        async with opened(postgres_url) as (_, queue):
            await queue.submit(new_run("r"), [b"started"])
            await asyncio.wait_for(queue.wait(["g"], at_most_seconds=20), 5)
            waiting = asyncio.create_task(queue.wait(["g"], at_most_seconds=20, without={"r": 1}))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            await asyncio.wait_for(queue.wait(["g"], at_most_seconds=20, without={"r": 0}), 5)
            await queue.submit(new_run("s"), [])
            await asyncio.wait_for(waiting, 5)

    asyncio.run(scenario())


@pytest.mark.slow
def test_workers_who_claim_at_the_same_time_share_and_every_run_ends_once(postgres_url):
    async def work(url, name, ended, dice):
        async with opened(url) as (store, queue):
            while True:
                claims = await queue.claim(name, graphs=["g"], ttl_seconds=0.4, limit=dice.randint(1, 8))
                if not claims and len(ended) == 60:
                    return
                if not claims:
                    await queue.wait(["g"], at_most_seconds=0.2)
                for claim in claims:
                    if dice.random() < 0.2:
                        continue  # it dies with this one
                    if dice.random() < 0.1:
                        await queue.release(name, {claim.record.run_id: claim.record.epoch})
                        continue
                    run_id, last = claim.record.run_id, claim.record.last
                    try:
                        while last < 5:
                            await write(store, run_id, b"%d" % last, after=last, epoch=claim.record.epoch)
                            last += 1
                        await write(store, run_id, after=5, epoch=claim.record.epoch, status="DONE")
                        ended.append(run_id)
                    except RunTaken:
                        pass

    async def scenario():
        async with opened(postgres_url) as (store, queue):
            for i in range(60):
                await queue.submit(new_run(f"run{i}"), [])
            ended = []
            dice = random.Random(7)
            async with asyncio.timeout(40):
                await asyncio.gather(*[work(postgres_url, f"w{i}", ended, dice) for i in range(4)])
            assert sorted(ended) == sorted({*ended})
            for i in range(60):
                assert await log(store, f"run{i}") == [b"%d" % n for n in range(5)]
            assert await queue.stranded() == []

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
