"""A process that consumes a stream, holds a lock or waits at a limit, to be killed, frozen and thawed by a drill.

Each effect is a line in a file, appended in one write, so that what was done is known whatever happens to the process.
"""

import asyncio
import logging
import os
import sys
import time

from ropewalk.messaging.redis import (
    AsyncRedisClient,
    AsyncRedisStream,
    LockLost,
    LockNotAcquired,
    RedisClient,
    RedisConfig,
    RedisLock,
    RedisProblem,
    RedisStream,
)


def note(path: str, *words: object) -> None:
    line = " ".join(map(str, (time.monotonic_ns(), os.getpid(), *words))) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def consume(url: str, stream: str, path: str, lease: str, count: str) -> None:
    def work(task: dict[str, int]) -> None:
        note(path, "begin", task["n"])
        if task.get("poison"):
            os.kill(os.getpid(), 9)
        if task.get("bad"):
            raise ValueError("bad")
        time.sleep(0.001)
        note(path, "end", task["n"])

    worker = RedisStream(stream, RedisClient(RedisConfig(url, socket_timeout=2)), lease=float(lease), backoff=0.05)
    worker.create_consumer_group("workers")
    worker.process_messages(work, count=int(count))


def consume_async(url: str, stream: str, path: str, lease: str, count: str) -> None:
    async def work(task: dict[str, int]) -> None:
        note(path, "begin", task["n"])
        if task.get("poison"):
            os.kill(os.getpid(), 9)
        if task.get("bad"):
            raise ValueError("bad")
        await asyncio.sleep(0.001)
        note(path, "end", task["n"])

    async def go() -> None:
        client = AsyncRedisClient(RedisConfig(url, socket_timeout=2))
        worker = AsyncRedisStream(stream, client, lease=float(lease), backoff=0.05)
        await worker.create_consumer_group("workers")
        await worker.process_messages(work, concurrency=int(count))

    asyncio.run(go())


def hold(url: str, name: str, path: str, expire: str) -> None:
    """Write under a lock again and again; the resource, a key of the server, judges the fencing number itself."""
    client = RedisClient(RedisConfig(url, socket_timeout=2))
    checked = """
    local seen = tonumber(redis.call('GET', KEYS[1]) or '0')
    if tonumber(ARGV[1]) < seen then return 0 end
    redis.call('SET', KEYS[1], ARGV[1])
    redis.call('RPUSH', KEYS[2], ARGV[1])
    return 1
    """
    while True:
        try:
            with RedisLock(name, expire=float(expire), redis_client=client, timeout=60) as lock:
                note(path, "held", lock.fencing_token)
                for _ in range(3):
                    time.sleep(0.002)
                    said = client.execute("EVAL", checked, 2, name + ":seen", name + ":writes", lock.fencing_token)
                    note(path, "written" if said else "refused", lock.fencing_token)
        except (LockLost, LockNotAcquired):
            note(path, "lost", 0)
        except RedisProblem:
            time.sleep(0.05)


if __name__ == "__main__":
    logging.disable()
    {"consume": consume, "consume_async": consume_async, "hold": hold}[sys.argv[1]](*sys.argv[2:])
