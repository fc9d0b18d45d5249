"""What the suites of several contracts ask for."""

import time
from collections.abc import Iterator

import pytest
from tests.servers.valkey import RedisServer


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """A cluster of one node: it refuses what reaches over two places, as one of many does."""
    import redis

    with RedisServer({"cluster-enabled": "yes"}) as server, redis.Redis.from_url(server.url) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        deadline = time.monotonic() + 10
        while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
            assert time.monotonic() < deadline, "the cluster did not come about"
            time.sleep(0.02)
        yield server.url
