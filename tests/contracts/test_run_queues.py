"""Every queue keeps every promise of the contract: PostgreSQL's, and that in one process over memory or SQLite."""

import asyncio
import random
import threading
import time
from contextlib import asynccontextmanager

import pytest

from ropewalk.contracts.run_queue import QueuesRuns, TellsOfRuns, WakesNext
from ropewalk.errors import RunExists, RunNotFound, RunTaken
from ropewalk.runtime import open_queued_store
from ropewalk.testing.store_checks import admit, log, new_run, write


class Medium:
    """Where the stores of one test are; whoever opens one in this process shares the object that has the queue."""

    def __init__(self, url):
        self.url = url
        self.is_shared = not url.startswith("postgres")
        self.store = None
        self.users = 0


@pytest.fixture(params=["postgres", "memory", "sqlite"])
def medium(request, tmp_path):
    if request.param == "postgres":
        return Medium(request.getfixturevalue("postgres_url"))
    return Medium("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/runs.db")


@asynccontextmanager
async def opened(medium):
    store = medium.store if medium.users else open_queued_store(medium.url)
    assert isinstance(store, QueuesRuns)
    assert isinstance(store.queue(), TellsOfRuns)
    if medium.is_shared:
        medium.store = store
        medium.users += 1
    try:
        yield store, store.queue()
    finally:
        medium.users -= medium.is_shared
        if not medium.users:
            await store.close()


def claimed(claims):
    return {claim.record.run_id: claim.record.epoch for claim in claims}


def test_a_submitted_run_is_admitted_and_due_at_once(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
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


def test_a_run_without_workers_is_never_claimed_until_it_is_adopted(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
            await admit(store, "r")
            await write(store, "r", b"x", after=1)
            assert await queue.claim("w", graphs=["g"], ttl_seconds=30) == []
            await queue.adopt("r")
            assert claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30)) == {"r": 2}
            with pytest.raises(RunNotFound):
                await queue.adopt("nobody")

    asyncio.run(scenario())


def test_a_lease_that_ran_out_tells_who_held_the_run(medium):
    async def scenario():
        async with opened(medium) as (store, queue), opened(medium) as (_, other):
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


def test_a_lease_is_renewed_from_a_thread_and_what_is_lost_is_told(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
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


def test_who_answers_a_run_that_a_worker_holds_hands_it_on_at_once(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
            await queue.submit(new_run("r"), [])
            await queue.claim("w", graphs=["g"], ttl_seconds=30)
            answering = await store.claim("r")
            await write(store, "r", b"answered", after=0, epoch=answering.epoch)
            (claim,) = await queue.claim("x", graphs=["g"], ttl_seconds=30)
            assert (claim.record.epoch, claim.taken_from) == (4, None)

    asyncio.run(scenario())


def test_what_a_worker_releases_is_taken_at_once_or_when_it_is_due(medium):
    async def scenario():
        async with opened(medium) as (_, queue), opened(medium) as (_, other):
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


def test_one_run_is_held_by_who_asks_for_it_and_prolonged_by_asking_again(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
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


def test_who_holds_a_run_whose_worker_died_is_told_and_who_comes_back_late_still_has_it(medium):
    async def scenario():
        async with opened(medium) as (_, queue):
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


def test_what_is_not_due_is_not_held(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
            await admit(store, "embedded")
            await queue.submit(new_run("paused", status="PAUSED"), [])
            await queue.submit(new_run("later"), [])
            claims = claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30))
            await queue.release("w", claims, wake_in_seconds=30)
            for run_id in ("embedded", "paused", "later", "nobody"):
                assert await queue.hold(run_id, "a stranger", ttl_seconds=30) is None
                assert run_id == "nobody" or (await store.look(run_id)).epoch == (2 if run_id == "later" else 1)

    asyncio.run(scenario())


def test_of_many_who_would_hold_a_run_one_does(medium):
    async def scenario():
        async with opened(medium) as (_, queue), opened(medium) as (_, other):
            for i in range(10):
                await queue.submit(new_run(f"run{i}"), [])
                asking = [(queue, other)[nth % 2].hold(f"run{i}", f"stranger{nth}", ttl_seconds=30) for nth in range(8)]
                claiming = other.claim("w", graphs=["g"], ttl_seconds=30)
                *held, by_worker = await asyncio.gather(*asking, claiming)
                assert len([one for one in held if one is not None]) + len(by_worker) == 1

    asyncio.run(scenario())


def test_a_run_that_was_set_for_later_is_woken_and_one_that_is_held_is_not(medium):
    async def scenario():
        async with opened(medium) as (_, queue), opened(medium) as (_, other):
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


def test_a_claim_may_bring_the_log_along_and_never_a_part_of_it(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
            logs = {"short": [b"1", b"2"], "long": [b"%d" % n for n in range(30)], "large": [b"x" * 100_000]}
            for run_id, bodies in logs.items():
                await queue.submit(new_run(run_id), bodies)
            await queue.submit(new_run("fork", parent="short", fork_at=1), [b"f"])
            claims = await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=9)
            assert {claim.record.run_id for claim in claims} == {*logs, "fork"}
            for claim in claims:
                assert claim.entries is None or [*claim.entries] == await store.read(claim.record.run_id)
            if not medium.is_shared:
                assert [claim.record.run_id for claim in claims if claim.entries is not None] == ["short"]

    asyncio.run(scenario())


def test_a_claim_says_that_a_run_is_in_turn_only_when_it_is(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
            for turn in (1, 2):
                await queue.submit(new_run(f"s{turn}", session="s", owner="me", turn=turn), [b"1"])
            await queue.submit(new_run("hers", session="s", owner="her", turn=2), [b"1"])
            await queue.submit(new_run("nobodys", session="s", turn=2), [b"1"])
            claims = {
                claim.record.run_id: claim for claim in await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=9)
            }
            assert not claims["s2"].in_turn
            await queue.release("w", {"s2": 2})
            await write(store, "s1", b"2", after=1, epoch=2, status="DONE")
            (again,) = await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=9)
            told = [claim.in_turn for claim in (claims["s1"], again, claims["hers"], claims["nobodys"])]
            assert told == [not medium.is_shared] * 4

    asyncio.run(scenario())


@pytest.mark.parametrize("medium", ["postgres"], indirect=True)  # the others are asked one by one
def test_those_whose_turn_has_come_are_woken_together(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
            assert isinstance(queue, WakesNext)
            for session in ("s", "t"):
                for turn in (1, 2, 3):
                    await queue.submit(new_run(f"{session}{turn}", session=session, owner="me", turn=turn), [b"1"])
            await queue.submit(new_run("hers", session="s", owner="her", turn=2), [b"1"])
            claims = claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=9))
            firsts = {run_id: claims.pop(run_id) for run_id in ("s1", "t1")}
            await queue.release("w", claims, wake_in_seconds=60)
            await queue.wake_next([*firsts, "nobody"])  # they have not stopped
            assert await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=9) == []
            for run_id in firsts:
                await write(store, run_id, b"2", after=1, epoch=2, status="DONE")
            waiting = asyncio.create_task(queue.wait(["g"], at_most_seconds=20))
            await asyncio.sleep(0.1)
            await queue.wake_next([*firsts, "nobody"])
            await asyncio.wait_for(waiting, 5)
            assert {*claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30, limit=9))} == {"s2", "t2"}

    asyncio.run(scenario())


def test_waiting_is_ended_by_a_submission_by_time_and_by_the_end_of_the_store(medium):
    async def scenario():
        async with opened(medium) as (store, queue), opened(medium) as (_, other):
            await queue.wait(["g"], at_most_seconds=0.05)
            waiting = [asyncio.create_task(queue.wait([graph], at_most_seconds=20)) for graph in ("g", "h")]
            await asyncio.sleep(0.3)
            await other.submit(new_run("r", graph="h"), [])
            await waiting[1]
            assert not waiting[0].done()
            await store.close()
            await waiting[0]

    asyncio.run(scenario())


def test_graphs_take_turns_and_the_longest_waiting_goes_first(medium):
    async def scenario():
        async with opened(medium) as (_, queue):
            for i in range(20):
                await queue.submit(new_run(f"many{i:02}", graph="many"), [])
            for i in range(3):
                await queue.submit(new_run(f"few{i}", graph="few"), [])
            first = claimed(await queue.claim("w", graphs=["many", "few"], ttl_seconds=30, limit=6))
            assert {*first} == {"many00", "many01", "many02", "few0", "few1", "few2"}
            rest = claimed(await queue.claim("w", graphs=["many", "few"], ttl_seconds=30, limit=5))
            assert {*rest} == {f"many{i:02}" for i in range(3, 8)}

    asyncio.run(scenario())


def test_what_a_worker_does_without_stays_due_for_others_and_is_its_again_when_its_log_has_grown(medium):
    async def scenario():
        async with opened(medium) as (store, queue):
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


def test_who_waits_is_not_woken_by_the_time_for_what_it_does_without(medium):
    async def scenario():
        async with opened(medium) as (_, queue):
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
def test_workers_who_claim_at_the_same_time_share_and_every_run_ends_once(medium):
    async def work(medium, name, ended, dice):
        async with opened(medium) as (store, queue):
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
        async with opened(medium) as (store, queue):
            for i in range(60):
                await queue.submit(new_run(f"run{i}"), [])
            ended = []
            dice = random.Random(7)
            async with asyncio.timeout(40):
                await asyncio.gather(*[work(medium, f"w{i}", ended, dice) for i in range(4)])
            assert sorted(ended) == sorted({*ended})
            for i in range(60):
                assert await log(store, f"run{i}") == [b"%d" % n for n in range(5)]
            assert await queue.stranded() == []

    asyncio.run(scenario())
