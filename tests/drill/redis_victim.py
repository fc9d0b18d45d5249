"""A process that consumes a stream, holds a lock or goes through a limit, to be killed, frozen and thawed by a drill.

Each effect is a line in a file, appended in one write, so that what was done is known whatever happens to the process.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable

from ropewalk.errors import LockLost, LockNotAcquired, RedisProblem
from ropewalk.messaging.redis import (
    AsyncRedisClient,
    AsyncRedisStream,
    RedisClient,
    RedisConfig,
    RedisLock,
    RedisRateLimiter,
    RedisStream,
)

GROUP = "workers"
CHECKED = """
local seen = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) < seen then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[2], ARGV[1])
return 1
"""
"""A resource that checks the token: a key of the server, which keeps every write that it accepted."""


def note(path: str, what: str, number: int) -> None:
    line = f"{time.monotonic_ns()} {os.getpid()} {what} {number}\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def begun(path: str, task: dict[str, int]) -> None:
    note(path, "begin", task["n"])
    if task.get("poison"):
        os.kill(os.getpid(), 9)
    if task.get("bad"):
        raise ValueError("bad")


def consume(url: str, stream: str, path: str, lease: str, pace: str, concurrency: str, count: str) -> None:
    def work(task: dict[str, int]) -> None:
        begun(path, task)
        time.sleep(float(pace))
        note(path, "end", task["n"])

    worker = RedisStream(stream, RedisClient(RedisConfig(url, socket_timeout=2)), lease=float(lease), backoff=0.05)
    while not joined(worker):
        time.sleep(0.1)
    worker.process_messages(work, count=int(count), concurrency=int(concurrency))


def joined(worker: RedisStream) -> bool:
    try:
        return worker.create_consumer_group(GROUP)
    except RedisProblem:  # it came while the server was away
        return False


def consume_async(url: str, stream: str, path: str, lease: str, pace: str, concurrency: str, count: str) -> None:
    async def work(task: dict[str, int]) -> None:
        begun(path, task)
        await asyncio.sleep(float(pace))
        note(path, "end", task["n"])

    async def go() -> None:
        client = AsyncRedisClient(RedisConfig(url, socket_timeout=2))
        worker = AsyncRedisStream(stream, client, lease=float(lease), backoff=0.05)
        while True:
            try:
                await worker.create_consumer_group(GROUP)
                break
            except RedisProblem:
                await asyncio.sleep(0.1)
        await worker.process_messages(work, count=int(count), concurrency=int(concurrency))

    asyncio.run(go())


def hold(url: str, name: str, path: str, expire: str) -> None:
    """Write under a lock again and again."""
    client = RedisClient(RedisConfig(url, socket_timeout=2))
    while True:
        try:
            with RedisLock(name, expire=float(expire), redis_client=client, timeout=60) as lock:
                note(path, "held", lock.fencing_token)
                for _ in range(3):
                    time.sleep(0.002)
                    said = client.execute("EVAL", CHECKED, 2, name + ":seen", name + ":writes", lock.fencing_token)
                    note(path, "written" if said else "refused", lock.fencing_token)
        except LockLost as lost:
            note(path, "lost", lost.fencing_token)
        except LockNotAcquired:
            note(path, "waited", 0)
        except RedisProblem:
            time.sleep(0.05)


def go_through(url: str, name: str, path: str, rate: str, seconds: str) -> None:
    """Fifty callers of one limiter, each of whom comes again at once."""
    limiter = RedisRateLimiter(name, float(rate), 1, RedisClient(RedisConfig(url)))
    ends = time.monotonic() + float(seconds)

    def caller() -> None:
        while (left := ends - time.monotonic()) > 0:
            if limiter.wait("a", timeout=left):
                note(path, "granted", 0)

    note(path, "began", 0)
    callers = [threading.Thread(target=caller) for _ in range(50)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()


TRADES: dict[str, Callable[..., None]] = {
    "consume": consume,
    "consume_async": consume_async,
    "hold": hold,
    "go_through": go_through,
}

if __name__ == "__main__":
    logging.disable()
    TRADES[sys.argv[1]](*sys.argv[2:])
