"""A Redis server for a program: one pool of connections, typed errors, values that keep their types."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar, cast, overload
from weakref import WeakKeyDictionary

from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.driver import TROUBLES, AsyncDriver, SyncDriver, in_our_words
from ropewalk.messaging.redis.errors import NotReadable, RedisProblem
from ropewalk.messaging.redis.renewer import Renewer
from ropewalk.messaging.redis.talk import Argument, Talk, ask, text, then
from ropewalk.messaging.redis.values import dump, load

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What a server says of itself."""

    latency_seconds: float
    version: str
    role: str
    memory_bytes: int


class RedisPipeline:
    """Commands that are sent together when the `with` block ends, and not at all when it raises.

    Any command of the driver can be called on it (``pipe.set(...)``); its reply is in ``results`` after the block.
    """

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self.results: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)

    def __len__(self) -> int:
        return len(self._pipe)


class RedisClient:
    """A server, shared by threads; connections are made when they are first needed. Failures raise `RedisProblem`."""

    def __init__(self, config: RedisConfig | str | None = None) -> None:
        self.config = RedisConfig(config) if isinstance(config, str) else config or RedisConfig()
        self.driver = SyncDriver(self.config)
        self.renewer = Renewer()
        self._plain: SyncDriver | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def client(self) -> Any:
        """The driver's own client, for what is not here; it gives text unless ``decode_responses`` is off."""
        if self._plain is None:
            self._plain = SyncDriver(self.config, decode=self.config.decode_responses)
        return self._plain.redis

    def talk(self, talk: Talk[T]) -> T:
        return self.driver.converse(talk)

    def execute(self, *command: Argument) -> Any:
        """Carry out any command; the reply is raw (bytes, integers, lists)."""
        return self.talk(ask(*command))

    def connect(self) -> Self:
        """Make sure that the server can be reached now."""
        self.execute("PING")
        return self

    def close(self) -> None:
        self.driver.close()
        if self._plain is not None:
            self._plain.close()

    def get(self, key: str) -> str | None:
        """Return the text of a key, None when there is none. Raises `NotReadable` for bytes that are no text."""
        return self.talk(get(key))

    def get_bytes(self, key: str) -> bytes | None:
        return self.execute("GET", key)

    def set(self, key: str, value: Argument, expire: float | None = None) -> bool:
        """Store a value, for ``expire`` seconds if given."""
        return self.talk(put(key, value, expire))

    def delete(self, *keys: str) -> bool:
        """Say whether any of the keys was there."""
        return bool(self.execute("DEL", *keys))

    def exists(self, key: str) -> bool:
        return bool(self.execute("EXISTS", key))

    def set_json(self, key: str, value: Any, expire: float | None = None) -> bool:
        """Store a value with its types: datetime, bytes, tuples, sets, decimals; a pydantic model as its fields."""
        return self.talk(put(key, dump(value, f"The value of {key!r}"), expire))

    @overload
    def get_json(self, key: str, kind: type[T]) -> T | None: ...
    @overload
    def get_json(self, key: str, kind: None = None) -> Any: ...
    def get_json(self, key: str, kind: Any = None) -> Any:
        """Return what `set_json` stored, None when there is nothing; checked as a ``kind`` (a model, say) if given."""
        return self.talk(get_json(key, kind))

    def publish(self, channel: str, message: Any) -> int:
        """Send a message to those who listen now; return how many connections that were."""
        return self.execute("PUBLISH", channel, dump(message, f"The message for {channel!r}"))

    def health_check(self) -> bool:
        try:
            self.execute("PING")
        except RedisProblem:
            return False
        return True

    def health(self) -> Health:
        """Raise what is wrong, or say how the server is."""
        began = time.perf_counter()
        self.execute("PING")
        return told(self.execute("INFO"), time.perf_counter() - began)

    @contextmanager
    def pipeline(self, *, transaction: bool = True) -> Generator[RedisPipeline]:
        """Send all at once, as one transaction, when the block ends; nothing of it when it raises."""
        pipe = RedisPipeline(self.client.pipeline(transaction=transaction))
        try:
            yield pipe
            pipe.results = self._executed(pipe)
        finally:
            pipe.reset()

    def _executed(self, pipe: RedisPipeline) -> list[Any]:
        try:
            return cast("list[Any]", pipe.execute())
        except TROUBLES as trouble:
            raise in_our_words(trouble, self.config, "the pipeline") from None


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
        return self._driver(decode=False)

    @property
    def client(self) -> Any:
        """The driver's own client, for what is not here; it gives text unless ``decode_responses`` is off."""
        return self._driver(decode=True).redis

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

    def _driver(self, *, decode: bool) -> AsyncDriver:
        drivers = self._drivers.setdefault(asyncio.get_running_loop(), {})
        if decode not in drivers:
            drivers[decode] = AsyncDriver(self.config, decode=decode and self.config.decode_responses)
        return drivers[decode]


@lru_cache(maxsize=64)
def shared_client(config: RedisConfig) -> RedisClient:
    """Return the client that all of a process share who name no other."""
    return RedisClient(config)


@lru_cache(maxsize=64)
def shared_async_client(config: RedisConfig) -> AsyncRedisClient:
    """Return the client that all of a process share who name no other."""
    return AsyncRedisClient(config)


def the_client(client: RedisClient | None) -> RedisClient:
    return shared_client(RedisConfig()) if client is None else client


def the_async_client(client: AsyncRedisClient | None) -> AsyncRedisClient:
    return shared_async_client(RedisConfig()) if client is None else client


async def close_shared_client() -> None:
    """Close the connections of this loop that no client of one's own holds: call it before the loop ends."""
    await shared_async_client(RedisConfig()).close()


def get(key: str) -> Talk[str | None]:
    raw = yield ("GET", key)
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError as error:
        raise NotReadable(f"The value of {key!r}", f"{error.reason}; get_bytes() gives it as it is") from None


def put(key: str, value: Argument, expire: float | None) -> Talk[bool]:
    lasting = ("PX", max(1, round(expire * 1000))) if expire is not None else ()
    return then(ask("SET", key, value, *lasting), bool)


def get_json(key: str, kind: Any) -> Talk[Any]:
    raw = yield ("GET", key)
    return None if raw is None else load(raw, f"The value of {key!r}", kind)


def told(info: Any, latency: float) -> Health:
    lines = (line.partition(":") for line in text(info).splitlines())
    facts: Mapping[str, str] = {name: value for name, _, value in lines}
    return Health(
        latency_seconds=latency,
        version=facts.get("valkey_version") or facts.get("redis_version", "?"),
        role=facts.get("role", "?"),
        memory_bytes=int(facts.get("used_memory", 0)),
    )
