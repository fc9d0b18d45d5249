"""What a test asks for to meet real servers; each is started when the first test wants it.

`postgres_url` is a database of the test's own. Redis and NATS are shared: `redis_prefix` and `nats_prefix` say how the
names begin that belong to the test. TEST_POSTGRES_URL, TEST_REDIS_URL and TEST_NATS_URL name servers that run already.
A test that stops, freezes or kills its server takes `own_postgres`, `own_redis` or `own_nats`; one that wants another
setting, or two servers, makes them: `with PostgresServer({"fsync": "on"}) as server`.

The drivers are imported where they are used: a unit test does not pay for them.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest
from tests.servers.jetstream import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.server import Server
from tests.servers.valkey import RedisServer

if TYPE_CHECKING:
    from tests.servers.databases import Databases


@contextlib.contextmanager
def served(variable: str, kind: type[Server]) -> Generator[str, None, None]:
    """Yield the URL that the variable names, or that of a server of our own."""
    if url := os.environ.get(variable):
        yield url
    else:
        with kind() as server:
            yield server.url


@pytest.fixture(scope="session")
def postgres_databases() -> "Iterator[Databases]":
    from tests.servers.databases import Databases

    with served("TEST_POSTGRES_URL", PostgresServer) as url, Databases(url) as databases:
        yield databases


@pytest.fixture(scope="session")
def postgres_template(postgres_databases: "Databases") -> Iterator[str]:
    """The URL of the database that `postgres_url` clones: an empty one.

    Where all tests of a folder want more in it, their conftest has a fixture of this name, which fills a database and
    leaves no connection to it open.
    """
    url = postgres_databases.create()
    yield url
    postgres_databases.drop(url)


@pytest.fixture
def postgres_url(postgres_databases: "Databases", postgres_template: str) -> Iterator[str]:
    url = postgres_databases.create(postgres_template)
    yield url
    postgres_databases.drop(url)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with served("TEST_REDIS_URL", RedisServer) as url:
        yield url


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """How the keys and channels begin that are the test's own. The keys are deleted after it."""
    prefix = f"test-{secrets.token_hex(6)}:"
    yield prefix
    delete_keys(redis_url, prefix)


def delete_keys(url: str, prefix: str) -> None:
    import redis

    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(f"{prefix}*", count=1000):
            client.unlink(key)


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    with served("TEST_NATS_URL", NatsServer) as url:
        yield url


@pytest.fixture
def nats_prefix(nats_url: str) -> Iterator[str]:
    """How the subjects, streams and buckets begin that are the test's own. The last two are deleted after it."""
    prefix = f"test_{secrets.token_hex(6)}"
    yield prefix
    asyncio.run(delete_streams(nats_url, prefix))


async def delete_streams(url: str, prefix: str) -> None:
    """Delete the streams whose name holds the prefix: a bucket is a stream KV_name."""
    import nats

    client = await nats.connect(url)
    try:
        manager, names = client.jsm(), list[str]()
        while page := await manager.streams_info(offset=len(names)):
            names += [stream.config.name or "" for stream in page]
        for name in names:
            if prefix in name:
                await manager.delete_stream(name)
    finally:
        await client.close()


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server
