"""Ropewalk's messaging with Redis, by its public names."""

import threading
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Literal

from benchmarks.floors.redis_driver import MESSAGE
from benchmarks.measure import Clock, Costs
from ropewalk.messaging.redis import (
    AsyncRedisClient,
    AsyncRedisStream,
    RedisClient,
    RedisLock,
    RedisPubSub,
    RedisRateLimiter,
    RedisStream,
)

Repetition = Callable[[], Costs]


def add(url: str, messages: int, batch: int = 500) -> Repetition:
    client = RedisClient(url)
    stream = RedisStream("ours-add", client)

    def repeat() -> Costs:
        client.delete("ours-add")
        with Clock(messages) as clock:
            for _ in range(0, messages, batch):
                stream.add_many([MESSAGE] * batch)
        return clock.costs

    return repeat


def process(url: str, messages: int, batch: int = 100) -> Repetition:
    client = RedisClient(url)
    RedisStream("ours-process", client).add_many([MESSAGE] * messages)
    groups = (f"group-{number}" for number in count())

    def repeat() -> Costs:
        worker, left = RedisStream("ours-process", client), messages
        worker.create_consumer_group(next(groups))

        def work(_: object) -> None:
            nonlocal left
            left -= 1
            if not left:
                worker.stop()

        with Clock(messages) as clock:
            worker.process_messages(work, count=batch)
        assert worker.stats().pending == 0
        return clock.costs

    return repeat


def process_async(url: str, messages: int, batch: int = 100) -> Callable[[], Awaitable[Costs]]:
    RedisStream("ours-async", RedisClient(url)).add_many([MESSAGE] * messages)
    groups = (f"group-{number}" for number in count())

    async def repeat() -> Costs:
        async with AsyncRedisClient(url) as client:
            worker, left = AsyncRedisStream("ours-async", client), messages
            await worker.create_consumer_group(next(groups))

            async def work(_: object) -> None:
                nonlocal left
                left -= 1
                if not left:
                    worker.stop()

            with Clock(messages) as clock:
                await worker.process_messages(work, concurrency=batch)
            assert (await worker.stats()).pending == 0
        return clock.costs

    return repeat


def pubsub(url: str, messages: int) -> Repetition:
    client = RedisClient(url)

    def repeat() -> Costs:
        heard, all_heard = 0, threading.Event()

        def handle(_: object) -> None:
            nonlocal heard
            heard += 1
            if heard == messages:
                all_heard.set()

        with RedisPubSub(client) as listener:
            listener.subscribe("ours-pubsub", handle)
            thread = listener.run_in_thread()
            with Clock(messages) as clock:
                for _ in range(messages):
                    listener.publish("ours-pubsub", MESSAGE)
                all_heard.wait()
            listener.stop()
            thread.join()
        return clock.costs

    return repeat


def lock(url: str, times: int) -> Repetition:
    held = RedisLock("ours", redis_client=RedisClient(url))

    def repeat() -> Costs:
        with Clock(times) as clock:
            for _ in range(times):
                held.acquire()
                held.release()
        return clock.costs

    return repeat


def limit(url: str, times: int, algorithm: Literal["token_bucket", "sliding_window"]) -> Repetition:
    limiter = RedisRateLimiter("ours", 1000, 1, RedisClient(url), algorithm=algorithm)

    def repeat() -> Costs:
        with Clock(times) as clock:
            for _ in range(times):
                limiter.is_allowed("a")
        return clock.costs

    return repeat
