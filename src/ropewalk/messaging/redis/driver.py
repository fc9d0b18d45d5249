"""The one place that touches redis-py: connections, raw replies, and its errors in our words."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, cast

from ropewalk.errors import PartMissing
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.errors import (
    RedisDenied,
    RedisFull,
    RedisProblem,
    RedisRefused,
    RedisUnavailable,
    WrongKind,
)
from ropewalk.messaging.redis.talk import Argument, Ask, Batch, Block, Command, Pause, Run, Script, Talk, text

try:
    import redis
    import redis.asyncio
    import redis.asyncio.cluster
    import redis.asyncio.retry
    import redis.asyncio.sentinel
    import redis.backoff
    import redis.cluster
    import redis.exceptions
    import redis.retry
    import redis.sentinel
except ImportError as error:  # pragma: no cover
    raise PartMissing("Messaging with Redis", "redis") from error

T = TypeVar("T")
TROUBLES = (redis.exceptions.RedisError, OSError)
_UNAVAILABLE = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
_DENIED = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)
_AGAIN = frozenset({"GET", "EXISTS", "PING", "INFO", "TIME", "XLEN", "XRANGE", "XREVRANGE", "XREAD", "XINFO"})
_OF_THE_DRIVER = ("CLUSTER", "COMMAND", "SENTINEL")
"""What the driver asks for its own use, and needs in its own shape."""
_NOT_NOW = ("LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "UNBLOCKED", "BUSY ")


class SyncDriver:
    """Connections for threads."""

    def __init__(self, config: RedisConfig, *, decode: bool = False) -> None:
        self.config = config
        self.redis: Any = _connected(config, decode=decode, asynchronous=False)
        if not decode:
            _give_raw_replies(self.redis)

    def converse(self, talk: Talk[T]) -> T:
        """Drive a talk to its end. Raises `RedisProblem`, and what the talk raises."""
        try:
            asked = talk.send(None)
            while True:
                try:
                    reply = self.answer(asked)
                except RedisProblem as problem:
                    asked = talk.throw(problem)
                else:
                    asked = talk.send(reply)
        except StopIteration as done:
            return done.value

    def answer(self, asked: Ask) -> Any:
        try:
            return self._answer(asked)
        except TROUBLES as trouble:
            if not _may_be_asked_again(trouble, asked):
                raise in_our_words(trouble, self.config, asked) from None
        try:
            return self._answer(asked)
        except TROUBLES as trouble:
            raise in_our_words(trouble, self.config, asked) from None

    def _answer(self, asked: Ask) -> Any:
        match asked:
            case Run(script, keys, arguments):
                return self._run(script, keys, arguments)
            case Batch(commands, atomic):
                return _piped(self.redis, commands, atomic=atomic).execute(raise_on_error=False)
            case Pause(seconds):
                return time.sleep(seconds)
            case Block(command):
                return self.redis.execute_command(*command)
            case _:
                return self.redis.execute_command(*asked)

    def listener(self) -> "SyncListener":
        return SyncListener(self)

    def close(self) -> None:
        self.redis.close()
        if pool := getattr(self.redis, "connection_pool", None):
            pool.disconnect()

    def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        try:
            return self.redis.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except redis.exceptions.NoScriptError:
            return self.redis.execute_command("EVAL", script.text, len(keys), *keys, *arguments)


class AsyncDriver:
    """Connections for the tasks of one event loop."""

    def __init__(self, config: RedisConfig, *, decode: bool = False) -> None:
        self.config = config
        self.redis: Any = _connected(config, decode=decode, asynchronous=True)
        if not decode:
            _give_raw_replies(self.redis)

    async def converse(self, talk: Talk[T]) -> T:
        """Drive a talk to its end. Raises `RedisProblem`, and what the talk raises."""
        try:
            asked = talk.send(None)
            while True:
                try:
                    reply = await self.answer(asked)
                except RedisProblem as problem:
                    asked = talk.throw(problem)
                else:
                    asked = talk.send(reply)
        except StopIteration as done:
            return done.value

    async def answer(self, asked: Ask) -> Any:
        try:
            return await self._answer(asked)
        except TROUBLES as trouble:
            if not _may_be_asked_again(trouble, asked):
                raise in_our_words(trouble, self.config, asked) from None
        try:
            return await self._answer(asked)
        except TROUBLES as trouble:
            raise in_our_words(trouble, self.config, asked) from None

    async def _answer(self, asked: Ask) -> Any:
        match asked:
            case Run(script, keys, arguments):
                return await self._run(script, keys, arguments)
            case Batch(commands, atomic):
                return await _piped(self.redis, commands, atomic=atomic).execute(raise_on_error=False)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Block(command):
                return await self.redis.execute_command(*command)
            case _:
                return await self.redis.execute_command(*asked)

    def listener(self) -> "AsyncListener":
        return AsyncListener(self)

    async def close(self) -> None:
        await self.redis.aclose()
        if pool := getattr(self.redis, "connection_pool", None):
            await pool.disconnect()

    async def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        try:
            return await self.redis.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except redis.exceptions.NoScriptError:
            return await self.redis.execute_command("EVAL", script.text, len(keys), *keys, *arguments)


class Heard(NamedTuple):
    """What came over a subscribed connection."""

    kind: str
    """``message``, ``pmessage``, ``subscribe``, ``psubscribe``, ``unsubscribe``, ``punsubscribe``."""
    name: str
    """The channel or pattern that was subscribed to."""
    channel: str
    data: bytes


class SyncListener:
    """One connection that is subscribed; of one thread."""

    def __init__(self, driver: SyncDriver) -> None:
        self._config = driver.config
        self._pubsub: Any = driver.redis.pubsub()

    def ask(self, verb: str, names: Sequence[str]) -> None:
        """Ask for ``subscribe``, ``psubscribe`` or their opposites; the answer is heard later."""
        try:
            getattr(self._pubsub, verb)(*names)
        except TROUBLES as trouble:
            raise in_our_words(trouble, self._config, verb) from None

    def hear(self, seconds: float) -> Heard | None:
        try:
            return _heard(self._pubsub.get_message(timeout=seconds))
        except TROUBLES as trouble:
            raise in_our_words(trouble, self._config, "listening") from None

    def close(self) -> None:
        self._pubsub.close()


class AsyncListener:
    """One connection that is subscribed; of one task."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._config = driver.config
        self._pubsub: Any = driver.redis.pubsub()

    async def ask(self, verb: str, names: Sequence[str]) -> None:
        """Ask for ``subscribe``, ``psubscribe`` or their opposites; the answer is heard later."""
        try:
            await getattr(self._pubsub, verb)(*names)
        except TROUBLES as trouble:
            raise in_our_words(trouble, self._config, verb) from None

    async def hear(self, seconds: float) -> Heard | None:
        try:
            return _heard(await self._pubsub.get_message(timeout=seconds))
        except TROUBLES as trouble:
            raise in_our_words(trouble, self._config, "listening") from None

    async def close(self) -> None:
        await self._pubsub.aclose()


def _heard(message: Any) -> Heard | None:
    if message is None:
        return None
    data = message["data"]
    name, channel = message["pattern"] or message["channel"], message["channel"]
    return Heard(message["type"], text(name), text(channel), data if isinstance(data, bytes) else b"")


def in_our_words(trouble: BaseException, config: RedisConfig, asked: Ask | str) -> RedisProblem:
    """Return one of our errors for one of the driver's; no secret is in it."""
    why = " ".join(str(trouble).split()) or type(trouble).__name__
    for secret in config.secrets:
        why = why.replace(secret, "***")
    what = asked if isinstance(asked, str) else _name(asked)
    if isinstance(trouble, _DENIED) or why.startswith(("NOAUTH", "NOPERM", "WRONGPASS")):
        return RedisDenied(config.shown, what, why)
    if isinstance(trouble, _UNAVAILABLE) or why.startswith(_NOT_NOW):
        return RedisUnavailable(config.shown, why.rstrip("."))
    if "WRONGTYPE" in why:
        return WrongKind(config.shown, what, why)
    if isinstance(trouble, redis.exceptions.OutOfMemoryError) or "OOM " in why:
        return RedisFull(config.shown, what, why)
    return RedisRefused(config.shown, what, why)


def _may_be_asked_again(trouble: BaseException, asked: Ask) -> bool:
    """Whether it was a pooled connection that broke while nobody looked, and twice is the same as once."""
    lost = isinstance(trouble, redis.exceptions.ConnectionError | ConnectionError)
    return lost and type(asked) is tuple and asked[0] in _AGAIN


def is_trouble(reply: object) -> bool:
    """Whether a reply in a batch is an error."""
    return isinstance(reply, redis.exceptions.RedisError)


def _name(asked: Ask) -> str:
    match asked:
        case Run(script):
            return f"the script {script.name}"
        case Batch():
            return "a batch"
        case Pause():
            return "a pause"
        case Block(command):
            return str(command[0])
        case _:
            return str(asked[0])


def _piped(client: Any, commands: Sequence[Command], *, atomic: bool) -> Any:
    pipe = client.pipeline(transaction=atomic)
    for command in commands:
        pipe.execute_command(*command)
    return pipe


def _give_raw_replies(client: Any) -> None:
    """Have the driver reshape nothing: its shapes differ between its versions and protocols."""
    for table in ("response_callbacks", "cluster_response_callbacks"):
        callbacks: Any = getattr(client, table, None) or {}
        for name in [name for name in callbacks if not str(name).upper().startswith(_OF_THE_DRIVER)]:
            del callbacks[name]


def _connected(config: RedisConfig, *, decode: bool, asynchronous: bool) -> Any:
    """Return redis-py's client, which connects when it is first used."""
    home = cast("Any", redis.asyncio if asynchronous else redis)
    settings = _settings(config, decode=decode, asynchronous=asynchronous)
    if config.sentinels:
        makes = cast("Any", redis.asyncio.sentinel if asynchronous else redis.sentinel).Sentinel
        asked = {"socket_timeout": config.socket_timeout, "protocol": 2, "password": config.sentinel_password}
        sentinel = makes(config.sentinels, sentinel_kwargs=asked, **settings, **_tls(config), db=config.db)
        return sentinel.master_for(config.sentinel_service)
    if config.cluster:
        makes = cast("Any", redis.asyncio.cluster if asynchronous else redis.cluster).RedisCluster
        if config.url is not None:
            return makes.from_url(config.url, **settings, **_tls(config))
        return makes(host=config.host, port=config.port, **settings, **_tls(config))
    if config.url is not None:
        return home.Redis(connection_pool=home.ConnectionPool.from_url(config.url, **settings, **_tls(config)))
    return home.Redis(host=config.host, port=config.port, db=config.db, **settings, **_tls(config))


def _settings(config: RedisConfig, *, decode: bool, asynchronous: bool) -> dict[str, Any]:
    """What is the same however the server is found. Trying again is ours to decide: the driver must not."""
    retry = cast("Any", redis.asyncio.retry if asynchronous else redis.retry).Retry(redis.backoff.NoBackoff(), 0)
    settings: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": decode,
        "socket_timeout": config.socket_timeout,
        "socket_connect_timeout": config.socket_connect_timeout,
        "max_connections": config.max_connections,
        "retry": retry,
    }
    if not (config.url or "").startswith("unix"):
        settings["socket_keepalive"] = config.socket_keepalive
    settings |= {name: value for name in ("username", "password") if (value := getattr(config, name)) is not None}
    return settings


def _tls(config: RedisConfig) -> dict[str, Any]:
    by_url = (config.url or "").startswith("rediss")
    if not (config.ssl or by_url):
        return {}
    settings: dict[str, Any] = {"ssl_cert_reqs": config.ssl_cert_reqs}
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if value := getattr(config, name):
            settings[name] = value
    return settings if by_url else {"ssl": True, **settings}
