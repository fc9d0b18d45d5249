"""The heartbeat by itself: what is safe is known without the renewer, however that fares."""

import asyncio
import threading

from ropewalk.errors import StoreUnavailable
from ropewalk.workers.heartbeat import Heartbeat


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Renewer:
    """Does at each beat what the test says; stands for one that has a server behind it."""

    def __init__(self, act):
        self.act = act
        self.asked = []
        self.closed = threading.Event()

    def renew(self, claims, *, ttl_seconds):
        self.asked.append((claims, ttl_seconds))
        return self.act(claims)

    def close(self):
        self.closed.set()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def beating(act, *, lease_seconds=0.06):
    clock, renewer, lost = Clock(), Renewer(act), []
    heartbeat = Heartbeat(lambda: renewer, lease_seconds=lease_seconds, on_lost=lost.extend, clock=clock)
    return heartbeat, clock, renewer, lost


def test_a_lease_counts_from_when_it_was_asked_for_and_is_given_up_before_it_ends():
    heartbeat, clock, _, _ = beating(set, lease_seconds=20)
    lease = heartbeat.hold("r", 3, asked_at=heartbeat.now())
    clock.now += 14.9
    assert heartbeat.unsafe() == []
    clock.now += 0.2
    assert heartbeat.unsafe() == [lease]
    heartbeat.drop(lease)
    heartbeat.drop(lease)
    assert heartbeat.unsafe() == []


def test_a_beat_prolongs_all_leases_and_what_is_gone_is_told_on_the_loop():
    async def scenario():
        heartbeat, clock, renewer, lost = beating(lambda claims: {run for run in claims if run != "gone"})
        kept = heartbeat.hold("kept", 1, asked_at=heartbeat.now())
        gone = heartbeat.hold("gone", 2, asked_at=heartbeat.now())
        clock.now += 1
        heartbeat.start()
        await until(lambda: gone in lost)
        assert renewer.asked[0] == ({"kept": 1, "gone": 2}, 0.06)
        assert heartbeat.unsafe() == [gone]
        assert kept not in lost
        heartbeat.stop()
        assert await asyncio.to_thread(renewer.closed.wait, 5)

    asyncio.run(scenario())


def test_a_renewer_that_hangs_leaves_the_clock_to_tell():
    async def scenario():
        answer = threading.Event()
        heartbeat, clock, renewer, lost = beating(lambda claims: answer.wait(5) and {*claims})
        lease = heartbeat.hold("r", 1, asked_at=heartbeat.now())
        heartbeat.start()
        await until(lambda: renewer.asked)
        clock.now += 1
        assert heartbeat.unsafe() == [lease]
        heartbeat.stop()  # does not wait for it
        answer.set()  # what comes so late prolongs from when it was asked for
        assert await asyncio.to_thread(renewer.closed.wait, 5)
        assert heartbeat.unsafe() == [lease]
        assert lost == []

    asyncio.run(scenario())


def test_a_beat_that_fails_is_followed_by_another(caplog):
    async def scenario():
        troubles = [StoreUnavailable("away"), StoreUnavailable("away"), RuntimeError("what is this?")]

        def act(claims):
            if troubles:
                raise troubles.pop(0)
            return {*claims}

        heartbeat, clock, renewer, lost = beating(act)
        heartbeat.hold("r", 1, asked_at=heartbeat.now())
        clock.now += 1
        heartbeat.start()
        await until(lambda: not heartbeat.unsafe())
        assert len(renewer.asked) >= 4
        assert lost == []
        heartbeat.stop()

    asyncio.run(scenario())
    assert caplog.text.count("tried again: away") == 1
    assert "what is this?" in caplog.text
