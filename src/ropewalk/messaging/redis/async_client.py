"""A Redis server for tasks: `RedisClient` on event loops."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, cast, overload
from weakref import WeakKeyDictionary

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.driver import AsyncDriver
from ropewalk.messaging.redis.keyspace import Health, RedisPipeline, get, get_json, put, told
from ropewalk.messaging.redis.talk import Argument, Talk, ask
from ropewalk.messaging.redis.troubles import TROUBLES, in_our_words
from ropewalk.messaging.redis.values import dump

T = TypeVar("T")


class AsyncRedisClient:
    """`RedisClient` for tasks. It may be used from several event loops, with connections of its own in each."""

    def __init__(self, config: RedisConfig | str | None = None) -> None:
        self.config = RedisConfig(config) if isinstance(config, str) else config or RedisConfig()
        self._drivers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool, AsyncDriver]] = WeakKeyDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def driver(self) -> AsyncDriver:
        """The connections of the running loop."""
        return self._driver(plain=False)

    @property
    def client(self) -> Any:
        """The driver's own client, for what is not here; it gives text unless ``decode_responses`` is off."""
        return self._driver(plain=True).redis

    async def talk(self, talk: Talk[T]) -> T:
        return await self.driver.converse(talk)

    async def execute(self, *command: Argument) -> Any:
        """Carry out any command; the reply is raw (bytes, integers, lists)."""
        return await self.talk(ask(*command))

    async def connect(self) -> Self:
        """Make sure that the server can be reached now."""
        await self.execute("PING")
        return self

    async def close(self) -> None:
        """Close the connections of the running loop."""
        for driver in self._drivers.pop(asyncio.get_running_loop(), {}).values():
            await driver.close()

    async def get(self, key: str) -> str | None:
        """Return the text of a key, None when there is none. Raises `NotReadable` for bytes that are no text."""
        return await self.talk(get(key))

    async def get_bytes(self, key: str) -> bytes | None:
        return await self.execute("GET", key)

    async def set(self, key: str, value: Argument, expire: float | None = None) -> bool:
        """Store a value, for ``expire`` seconds if given."""
        return await self.talk(put(key, value, expire))

    async def delete(self, *keys: str) -> bool:
        """Say whether any of the keys was there."""
        return bool(await self.execute("DEL", *keys))

    async def exists(self, key: str) -> bool:
        return bool(await self.execute("EXISTS", key))

    async def set_json(self, key: str, value: Any, expire: float | None = None) -> bool:
        """Store a value with its types: datetime, bytes, tuples, sets, decimals; a pydantic model as its fields."""
        return await self.talk(put(key, dump(value, f"The value of {key!r}"), expire))

    @overload
    async def get_json(self, key: str, kind: type[T]) -> T | None: ...
    @overload
    async def get_json(self, key: str, kind: None = None) -> Any: ...
    async def get_json(self, key: str, kind: Any = None) -> Any:
        """Return what `set_json` stored, None when there is nothing; checked as a ``kind`` (a model, say) if given."""
        return await self.talk(get_json(key, kind))

    async def publish(self, channel: str, message: Any) -> int:
        """Send a message to those who listen now; return how many connections that were."""
        return await self.execute("PUBLISH", channel, dump(message, f"The message for {channel!r}"))

    async def health_check(self) -> bool:
        try:
            await self.execute("PING")
        except RedisProblem:
            return False
        return True

    async def health(self) -> Health:
        """Raise what is wrong, or say how the server is."""
        began = time.perf_counter()
        await self.execute("PING")
        return told(await self.execute("INFO"), time.perf_counter() - began)

    @asynccontextmanager
    async def pipeline(self, *, transaction: bool = True) -> AsyncGenerator[RedisPipeline]:
        """Send all at once, as one transaction, when the block ends; nothing of it when it raises."""
        pipe = RedisPipeline(self.client.pipeline(transaction=transaction))
        try:
            yield pipe
            pipe.results = await self._executed(pipe)
        finally:
            await pipe.reset()

    async def _executed(self, pipe: RedisPipeline) -> list[Any]:
        try:
            return cast("list[Any]", await pipe.execute())
        except TROUBLES as trouble:
            raise in_our_words(trouble, self.config, "the pipeline") from None

    def _driver(self, *, plain: bool) -> AsyncDriver:
        drivers = self._drivers.setdefault(asyncio.get_running_loop(), {})
        if plain not in drivers:
            drivers[plain] = AsyncDriver(self.config, plain=plain)
        return drivers[plain]
