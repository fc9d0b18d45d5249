"""The servers that tests meet: each answers, keeps what it was told, and can be put through what befalls servers."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import nats
import psycopg
import pytest
import redis
from redis.exceptions import TimeoutError as RedisTimeout
from tests.servers import keeper
from tests.servers.databases import Databases
from tests.servers.fixtures import delete_keys, delete_streams, served
from tests.servers.jetstream import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.server import Server, ServerFailed
from tests.servers.valkey import RedisServer

KINDS = [PostgresServer, RedisServer, NatsServer]


def tell_postgres(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE told (word text)")
        connection.execute("INSERT INTO told VALUES ('rope')")


def ask_postgres(url: str) -> list[Any]:
    with psycopg.connect(url, connect_timeout=2) as connection:
        return [word for (word,) in connection.execute("SELECT word FROM told")]


def tell_redis(url: str) -> None:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.rpush("told", "rope")


def ask_redis(url: str) -> list[Any]:
    with redis.Redis.from_url(url, decode_responses=True, socket_timeout=1) as client:
        return client.lrange("told", 0, -1)


async def stream(url: str, act: Callable[[Any], Any]) -> Any:
    client = nats.NATS()
    try:
        await client.connect(url, connect_timeout=1, allow_reconnect=False)
        return await act(client.jetstream())
    finally:
        await client.close()  # a client that could not connect leaves its socket open otherwise


def tell_nats(url: str) -> None:
    async def act(stream: Any) -> None:
        await stream.add_stream(name="told", subjects=["told.>"])
        await stream.publish("told.now", b"rope")

    asyncio.run(stream(url, act))


def ask_nats(url: str) -> list[Any]:
    async def act(stream: Any) -> list[str]:
        return [(await stream.get_msg("told", seq=1)).data.decode()]

    return asyncio.run(stream(url, act))


TELL = {PostgresServer: tell_postgres, RedisServer: tell_redis, NatsServer: tell_nats}
ASK = {PostgresServer: ask_postgres, RedisServer: ask_redis, NatsServer: ask_nats}


@pytest.mark.parametrize("again", [1, 2])
def test_a_test_has_a_database_to_itself(postgres_url: str, again: int) -> None:
    tell_postgres(postgres_url)  # the table is not there yet, the second time either
    assert ask_postgres(postgres_url) == ["rope"]


def test_a_database_is_a_clone_of_its_template(postgres_databases: Databases) -> None:
    template = postgres_databases.create()
    tell_postgres(template)
    clone = postgres_databases.create(template)
    assert ask_postgres(clone) == ["rope"]
    for url in (clone, template):
        postgres_databases.drop(url)


def test_a_database_is_dropped_whoever_is_connected(postgres_databases: Databases) -> None:
    url = postgres_databases.create()
    with contextlib.closing(psycopg.connect(url)):
        postgres_databases.drop(url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_redis_answers_and_forgets_the_keys_of_a_test(redis_url: str, redis_prefix: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{redis_prefix}mine", 1)
        client.set(f"other-{redis_prefix}", 1, ex=60)
        delete_keys(redis_url, redis_prefix)
        assert not client.exists(f"{redis_prefix}mine")
        assert client.exists(f"other-{redis_prefix}")


def test_nats_answers_and_forgets_the_streams_of_a_test(nats_url: str, nats_prefix: str) -> None:
    async def act(stream: Any) -> list[str]:
        for name in (nats_prefix, f"{nats_prefix}_more"):
            await stream.add_stream(name=name, subjects=[f"{name}.>"])
        bucket = await stream.create_key_value(bucket=f"{nats_prefix}_bucket")
        await bucket.put("key", b"rope")
        assert (await stream.publish(f"{nats_prefix}.now", b"rope")).seq == 1
        await delete_streams(nats_url, nats_prefix)
        return [info.config.name for info in await stream.streams_info()]

    left = asyncio.run(stream(nats_url, act))
    assert not [name for name in left if nats_prefix in name]


@pytest.mark.parametrize("befalls", ["restart", "kill"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_comes_back_on_its_port_with_what_it_was_told(kind: type[Server], befalls: str) -> None:
    with kind() as server:
        before = server.url, server.pid
        TELL[kind](server.url)
        getattr(server, befalls)()
        server.start()
        assert server.url == before[0]
        assert server.pid != before[1]
        assert ASK[kind](server.url) == ["rope"]


def test_a_server_that_died_unasked_can_be_started_again(own_nats: NatsServer) -> None:
    tell_nats(own_nats.url)
    keeper.kill([own_nats.pid])
    while own_nats.running:
        time.sleep(0.01)
    assert ask_nats(own_nats.start().url) == ["rope"]


@pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
def test_postgres_can_be_stopped_in_every_mode(own_postgres: PostgresServer, mode: str) -> None:
    tell_postgres(own_postgres.url)
    own_postgres.stop(mode)
    assert not own_postgres.running
    assert ask_postgres(own_postgres.start().url) == ["rope"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_server_does_not_answer_until_it_is_thawed(kind: type[Server]) -> None:
    silent = (psycopg.OperationalError, RedisTimeout, nats.errors.Error, TimeoutError)
    with kind() as server:
        TELL[kind](server.url)
        server.freeze()
        with pytest.raises(silent):
            ASK[kind](server.url)
        server.thaw()
        assert ASK[kind](server.url) == ["rope"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_server_can_be_closed(kind: type[Server]) -> None:
    with kind() as server:
        server.freeze()
    assert not server.folder.path.exists()


def test_a_server_of_ones_own_has_the_settings_one_gives() -> None:
    with PostgresServer({"fsync": "on", "max_connections": "7"}) as server, psycopg.connect(server.url) as connection:
        for name, value in server.settings.items():
            assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_does_not_start_says_what_it_wrote(kind: type[Server]) -> None:
    server = kind({"no_such_setting": "}"})
    with pytest.raises(ServerFailed, match=r"(?i)no_such_setting|parse error"), server:
        pass
    assert not server.folder.path.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_lets_nobody_in_without_its_password(kind: type[Server]) -> None:
    with kind() as server:
        TELL[kind](server.url)
        with pytest.raises((psycopg.OperationalError, redis.RedisError, nats.errors.Error)):
            ASK[kind](server.url.replace(server.password, "guessed"))


def test_a_server_that_runs_already_is_used_by_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_NATS_URL", "nats://elsewhere:4222")
    with served("TEST_NATS_URL", NatsServer) as url:
        assert url == "nats://elsewhere:4222"
