"""The tasks of one `AsyncRedisStream.process_messages`.

1. While there is room, a turn settles what is finished and takes more.
2. When there is nothing, one read waits on the server; what finishes meanwhile is settled beside it.
3. After `stop()` nothing is begun; what was begun ends, and what was taken and not begun is given back.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.outage import Outage, group_is_gone, is_hopeless
from ropewalk.messaging.redis.stream_desk import Desk, Processor
from ropewalk.messaging.redis.stream_messages import Taken

_PAUSE_SECONDS = 0.1
"""How long to wait at the most, when the server is away and all that is left is to tell it what was done."""


class AsyncWork:
    """Takes, begins and settles, until ``stopping`` is set."""

    def __init__(
        self,
        client: AsyncRedisClient,
        desk: Desk,
        processor: Processor,
        stopping: asyncio.Event,
        *,
        count: int,
        longest: float,
        limit: int,
    ) -> None:
        """``count`` are taken in one turn at the most, ``limit`` are at work at once, and a read waits ``longest``."""
        self._client = client
        self._desk = desk
        self._processor = processor
        self._is_async = inspect.iscoroutinefunction(processor)
        self._stopping = stopping
        self._count = max(count, limit)
        self._longest = longest
        self._limit = limit
        self._outage = Outage(f"Stream {desk.place.name!r}")
        self._buffer: deque[Taken] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[list[Taken]] | None = None

    async def go_on(self) -> None:
        while True:
            self._begin()
            if self._stopping.is_set() and not self._running and self._reading is None:
                return
            if await self.tried(self._take):
                await self._wait_for_something()

    async def cancel(self) -> None:
        """End what is left, after a cancellation."""
        left: list[asyncio.Task[Any]] = [*self._running, *([self._reading] if self._reading else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def tried(self, act: Callable[[], Awaitable[object]]) -> bool:
        """Do it; when the server is away, wait a little, and say that it was not done."""
        try:
            await act()
        except RedisProblem as problem:
            if is_hopeless(problem):
                raise
            if group_is_gone(problem):
                await self.tried(lambda: self._client.talk(self._desk.make_group()))
            else:
                await self._pause(self._outage.pause(problem))
            return False
        self._outage.over()
        return True

    async def _pause(self, seconds: float) -> None:
        if self._stopping.is_set():
            await asyncio.sleep(min(seconds, _PAUSE_SECONDS))
            return
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({stopped}, timeout=seconds)
        stopped.cancel()

    async def _take(self) -> None:
        """Settle, and take more where there is room and no read waits for it."""
        room = 0 if self._stopping.is_set() or self._buffer else self._limit - len(self._running)
        if room > 0 and not self._desk.fresh:
            await self._client.talk(self._desk.beat())
        if room > 0 and self._reading is None:
            new = room if self._count == self._limit else self._count
            taken = await self._client.talk(self._desk.turn(room, new))
            self._buffer += taken
            if not taken:
                self._reading = asyncio.create_task(self._client.talk(self._desk.wait(new, self._longest)))
        elif self._desk.unsettled:
            await self._client.talk(self._desk.turn(0, 0))

    async def _wait_for_something(self) -> None:
        if self._desk.unsettled or (self._buffer and len(self._running) < self._limit):
            return
        waiting: set[asyncio.Task[Any]] = {*self._running, *([self._reading] if self._reading else [])}
        if self._stopping.is_set():
            if waiting:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        else:
            stopped = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait({stopped, *waiting}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
        if self._reading is not None and self._reading.done():
            reading, self._reading = self._reading, None
            if await self.tried(lambda: reading):
                self._buffer += reading.result()

    def _begin(self) -> None:
        while self._buffer and (len(self._running) < self._limit or self._stopping.is_set()):
            taken = self._buffer.popleft()
            if self._stopping.is_set() or not self._desk.may_begin(taken):
                self._desk.drop(taken)
                continue
            opened = self._desk.opened(taken)
            if opened is not None:
                task = asyncio.create_task(self._process(taken, opened[0]))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _process(self, taken: Taken, data: Any) -> None:
        try:
            if self._is_async:
                result = await self._processor(data)
            else:
                result = await asyncio.to_thread(self._processor, data)
                if inspect.isawaitable(result):
                    result = await result
        except asyncio.CancelledError as error:
            this = asyncio.current_task()
            if this is not None and this.cancelling():
                raise  # the whole work is: the message goes back
            self._desk.failed(taken, error)
        except Exception as error:  # noqa: BLE001  (whatever it is, the message is tried again)
            self._desk.failed(taken, error)
        else:
            self._desk.succeeded(taken, result)
