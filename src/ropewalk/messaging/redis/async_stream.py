"""A stream for tasks: `RedisStream` on an event loop; its signs of life come from a thread that no handler stops."""

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ropewalk.messaging.redis.client import AsyncRedisClient, RedisClient, the_async_client
from ropewalk.messaging.redis.errors import GroupMissing, RedisProblem
from ropewalk.messaging.redis.stream_desk import Desk, Keeper, Outage, Processor, group_is_gone
from ropewalk.messaging.redis.stream_place import (
    DeadLetter,
    StreamMessage,
    StreamPlace,
    StreamStats,
    Taken,
    unique_consumer,
)
from ropewalk.messaging.redis.talk import Talk


class AsyncRedisStream:
    """`RedisStream` for tasks; the same promises."""

    def __init__(  # noqa: PLR0913  (what a stream can be told)
        self,
        name: str,
        redis_client: AsyncRedisClient | None = None,
        lease: float = 30,
        max_attempts: int = 5,
        backoff: float = 1.0,
        *,
        maxlen: int | None = None,
        max_age: float | None = None,
        discard_done: bool = False,
        kind: Any = None,
    ) -> None:
        """Name a stream; see `RedisStream`."""
        self._client = the_async_client(redis_client)
        self._place = StreamPlace(
            name=name,
            lease=lease,
            max_attempts=max_attempts,
            backoff=backoff,
            maxlen=maxlen,
            max_age=max_age,
            kind=kind,
            config=self._client.config,
        )
        self._discard_done = discard_done
        self._group: tuple[str, str, str] | None = None
        self._stopping = False
        self._woken = asyncio.Event()
        self._reader: tuple[Desk, Keeper, RedisClient] | None = None

    @property
    def name(self) -> str:
        return self._place.name

    async def add(self, data: Any) -> str:
        """Add a message; return its id. Added again after this raised, it may be there twice."""
        return await self._client.talk(self._place.add(data))

    async def add_many(self, many: Sequence[Any]) -> list[str]:
        """Add messages in one round trip."""
        return await self._client.talk(self._place.add_many(many))

    async def read(self, count: int = 10, last_id: str = "0", block: int | None = None) -> list[StreamMessage]:
        """Return what follows ``last_id`` ("$": what comes from now on); wait up to ``block`` milliseconds for it."""
        if last_id == "$":
            last_id = await self._client.talk(self._place.end())
        found = await self._client.talk(self._place.read(count, last_id))
        for seconds in self._slices(block):
            if found:
                break
            milliseconds = max(1, round(seconds * 1000))
            found = await self._client.talk(self._place.read_blocking(count, last_id, milliseconds))
        return found

    async def create_consumer_group(self, group: str, consumer: str = "worker", start_id: str = "0") -> bool:
        """Join a group, made if it is not there: from the first message on, or from ``start_id`` ("$": from now on)."""
        made = await self._client.talk(self._place.create_group(group, start_id))
        self._group = group, unique_consumer(consumer), start_id
        return made

    @property
    def consumer(self) -> str:
        """The name by which the server knows this worker."""
        return self._joined()[1]

    async def process_messages(
        self, processor: Processor, count: int | None = None, block: int = 1000, *, concurrency: int = 1
    ) -> None:
        """Process messages until `stop()`, ``concurrency`` of them at once; a plain function runs in a thread.

        The processor gets a message's data. It failed if it raises or returns False. ``count`` above ``concurrency``
        takes that many in one round trip. Cancelled, it cancels what it has begun; that goes to others, uncounted.
        """
        desk = self._desk(batched=(count or 1) > concurrency)
        client = RedisClient(self._client.config)  # of the keeper's thread
        keeper = Keeper(desk, client, discard_done=self._discard_done, flushes=False)
        work = _Work(self, desk, processor, max(count or 1, concurrency), block / 1000, concurrency)
        try:
            while not self._stopping and not await work.tried(lambda: asyncio.to_thread(keeper.beat)):
                pass
            keeper.start()
            await work.go_on()
        finally:
            await work.cancel()
            await self._leave(desk, keeper, client)
            self._stopping = False
            self._woken.clear()

    def stop(self) -> None:
        """Begin no more; `process_messages` returns when what was begun is done."""
        self._stopping = True
        self._woken.set()

    async def read_group(self, count: int = 10, block: int | None = None, last_id: str = ">") -> list[StreamMessage]:
        """Take messages to process by oneself: each is this worker's until `acknowledge`, or until `close`."""
        group, consumer, _ = self._joined()
        if last_id != ">":
            return await self._client.talk(self._place.own_history(group, consumer, count, last_id))
        if self._reader is None:
            desk, client = self._desk(batched=True, by_hand=True), RedisClient(self._client.config)
            keeper = Keeper(desk, client, discard_done=self._discard_done, flushes=False)
            await asyncio.to_thread(keeper.beat)
            keeper.start()
            self._reader = desk, keeper, client
        desk = self._reader[0]
        taken = await self._client.talk(desk.turn(count, count))
        for seconds in self._slices(block):
            if taken:
                break
            taken = await self._client.talk(desk.wait(count, seconds)) or await self._client.talk(
                desk.turn(count, count)
            )
        return [message for one in taken if (message := desk.opened(one)) is not None]

    async def acknowledge(self, message_id: str) -> bool:
        """Say that a message of `read_group` is done; False when it was not this worker's any more."""
        if self._reader is None or message_id not in self._reader[0].held:
            return False
        desk = self._reader[0]
        desk.succeeded(desk.held[message_id], None)
        await self._client.talk(desk.turn(0, 0))
        return message_id not in desk.refused

    async def close(self) -> None:
        """Give back what `read_group` took and nobody acknowledged."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await self._leave(*reader)

    async def dead_letters(self, count: int | None = None, after: str = "0") -> list[DeadLetter]:
        """Return the messages that were given up, oldest first."""
        return await self._client.talk(self._place.dead_letters(count, after))

    async def replay_dead_letters(self, ids: Sequence[str] | None = None) -> list[str]:
        """Add dead letters to the stream again, all or those of these ids, for their group; return their new ids."""
        return await self._client.talk(self._place.replay_dead_letters(ids))

    async def stats(self, group: str | None = None) -> StreamStats:
        """Return numbers of a group, of one's own if none is named."""
        return await self._client.talk(self._place.stats(group or (self._group[0] if self._group else None)))

    @property
    def stopping(self) -> bool:
        return self._stopping

    async def talk(self, talk: Talk[Any]) -> Any:
        return await self._client.talk(talk)

    async def pause(self, seconds: float) -> None:
        """Wait, no longer than until `stop()`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))
            if self._stopping:
                return

    @property
    def woken(self) -> asyncio.Event:
        return self._woken

    def _joined(self) -> tuple[str, str, str]:
        if self._group is None:
            raise GroupMissing(self.name)
        return self._group

    def _desk(self, *, batched: bool, by_hand: bool = False) -> Desk:
        group, consumer, start_id = self._joined()
        return Desk(self._place, group, consumer, start_id=start_id, batched=batched, by_hand=by_hand)

    async def _leave(self, desk: Desk, keeper: Keeper, client: RedisClient) -> None:
        await asyncio.to_thread(keeper.end)
        try:
            if desk.unsettled:
                await self._client.talk(desk.turn(0, 0))
            await self._client.talk(self._place.leave(desk.group, desk.consumer))
        except RedisProblem as problem:
            if not group_is_gone(problem):
                Outage(self.name).pause(problem)  # said; after a lease the others take what is left
        finally:
            client.close()

    def _slices(self, block: int | None) -> Iterator[float]:
        deadline = time.monotonic() + (0 if block is None else block / 1000 or float("inf"))
        while (left := deadline - time.monotonic()) > 0:
            yield min(left, self._client.config.slice_seconds)


class _Work:
    """The tasks of one `process_messages`.

    1. While there is room, a turn settles what is finished and takes more.
    2. When there is nothing, one read waits on the server; what finishes meanwhile is settled beside it.
    3. After `stop()` nothing is begun; what was begun ends, and what was taken and not begun is given back.
    """

    def __init__(  # noqa: PLR0917  (one caller)
        self, stream: AsyncRedisStream, desk: Desk, processor: Processor, count: int, longest: float, limit: int
    ) -> None:
        self._stream = stream
        self._desk = desk
        self._processor = processor
        self._is_async = inspect.iscoroutinefunction(processor)
        self._count = count
        self._longest = longest
        self._limit = limit
        self._outage = Outage(stream.name)
        self._buffer: deque[Taken] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[list[Taken]] | None = None

    async def go_on(self) -> None:
        while True:
            self._begin()
            if self._stream.stopping and not self._running and self._reading is None:
                return
            await self._wait_for_something() if await self.tried(self._take) else None

    async def cancel(self) -> None:
        """End what is left, after a cancellation."""
        left: list[asyncio.Task[Any]] = [*self._running, *([self._reading] if self._reading else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def tried(self, act: Callable[[], Any]) -> bool:
        """Do it; when the server is away, wait a little, and say that it was not done."""
        try:
            await act()
        except RedisProblem as problem:
            if group_is_gone(problem):
                await self.tried(lambda: self._stream.talk(self._desk.make_group()))
                return False
            await self._stream.pause(self._outage.pause(problem))
            return False
        self._outage.over()
        return True

    async def _take(self) -> None:
        """Settle, and take more where there is room and no read waits for it."""
        room = 0 if self._stream.stopping or self._buffer else self._limit - len(self._running)
        if room > 0 and not self._desk.fresh:
            await self._stream.talk(self._desk.beat())
        if room > 0 and self._reading is None:
            new = room if self._count <= self._limit else self._count
            taken = await self._stream.talk(self._desk.turn(room, new))
            self._buffer += taken
            if not taken:
                self._reading = asyncio.create_task(self._stream.talk(self._desk.wait(new, self._longest)))
        elif self._desk.unsettled:
            await self._stream.talk(self._desk.turn(0, 0))

    async def _wait_for_something(self) -> None:
        if self._buffer and len(self._running) < self._limit:
            return
        woken = self._stream.woken
        if not self._stream.stopping and not self._desk.unsettled:
            woken.clear()
        waker = asyncio.create_task(woken.wait())
        waiting = {waker, *self._running} if self._reading is None else {waker, *self._running, self._reading}
        if self._stream.stopping:
            waiting.discard(waker)
        try:
            if waiting:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waker.cancel()
        if self._reading is not None and self._reading.done():
            reading, self._reading = self._reading, None
            if await self.tried(lambda: reading):
                self._buffer += reading.result()

    def _begin(self) -> None:
        while self._buffer and (len(self._running) < self._limit or self._stream.stopping):
            taken = self._buffer.popleft()
            if self._stream.stopping or not self._desk.fresh:
                self._desk.drop(taken)
                continue
            message = self._desk.opened(taken)
            if message is not None:
                task = asyncio.create_task(self._process(taken, message))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _process(self, taken: Taken, message: StreamMessage) -> None:
        try:
            if self._is_async:
                result = await self._processor(message.data)
            else:
                result = await asyncio.to_thread(self._processor, message.data)
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
