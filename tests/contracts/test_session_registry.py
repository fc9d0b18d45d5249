"""What a session registry promises, in memory and on Redis."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.contracts.chat_places import process, run, unique, until
from tests.servers.fixtures import delete_keys
from tests.servers.valkey import RedisServer

from ropewalk.contracts.session_registry import Connection
from ropewalk.errors import InvalidSession
from ropewalk.errors.chat import BusUnavailable
from ropewalk.messaging.memory import MemorySessionRegistry
from ropewalk.messaging.redis import AsyncRedisClient, RedisConfig, RedisSessionRegistry

Body = Callable[[Any, Any], Awaitable[None]]


class Place:
    def __init__(self, kind: str, url: str = "") -> None:
        self.kind, self.url = kind, url
        self.session = unique()

    def run(self, body: Body) -> None:
        """Let two owners of the same registry do something."""

        async def go() -> None:
            if self.kind == "memory":
                shared = MemorySessionRegistry()
                await body(shared, shared)
                return
            async with AsyncRedisClient(self.url) as one, AsyncRedisClient(self.url) as two:
                await body(RedisSessionRegistry(one), RedisSessionRegistry(two))

        run(go)

    def at(self, pod: str, connection: str = "c") -> Connection:
        return Connection(self.session, pod, connection)


@pytest.fixture(params=["memory", "redis"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield Place("memory")
    else:
        yield from redis_place(request.getfixturevalue("redis_url"))


@pytest.fixture
def redis_only(redis_url: str) -> Iterator[Place]:
    yield from redis_place(redis_url)


def redis_place(url: str) -> Iterator[Place]:
    yield Place("redis", url)
    for start in ("session:connections:test-", "{session:connections:test-", "chat:owner:test-"):
        delete_keys(url, start)


def test_a_connection_is_known_until_it_is_forgotten(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        other = unique()
        assert await one.pods_of([place.session]) == [frozenset()]
        both = [place.at("pod-1", "a"), place.at("pod-1", "b"), place.at("pod-2"), Connection(other, "pod-3", "c")]
        await one.announce(both, ttl_seconds=30)
        assert await two.pods_of([place.session, unique(), other]) == [{"pod-1", "pod-2"}, frozenset(), {"pod-3"}]
        await two.forget([place.at("pod-1", "a"), place.at("pod-2"), place.at("pod-9")])
        assert await one.pods_of([place.session]) == [{"pod-1"}]
        await one.forget([place.at("pod-1", "b")])
        assert await one.pods_of([place.session]) == [frozenset()]
        await one.announce([], ttl_seconds=30)
        await one.forget([])
        assert await one.pods_of([]) == []

    place.run(go)


def test_only_who_is_announced_again_stays_known(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        await one.announce([place.at("dead")], ttl_seconds=0.2)
        for _ in range(7):
            await two.announce([place.at("alive")], ttl_seconds=0.2)
            await asyncio.sleep(0.05)
        assert await one.pods_of([place.session]) == [{"alive"}]

        async def gone() -> bool:
            return await one.pods_of([place.session]) == [frozenset()]

        await until(gone, 3)

    place.run(go)


def test_a_session_is_one_users(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        assert await one.claim(place.session, "ada", ttl_seconds=0.3)
        assert not await two.claim(place.session, "eve", ttl_seconds=30)
        for _ in range(4):
            await asyncio.sleep(0.1)
            assert await two.claim(place.session, "ada", ttl_seconds=0.3)  # renewed
        assert not await one.claim(place.session, "eve", ttl_seconds=30)

        async def free() -> bool:
            return await one.claim(place.session, "eve", ttl_seconds=30)

        await until(free, 3)
        assert not await one.claim(place.session, "ada", ttl_seconds=30)

    place.run(go)


def test_of_many_who_claim_at_once_one_has_it(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        claims = [(one, two)[n % 2].claim(place.session, f"user-{n}", ttl_seconds=30) for n in range(20)]
        assert sum(await asyncio.gather(*claims)) == 1

    place.run(go)


def test_what_cannot_be_a_name_is_refused(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        wrong = [Connection("a.b", "pod", "c"), Connection("s", "a..b", "c"), Connection("s", "*", "c")]
        for connection in [*wrong, Connection("s", "pod", "a:b"), Connection("s", "", "c"), Connection("s}", "p", "c")]:
            with pytest.raises(InvalidSession):
                await one.announce([place.at("fine"), connection], ttl_seconds=30)
            with pytest.raises(InvalidSession):
                await one.forget([connection])
        assert await one.pods_of([place.session]) == [frozenset()]
        for session in ("", "a b", "a\r\nb"):
            with pytest.raises(InvalidSession):
                await one.pods_of([session])
            with pytest.raises(InvalidSession):
                await one.claim(session, "ada", ttl_seconds=1)

    place.run(go)


# What only a server can do.


def test_strangers_read_and_write_the_plain_set(redis_only: Place) -> None:
    place = redis_only

    async def go(one: Any, two: Any) -> None:
        async with AsyncRedisClient(place.url) as stranger:
            key = f"session:connections:{place.session}"
            await one.announce([place.at("pod-1", "a")], ttl_seconds=30)
            assert await stranger.execute("SMEMBERS", key) == [b"pod-1:a"]
            await stranger.execute("SADD", key, "pod-7:conn", "host.example.com:conn", "no-colon", "bad *:conn")
            await stranger.execute("EXPIRE", key, 300)
            assert await two.pods_of([place.session]) == [{"pod-1", "pod-7", "host.example.com"}]
            ends = {
                member: float(score)
                for member, score in await stranger.client.zrange(
                    f"{{session:connections:{place.session}}}:ends", 0, -1, withscores=True
                )
            }
            assert 250_000 < ends["pod-7:conn"] - ends["pod-1:a"] < 300_000  # five minutes beside thirty seconds
            assert 250_000 < await stranger.execute("PTTL", key) <= 300_000
            await stranger.execute("SREM", key, "pod-7:conn", "host.example.com:conn")
            assert await two.pods_of([place.session]) == [{"pod-1"}]
            assert await stranger.execute("ZCARD", f"{{{key}}}:ends") == 3  # it knows no more of them
            await stranger.execute("SREM", key, "pod-1:a")
            assert await two.pods_of([place.session]) == [frozenset()]
            await one.announce([place.at("pod-1", "a")], ttl_seconds=30)  # it is lost for one announcement
            assert await two.pods_of([place.session]) == [{"pod-1"}]

    place.run(go)


def test_a_strangers_member_ends_five_minutes_after_it_was_first_seen(redis_only: Place) -> None:
    place = redis_only

    async def go(one: Any, two: Any) -> None:
        async with AsyncRedisClient(place.url) as stranger:
            key, ends = f"session:connections:{place.session}", f"{{session:connections:{place.session}}}:ends"
            await stranger.execute("SADD", key, "pod-7:conn")
            assert await one.pods_of([place.session]) == [{"pod-7"}]
            await stranger.execute("SADD", key, "pod-7:conn")  # it renews its own, which says nothing
            first = await stranger.execute("ZSCORE", ends, "pod-7:conn")
            assert await one.pods_of([place.session]) == [{"pod-7"}]
            assert await stranger.execute("ZSCORE", ends, "pod-7:conn") == first
            await stranger.execute("ZADD", ends, int(first) - 300_001, "pod-7:conn")  # five minutes pass
            await stranger.execute("PERSIST", key)
            assert await one.pods_of([place.session]) == [frozenset()]
            assert await stranger.execute("EXISTS", key, ends) == 0

    place.run(go)


def test_nothing_is_left_of_a_session_whose_pod_died(redis_only: Place) -> None:
    place = redis_only

    async def go(one: Any, two: Any) -> None:
        async with AsyncRedisClient(place.url) as client:
            keys = f"session:connections:{place.session}", f"{{session:connections:{place.session}}}:ends"
            await one.announce([place.at("pod-1"), place.at("pod-2")], ttl_seconds=0.2)
            assert await client.execute("EXISTS", *keys) == 2

            async def gone() -> bool:
                return await client.execute("EXISTS", *keys) == 0

            await until(gone, 3)  # nobody asks, and nobody announces

    place.run(go)


def test_many_connections_take_one_round_trip_and_no_script_needs_to_be_known(own_redis: RedisServer) -> None:
    async def go() -> None:
        async with AsyncRedisClient(own_redis.url) as client:
            registry = RedisSessionRegistry(client)
            many = [Connection(f"s{n}", "pod", f"c{n}") for n in range(300)]

            async def read_by_server() -> int:
                told = (await client.execute("INFO", "stats")).decode()
                return int(told.split("total_reads_processed:")[1].split()[0])

            await registry.announce(many[:2], ttl_seconds=30)  # the scripts are not known yet
            before = await read_by_server()
            await registry.announce(many, ttl_seconds=30)
            assert await read_by_server() - before <= 6  # by INFO itself, and a few 16 kB pieces of one writing
            assert await registry.pods_of([one.session_id for one in many]) == [{"pod"}] * 300
            await client.execute("SCRIPT", "FLUSH")
            await registry.forget(many)
            assert await client.execute("DBSIZE") == 0

    run(go)


def test_a_registry_that_was_lost_or_is_away_comes_back(own_redis: RedisServer) -> None:
    async def go() -> None:
        config = RedisConfig(own_redis.url, socket_timeout=0.3, socket_connect_timeout=0.3)
        async with AsyncRedisClient(config) as client:
            registry, one = RedisSessionRegistry(client), Connection("s", "pod", "c")
            await registry.announce([one], ttl_seconds=30)
            own_redis.freeze()
            with pytest.raises(BusUnavailable, match="session registry"):
                await registry.pods_of(["s"])
            own_redis.thaw()
            own_redis.restart()
            assert await registry.pods_of(["s"]) == [{"pod"}]
            own_redis.stop()
            for call in (registry.announce([one], ttl_seconds=9), registry.claim("s", "u", ttl_seconds=9)):
                with pytest.raises(BusUnavailable):
                    await call
            for path in own_redis.folder.path.glob("appendonlydir/*"):
                path.unlink()
            own_redis.start()
            assert await registry.pods_of(["s"]) == [frozenset()]
            await registry.announce([one], ttl_seconds=30)
            assert await registry.pods_of(["s"]) == [{"pod"}]

    run(go)


def test_a_killed_pod_is_known_no_longer_than_it_said(redis_only: Place) -> None:
    place = redis_only
    script = """
        import asyncio, sys
        from ropewalk.contracts.session_registry import Connection
        from ropewalk.messaging.redis import AsyncRedisClient, RedisSessionRegistry

        async def main():
            registry = RedisSessionRegistry(AsyncRedisClient(sys.argv[1]))
            while True:
                await registry.announce([Connection(sys.argv[2], "pod", "c")], ttl_seconds=0.3)
                print("announced")
                await asyncio.sleep(0.05)

        asyncio.run(main())
    """
    with process(script, place.url, place.session) as child:
        assert child.stdout
        child.stdout.readline()

        async def go(one: Any, two: Any) -> None:
            assert await one.pods_of([place.session]) == [{"pod"}]
            child.kill()

            async def gone() -> bool:
                return await one.pods_of([place.session]) == [frozenset()]

            await until(gone, 3)

        place.run(go)


def test_in_a_cluster_a_set_and_its_ends_are_in_one_place(cluster_url: str) -> None:
    async def go() -> None:
        async with AsyncRedisClient(RedisConfig(cluster_url, cluster=True)) as client:
            registry, sessions = RedisSessionRegistry(client), [f"s{n}" for n in range(40)]
            await registry.announce([Connection(s, f"pod-{s}", "c") for s in sessions], ttl_seconds=30)
            assert await registry.pods_of(sessions) == [{f"pod-{s}"} for s in sessions]
            assert await client.execute("SMEMBERS", "session:connections:s7") == [b"pod-s7:c"]
            await registry.forget([Connection(s, f"pod-{s}", "c") for s in sessions])
            assert await registry.pods_of(sessions) == [frozenset()] * 40
            assert await registry.claim("s7", "ada", ttl_seconds=30)

    run(go)
