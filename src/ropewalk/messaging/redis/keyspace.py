"""What is asked about single keys, and what a server says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ropewalk.errors import NotReadable
from ropewalk.messaging.redis.talk import Argument, Talk, ask, text, then
from ropewalk.messaging.redis.values import load


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
    """Read the reply to INFO."""
    lines = (line.partition(":") for line in text(info).splitlines())
    facts: Mapping[str, str] = {name: value for name, _, value in lines}
    return Health(
        latency_seconds=latency,
        version=facts.get("valkey_version") or facts.get("redis_version", "?"),
        role=facts.get("role", "?"),
        memory_bytes=int(facts.get("used_memory", 0)),
    )
