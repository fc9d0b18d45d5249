"""What live events promise, in memory and on NATS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.chat_places import process, run, unique, until
from tests.servers.jetstream import NatsServer

from ropewalk.errors import InvalidId
from ropewalk.messaging.memory import MemoryLiveEvents
from ropewalk.messaging.nats import NatsConnection, NatsLiveEvents
from ropewalk.messaging.nats.frames import framed, unframed


class Place:
    def __init__(self, kind: str, url: str = "") -> None:
        self.kind, self.url = kind, url
        self.run_id = f"{unique('run')}.with:odd@name"

    def run(self, body: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        """Let a driver, a reader and another driver do something."""

        async def go() -> None:
            if self.kind == "memory":
                shared = MemoryLiveEvents()
                await body(shared, shared, shared)
                return
            connections = [NatsConnection(self.url, name="test") for _ in range(3)]
            for connection in connections:
                assert await connection.within(5)
            parts = [NatsLiveEvents(connection) for connection in connections]
            try:
                await body(*parts)
            finally:
                for part, connection in zip(parts, connections, strict=True):
                    await part.close()
                    await connection.close()

        run(go)


@pytest.fixture(params=["memory", "nats"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param, request.getfixturevalue("nats_url") if request.param == "nats" else "")


async def settled(part: Any) -> None:
    if isinstance(part, NatsLiveEvents):
        await part._connection.flush(5)  # type: ignore[reportPrivateUsage]


async def first(batches: AsyncIterator[list[bytes]], count: int) -> list[bytes]:
    """Return so many events."""
    found: list[bytes] = []
    async for bodies in batches:
        found += bodies
        if len(found) >= count:
            return found
    raise AssertionError("it ended")


def test_who_follows_gets_what_is_said_in_its_order(place: Place) -> None:
    async def go(driver: Any, server: Any, other: Any) -> None:
        async with server.follow(place.run_id, (0, 0)) as batches:
            await settled(server)
            said = [[b"%d-%d" % (batch, n) for n in range(batch % 5 + 1)] for batch in range(200)]
            for bodies in said:
                driver.say(place.run_id, bodies)
                other.say(f"{place.run_id}2", [b"not mine"])
            driver.say(place.run_id, [])
            expected = [body for bodies in said for body in bodies]
            assert await first(batches, len(expected)) == expected
        driver.say(place.run_id, [b"nobody hears it"])
        assert driver.dropped == 0

    place.run(go)


def test_who_comes_in_the_middle_first_gets_what_the_driver_keeps(place: Place) -> None:
    async def go(driver: Any, server: Any, other: Any) -> None:
        asked: list[tuple[str, tuple[int, int]]] = []

        def keeps(run_id: str, after: tuple[int, int]) -> list[bytes]:
            asked.append((run_id, after))
            return [b"kept-1", b"", b"kept-2"] if run_id == place.run_id else []

        await other.answer(lambda run_id, after: [])
        await driver.answer(keeps)
        await settled(driver)
        await settled(other)
        driver.say(place.run_id, [b"before"])
        await settled(driver)
        async with server.follow(place.run_id, (3, 17)) as batches:
            await settled(server)
            driver.say(place.run_id, [b"then"])
            assert await first(batches, 4) == [b"kept-1", b"", b"kept-2", b"then"]
        assert asked == [(place.run_id, (3, 17))]

    place.run(go)


def test_what_is_said_while_it_asks_comes_after_the_answer(place: Place) -> None:
    async def go(driver: Any, server: Any, other: Any) -> None:
        def keeps(run_id: str, after: tuple[int, int]) -> list[bytes]:
            driver.say(run_id, [b"said meanwhile"])
            return [b"kept"]

        await driver.answer(keeps)
        await settled(driver)
        async with server.follow(place.run_id, (0, 0)) as batches:
            assert await first(batches, 2) == [b"kept", b"said meanwhile"]

    place.run(go)


def test_who_says_something_first_is_told_where_nobody_follows(place: Place) -> None:
    async def go(driver: Any, server: Any, other: Any) -> None:
        nobody: list[str] = []
        await driver.heed(on_nobody=nobody.append, on_doubt=lambda: None)
        await settled(driver)
        driver.say_first(place.run_id, [b"to nobody"])
        await until(lambda: nobody == [place.run_id])
        async with server.follow(place.run_id, (0, 0)) as batches:
            await settled(server)
            driver.say_first(place.run_id, [b"to one"])
            driver.say_first(f"{place.run_id}2", [b"to nobody"])
            assert await first(batches, 1) == [b"to one"]
            await until(lambda: nobody == [place.run_id, f"{place.run_id}2"])

    place.run(go)


def test_who_heeds_is_told_when_the_connection_is_back(own_nats: NatsServer) -> None:
    async def go() -> None:
        doubts: list[int] = []
        connection = NatsConnection(own_nats.url, name="test")
        assert await connection.within(5)
        driver = NatsLiveEvents(connection)
        await driver.heed(on_nobody=lambda run_id: None, on_doubt=lambda: doubts.append(1))
        own_nats.stop()
        await until(lambda: not connection.now())
        assert not doubts
        own_nats.start()
        await until(lambda: doubts == [1])
        await driver.close()
        await connection.close()

    run(go)


def test_many_may_follow_one_run(place: Place) -> None:
    async def go(driver: Any, server: Any, other: Any) -> None:
        async with server.follow(place.run_id, (0, 0)) as one, other.follow(place.run_id, (0, 0)) as two:
            await settled(server)
            await settled(other)
            driver.say(place.run_id, [b"a"])
            assert await asyncio.gather(first(one, 1), first(two, 1)) == [[b"a"], [b"a"]]

    place.run(go)


def test_much_that_is_kept_arrives_whole(place: Place) -> None:
    async def go(driver: Any, server: Any, other: Any) -> None:
        kept = [b"%d" % n + b"x" * 3000 for n in range(700)]  # two megabytes: more than a message may hold
        await driver.answer(lambda run_id, after: kept)
        await settled(driver)
        async with server.follow(place.run_id, (0, 0)) as batches:
            assert await first(batches, len(kept)) == kept
            driver.say(place.run_id, kept[:300])
            assert await first(batches, 300) == kept[:300]

    place.run(go)


def test_a_driver_that_closed_answers_no_more(place: Place) -> None:
    async def go(driver: Any, server: Any, other: Any) -> None:
        await driver.answer(lambda run_id, after: [b"kept"])
        await driver.close()
        await settled(driver)
        async with server.follow(place.run_id, (0, 0)) as batches:
            await settled(server)
            other.say(place.run_id, [b"said"])
            assert await first(batches, 1) == [b"said"]

    place.run(go)


# What only a server can do.


def test_what_cannot_be_a_run_is_refused(nats_url: str) -> None:
    async def go(driver: Any, server: Any, other: Any) -> None:
        for run_id in ("", "a b", ".a", "a/b", "*"):
            with pytest.raises(InvalidId):
                driver.say(run_id, [b"x"])
            with pytest.raises(InvalidId):
                async with server.follow(run_id, (0, 0)):
                    pass

    Place("nats", nats_url).run(go)


def test_what_strangers_say_on_these_subjects_breaks_nothing(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    place = Place("nats", nats_url)

    async def go(driver: Any, server: Any, other: Any) -> None:
        asked: list[str] = []

        def keeps(run_id: str, after: tuple[int, int]) -> list[bytes]:
            asked.append(run_id)
            return []

        await driver.answer(keeps)
        await settled(driver)
        client = driver._connection.now()
        async with server.follow(place.run_id, (0, 0)) as batches:
            await settled(server)
            subject = next(one.subject for one in server._connection._listenings if one.subject.endswith(".live"))
            for body in (b"", b"junk", b"+\x00\x00\xff\xffcut", b".\x00\x00"):
                client.publish_now(subject, body)
                client.publish_now("ropewalk.run.!!!.since", body)
                client.publish_now("ropewalk.run.gIGC.since", b"1 2")
            driver.say(place.run_id, [b"fine"])
            assert await first(batches, 1) == [b"fine"]
        assert set(asked) <= {place.run_id}

    place.run(go)


def test_while_the_server_is_away_events_are_dropped_and_then_it_is_asked_again(own_nats: NatsServer) -> None:
    async def go() -> None:
        connections = [NatsConnection(own_nats.url, name="test") for _ in range(2)]
        driver, server = (NatsLiveEvents(connection) for connection in connections)
        kept = [b"1"]
        await driver.answer(lambda run_id, after: list(kept))
        for connection in connections:
            assert await connection.within(5)
        await settled(driver)
        async with server.follow("r", (0, 0)) as batches:
            assert await first(batches, 1) == [b"1"]
            own_nats.kill()
            await until(lambda: not any(connection.now() for connection in connections))
            kept.append(b"2")
            driver.say("r", [b"2"])
            assert driver.dropped == 1
            own_nats.start()
            for connection in connections:
                assert await connection.within(5)
            await settled(driver)
            assert b"2" in await first(batches, 2)
        for part, connection in zip((driver, server), connections, strict=True):
            await part.close()
            await connection.close()

    run(go)


def test_a_killed_driver_keeps_no_reader_waiting(nats_url: str) -> None:
    script = """
        import asyncio, sys
        from ropewalk.messaging.nats import NatsConnection, NatsLiveEvents

        async def main():
            connection = NatsConnection(sys.argv[1], name="driver")
            await connection.within(5)
            events = NatsLiveEvents(connection)
            await events.answer(lambda run_id, after: [b"kept"])
            await connection.flush(5)
            print("ready")
            await asyncio.sleep(60)

        asyncio.run(main())
    """
    place = Place("nats", nats_url)

    async def go(driver: Any, server: Any, other: Any) -> None:
        with process(script, nats_url) as child:
            assert child.stdout
            await asyncio.to_thread(child.stdout.readline)
            async with server.follow(place.run_id, (0, 0)) as batches:
                assert await first(batches, 1) == [b"kept"]
                child.kill()
                child.wait()
                driver.say(place.run_id, [b"the next driver's"])
                assert await first(batches, 1) == [b"the next driver's"]
            async with server.follow(place.run_id, (0, 0)) as batches:
                await settled(server)
                driver.say(place.run_id, [b"again"])
                assert await first(batches, 1) == [b"again"]

    place.run(go)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 100))
def test_framed_events_come_out_as_they_went_in(bodies: list[bytes], most_bytes: int) -> None:
    messages = list(framed(bodies, most_bytes=most_bytes))
    found = [unframed(message) for message, _ in messages]
    assert [body for part, _ in found for body in part] == bodies
    assert [is_last for _, is_last in found] == [False] * (len(found) - 1) + [True]
    assert sum(count for _, count in messages) == len(bodies)
    assert all(len(message) <= most_bytes or count <= 1 for message, count in messages)
