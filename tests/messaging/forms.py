"""The sync and the async form of each primitive, called in one way, so that a behaviour is told once for both."""

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ropewalk.messaging import redis as ours


class Threaded:
    """A sync object whose methods are awaited: each runs in a thread."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.thing, name)
        if not inspect.ismethod(found) or name == "stop":
            return found
        return functools.partial(asyncio.to_thread, found)

    async def __aenter__(self) -> Any:
        await asyncio.to_thread(self.thing.__enter__)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await asyncio.to_thread(self.thing.__exit__, *error)


class Form:
    def __init__(self, kind: str, url: str, prefix: str, *, socket_timeout: float = 2) -> None:
        self.kind = kind
        self.url = url
        self.prefix = prefix
        self.config = ours.RedisConfig(url, socket_timeout=socket_timeout)
        self.client: Any = None

    def be_impatient(self, seconds: float) -> None:
        """Take a server that does not answer for so long to be away."""
        self.config = replace(self.config, socket_timeout=seconds)

    def run(self, body: Callable[[], Awaitable[None]], seconds: float = 30) -> None:
        async def go() -> None:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(300))
            async with asyncio.timeout(seconds):
                if self.kind == "sync":
                    self.client = ours.RedisClient(self.config)
                    try:
                        await body()
                    finally:
                        self.client.close()
                else:
                    self.client = ours.AsyncRedisClient(self.config)
                    try:
                        await body()
                    finally:
                        await self.client.close()

        asyncio.run(go())

    def make(self, what: str, *arguments: Any, **more: Any) -> Any:
        thing = getattr(ours, what if self.kind == "sync" else f"Async{what}")
        made = thing(*arguments, redis_client=self.client, **more)
        return Threaded(made) if self.kind == "sync" else made

    @property
    def calls(self) -> Any:
        """The client, with awaited methods."""
        return Threaded(self.client) if self.kind == "sync" else self.client

    def stream(self, name: str = "tasks", **more: Any) -> Any:
        return self.make("RedisStream", self.prefix + name, **more)

    def lock(self, name: str = "door", **more: Any) -> Any:
        return self.make("RedisLock", self.prefix + name, **more)

    def limiter(self, **more: Any) -> Any:
        return self.make("RedisRateLimiter", self.prefix + "limit", **more)

    def pubsub(self) -> Any:
        return self.make("RedisPubSub")


async def until(condition: Callable[[], Any], seconds: float = 15) -> None:
    """Wait for a condition, which may be async."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.01)
