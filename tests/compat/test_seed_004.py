"""The snippets of seed 004 run when only the import root is replaced; each file says what of it was left out."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.valkey import RedisServer

import ropewalk
from ropewalk.messaging.redis import RedisClient, RedisConfig, RedisPubSub, RedisStream

HERE = Path(__file__).parent
SOURCE = str(Path(ropewalk.__file__).parents[1])


@contextmanager
def running(name: str, url: str) -> Iterator["subprocess.Popen[str]"]:
    program = subprocess.Popen(
        [sys.executable, "-W", "error", HERE / f"snippet_004_{name}.py"],
        env=os.environ | {"PYTHONPATH": SOURCE, "REDIS_URL": url},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def test_the_agents_command_each_other(own_redis: RedisServer) -> None:
    results: list[object] = []
    with RedisClient(RedisConfig(own_redis.url)) as client, RedisPubSub(client) as listener:
        listener.subscribe("agent-results", results.append)
        thread = listener.run_in_thread()
        with running("pubsub", own_redis.url):
            command = {"command": "analyze", "data": "content to analyze"}
            until(lambda: client.publish("agent-commands", command))
            until(lambda: results)
        assert results == [{"result": "CONTENT TO ANALYZE"}]
        listener.stop()
        thread.join()


def test_the_worker_gets_the_task_that_was_there_before_it(own_redis: RedisServer) -> None:
    with RedisClient(RedisConfig(own_redis.url)) as client, running("stream", own_redis.url) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "Document content\n"
        stream = RedisStream("tasks", client)
        until(lambda: stream.stats("workers").pending == 0)
        assert stream.stats("workers").lag == 0


def test_the_seed_s_import_path_holds_the_product_s_own_classes() -> None:
    from ropewalk.compat.ailf.messaging import redis as seed
    from ropewalk.messaging import redis as ours

    names = {"RedisClient", "AsyncRedisClient", "RedisPubSub", "RedisStream", "RedisLock", "RedisRateLimiter"}
    assert names <= set(seed.__all__)
    assert all(getattr(seed, name) is getattr(ours, name) for name in seed.__all__)
