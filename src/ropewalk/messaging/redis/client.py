"""A Redis server for threads: one pool of connections, typed errors, values that keep their types."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, cast, overload

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.driver import SyncDriver
from ropewalk.messaging.redis.keyspace import Health, RedisPipeline, get, get_json, put, told
from ropewalk.messaging.redis.renewer import Renewer
from ropewalk.messaging.redis.talk import Argument, Talk, ask
from ropewalk.messaging.redis.troubles import TROUBLES, in_our_words
from ropewalk.messaging.redis.values import dump

T = TypeVar("T")


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
            self._plain = SyncDriver(self.config, plain=True)
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
