"""A stream for tasks: `RedisStream` on an event loop; its signs of life come from a thread that no handler stops."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.async_work import AsyncWork
from ropewalk.messaging.redis.client import RedisClient
from ropewalk.messaging.redis.sharing import the_async_client
from ropewalk.messaging.redis.stream_desk import Desk, Processor
from ropewalk.messaging.redis.stream_keeper import Keeper
from ropewalk.messaging.redis.stream_member import StreamMember
from ropewalk.messaging.redis.stream_messages import DeadLetter, StreamMessage, StreamStats
from ropewalk.messaging.redis.stream_place import StreamPlace


class AsyncRedisStream(StreamMember):
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
        place = StreamPlace(
            name=name,
            lease=lease,
            max_attempts=max_attempts,
            backoff=backoff,
            maxlen=maxlen,
            max_age=max_age,
            kind=kind,
            config=self._client.config,
        )
        super().__init__(place, discard_done=discard_done)
        self._stopping = asyncio.Event()
        self._reader: tuple[Desk, Keeper, RedisClient] | None = None

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
            found = await self._client.talk(self._place.read_blocking(count, last_id, seconds))
        return found

    async def create_consumer_group(self, group: str, consumer: str = "worker", start_id: str = "0") -> bool:
        """Join a group, made if it is not there: from the first message on, or from ``start_id`` ("$": from now on)."""
        made = await self._client.talk(self._place.create_group(group, start_id))
        self._join(group, consumer, start_id)
        return made

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
        work = AsyncWork(
            self._client,
            desk,
            processor,
            self._stopping,
            count=count or 1,
            longest=block / 1000,
            limit=concurrency,
        )
        try:
            while not self._stopping.is_set() and not await work.tried(lambda: asyncio.to_thread(keeper.beat)):
                pass
            keeper.start()
            await work.go_on()
        finally:
            await work.cancel()
            await self._leave(desk, keeper, client)
            self._stopping.clear()

    def stop(self) -> None:
        """Begin no more; `process_messages` returns when what was begun is done."""
        self._stopping.set()

    async def read_group(self, count: int = 10, block: int | None = None, last_id: str = ">") -> list[StreamMessage]:
        """Take messages to process by oneself: each is this worker's until `acknowledge`, or until `close`.

        Any other ``last_id`` shows again what this worker holds after that id.
        """
        group, consumer, _ = self._joined()
        if last_id != ">":
            return await self._client.talk(self._place.own_history(group, consumer, count, last_id))
        desk = await self._by_hand()
        taken = await self._client.talk(desk.turn(count, count))
        for seconds in self._slices(block):
            if taken:
                break
            taken = await self._client.talk(desk.wait(count, seconds))
            taken = taken or await self._client.talk(desk.turn(count, count))
        return desk.messages(taken)

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
        return await self._client.talk(self._place.stats(self._named(group)))

    async def _by_hand(self) -> Desk:
        if self._reader is None:
            desk, client = self._desk(batched=True, by_hand=True), RedisClient(self._client.config)
            keeper = Keeper(desk, client, discard_done=self._discard_done, flushes=False)
            try:
                await asyncio.to_thread(keeper.beat)
            except BaseException:
                client.close()
                self._rise()
                raise
            keeper.start()
            self._reader = desk, keeper, client
        return self._reader[0]

    async def _leave(self, desk: Desk, keeper: Keeper, client: RedisClient) -> None:
        """Give back what is not done; where the server is away the others take it after a lease."""
        await asyncio.to_thread(keeper.end)
        try:
            if desk.unsettled:
                await self._client.talk(desk.turn(0, 0))
            await self._client.talk(self._place.leave(desk.group, desk.consumer))
        except RedisProblem as problem:
            desk.left(problem)
        finally:
            client.close()
            self._rise()
