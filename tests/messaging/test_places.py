"""Servers that are more than one address: a cluster, sentinels, TLS."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.messaging.forms import Form, until
from tests.messaging.tls_front import TlsFront
from tests.servers.programs import program
from tests.servers.server import Server, said_back
from tests.servers.valkey import RedisServer

from ropewalk.errors import RedisUnavailable
from ropewalk.messaging.redis import AsyncRedisClient, RedisClient, RedisConfig

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of one node that has all the slots: keys must agree on one slot there as anywhere."""
    with RedisServer({"cluster-enabled": "yes"}) as server, RedisClient(RedisConfig(server.url)) as plain:
        for start in range(0, 16384, 1024):
            plain.execute("CLUSTER", "ADDSLOTS", *range(start, start + 1024))
        deadline = time.monotonic() + 15
        while b"cluster_state:ok" not in plain.execute("CLUSTER", "INFO"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield server.url


@KINDS
def test_a_cluster_carries_all_of_it(cluster: str, kind: str) -> None:
    form = Form(kind, cluster, kind)
    form.config = RedisConfig(cluster, cluster=True)

    async def go() -> None:
        done: list[object] = []
        stream = form.stream(max_attempts=1)
        await stream.add_many([{"n": 1}, {"n": 2}])
        await stream.create_consumer_group("workers")
        doing = asyncio.create_task(stream.process_messages(done.append))
        await until(lambda: len(done) == 2)
        stream.stop()
        await doing
        assert (await stream.stats()).pending == 0
        async with form.lock() as lock:
            assert lock.fencing_token
        assert await form.limiter(rate=1).is_allowed("a")
        await form.calls.set_json(kind, {"n": (1,)})
        assert await form.calls.get_json(kind) == {"n": (1,)}

    form.run(go)


class Sentinel(Server):
    """Watches one master, and may promote its replica alone."""

    def __init__(self, master: RedisServer) -> None:
        super().__init__()
        self._master = master

    def command(self) -> list[str]:
        watched = f"m 127.0.0.1 {self._master.port} 1"
        lines = ["bind 127.0.0.1", f"port {self.port}", f"dir {self.folder.path}", f"sentinel monitor {watched}"]
        lines += [f"sentinel auth-pass m {self._master.password}", "sentinel down-after-milliseconds m 300"]
        lines += ["sentinel failover-timeout m 2000"]
        path = self.folder.path / "sentinel.conf"
        if not path.exists():
            self.folder.write("sentinel.conf", "\n".join(lines) + "\n")
        return [str(program("redis")), str(path), "--sentinel"]

    def answers(self) -> bool:
        return said_back(self.port, b"PING\r\nPING\r\n", b"+PONG")


@pytest.fixture
def watched() -> Iterator[tuple[RedisServer, RedisServer, Sentinel]]:
    """A master, its replica, and a sentinel that knows both."""
    with RedisServer({"repl-diskless-sync-delay": "0"}) as master:
        replica = RedisServer({"replicaof": f"127.0.0.1 {master.port}", "masterauth": master.password})
        replica.password = master.password
        with replica, Sentinel(master) as sentinel:
            with RedisClient(f"redis://127.0.0.1:{sentinel.port}") as asked, RedisClient(master.url) as client:
                deadline = time.monotonic() + 15
                while not (asked.execute("SENTINEL", "REPLICAS", "m") and b"state=online" in client.execute("INFO")):
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            yield master, replica, sentinel


@pytest.mark.slow
def test_sentinels_are_asked_for_the_master_and_the_promoted_replica_is_followed(
    watched: tuple[RedisServer, RedisServer, Sentinel],
) -> None:
    master, replica, sentinel = watched
    config = RedisConfig(
        sentinels=(("127.0.0.1", sentinel.port),), sentinel_service="m", password=master.password, socket_timeout=1
    )

    async def go() -> None:
        with RedisClient(config) as client, RedisClient(replica.url) as copy:
            async with AsyncRedisClient(config) as async_client:
                client.set("rope", "laid")
                assert (await async_client.get("rope"), client.health().role) == ("laid", "master")
                await until(lambda: copy.get("rope") == "laid")
                master.kill()
                await until(lambda: written(lambda: client.set("rope", "spliced")))
                await until(lambda: client.get("rope") == "spliced")
                assert await async_client.get("rope") == "spliced"
                assert copy.get("rope") == "spliced"

    asyncio.run(go())


def written(write: Callable[[], bool]) -> bool:
    try:
        return write()
    except RedisUnavailable:
        return False


@KINDS
def test_tls_is_spoken_and_the_certificate_is_checked(redis_url: str, redis_prefix: str, tmp_path: Path, kind: str):
    with TlsFront(redis_url, tmp_path) as front:
        form = Form(kind, front.url, redis_prefix)
        form.config = RedisConfig(front.url, ssl_ca_certs=str(front.authority))

        async def go() -> None:
            assert await form.calls.set(redis_prefix + "a", "1", expire=60)
            stream = form.stream()
            await stream.add({"n": 1})
            assert [message.data for message in await stream.read()] == [{"n": 1}]

        form.run(go)
        form.config = RedisConfig(front.url)  # this machine's authorities do not know that one

        async def refused() -> None:
            with pytest.raises(RedisUnavailable, match=r"(?i)certificate"):
                await form.calls.get("a")

        form.run(refused)
