"""Publish and subscribe for tasks: `RedisPubSub` on an event loop."""

import asyncio
import inspect
import time
from types import TracebackType
from typing import Any, Self

from ropewalk.errors import RedisDenied, RedisProblem, RedisUnavailable
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.listening import AsyncListener
from ropewalk.messaging.redis.outage import Outage
from ropewalk.messaging.redis.sharing import the_async_client
from ropewalk.messaging.redis.subscriptions import NOT_HEARD, TICK_SECONDS, Handler, Subscriptions, Topic, log


class AsyncRedisPubSub:
    """`RedisPubSub` for tasks. A handler that is no coroutine function is called in a thread."""

    def __init__(self, redis_client: AsyncRedisClient | None = None) -> None:
        self._client = the_async_client(redis_client)
        self._subscriptions = Subscriptions()
        self._arrived = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._stopped = False
        self._running = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def dropped(self) -> int:
        """How many messages came while too many waited for slow handlers."""
        return self._subscriptions.dropped

    @property
    def outages(self) -> int:
        """How often the connection was lost; what was published meanwhile was not heard."""
        return self._subscriptions.outages

    async def publish(self, channel: str, message: Any) -> int:
        """Send a message to those who listen now; return how many connections that were."""
        return await self._client.publish(channel, message)

    async def subscribe(
        self,
        channel: str,
        handler: Handler,
        *,
        pattern: bool = False,
        with_channel: bool = False,
        timeout: float = 5.0,  # noqa: ASYNC109  (as in the sync form)
    ) -> None:
        """Call ``handler(message)`` for each message from now on; see `RedisPubSub.subscribe`."""
        topic = Topic(channel, pattern)
        self._subscriptions.want(topic, handler, with_channel=with_channel)
        self._listen()
        deadline = time.monotonic() + timeout
        while topic not in self._subscriptions.confirmed:
            trouble = self._subscriptions.trouble
            if time.monotonic() > deadline or isinstance(trouble, RedisDenied):
                self._subscriptions.want_no_more(topic, handler)
                why = f"{topic.verb} was not confirmed in {timeout:g} s"
                raise trouble or RedisUnavailable(self._client.config.shown, why)
            await asyncio.sleep(0.001)

    async def unsubscribe(self, channel: str, handler: Handler | None = None, *, pattern: bool = False) -> bool:
        """Call one handler of a channel, or all, no more; say whether there was any."""
        return self._subscriptions.want_no_more(Topic(channel, pattern), handler)

    async def run(self) -> None:
        """Call handlers until `stop()`."""
        self._running += 1
        self._listen()
        try:
            while not self._stopped:
                await self._arrived.wait()
                self._arrived.clear()
                while self._subscriptions.waiting and not self._stopped:
                    await self._handle()
        finally:
            self._running -= 1
            if not self._running:
                await self._end()

    def stop(self) -> None:
        """End `run` after the handler that is at work, and listen no more."""
        self._stopped = True
        self._arrived.set()

    async def close(self) -> None:
        """Stop, and return when nothing listens any more."""
        self.stop()
        if self._listening is not None:
            await asyncio.wait([self._listening])

    async def _end(self) -> None:
        listening, self._listening = self._listening, None
        self._stopped = True
        if listening is not None:
            await asyncio.wait([listening])
        self._stopped = False

    def _listen(self) -> None:
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._hear())

    async def _handle(self) -> None:
        for handler, arguments in self._subscriptions.calls(self._subscriptions.waiting.popleft()):
            try:
                if inspect.iscoroutinefunction(handler):
                    await handler(*arguments)
                else:
                    result = await asyncio.to_thread(handler, *arguments)
                    if inspect.isawaitable(result):
                        await result
            except Exception:  # noqa: BLE001  (a user's; the next message is handled all the same)
                log.exception("A handler raised.")

    async def _hear(self) -> None:
        outage = Outage("Listening", meanwhile=NOT_HEARD)
        while not self._stopped:
            listener = AsyncListener(self._client.driver)
            self._subscriptions.begin_anew()
            try:
                await self._hear_from(listener, outage)
            except RedisProblem as problem:
                self._subscriptions.outages += self._subscriptions.trouble is None
                self._subscriptions.trouble = problem
                await asyncio.sleep(outage.pause(problem))
            finally:
                await listener.close()

    async def _hear_from(self, listener: AsyncListener, outage: Outage) -> None:
        subscriptions, looked = self._subscriptions, 0.0
        while not self._stopped:
            now = time.monotonic()
            if now - looked >= TICK_SECONDS / 2:  # not for every message
                looked = now
                for verb, names in subscriptions.changes():
                    await listener.ask(verb, names)
                if not subscriptions.handlers:
                    await asyncio.sleep(TICK_SECONDS)
                    continue
            heard = await listener.hear(TICK_SECONDS)
            if heard is not None:
                subscriptions.hear(heard)
                outage.over()
                self._arrived.set()
