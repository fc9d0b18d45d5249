"""What is asked of a server, told as a generator, so that the sync and the async forms share every decision.

A talk yields what it asks (a command, a script, a batch, a pause) and is sent the raw reply; what it returns is the
result. A client drives it: `RedisClient.talk` and `AsyncRedisClient.talk` differ in how they wait, and in nothing else.
"""

import hashlib
from collections.abc import Callable, Generator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Argument = str | bytes | int | float
Command = tuple[Argument, ...]


class Script(NamedTuple):
    """A Lua script of lua/, by its name and hash."""

    name: str
    text: str
    sha: str


class Run(NamedTuple):
    """Run a script; the reply is what it returns."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]


class Batch(NamedTuple):
    """Commands in one round trip; the reply is a list of replies, in which errors stand as themselves."""

    commands: Sequence[Command]


class Pause(NamedTuple):
    seconds: float


Ask = Command | Run | Batch | Pause
Talk = Generator[Ask, Any, T]


@cache
def script(name: str, *before: str) -> Script:
    """Return lua/``name``.lua, with the files named in ``before`` in front of it: functions that it calls."""
    lua = files("ropewalk.messaging.redis").joinpath("lua")
    text = "\n".join(lua.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in (*before, name))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def ask(*command: Argument) -> Talk[Any]:
    """Ask one command."""
    return (yield command)


def then(talk: Talk[Any], change: Callable[[Any], T]) -> Talk[T]:
    """Have a talk, and return its result changed."""
    return change((yield from talk))


def beside(key: str, suffix: str) -> str:
    """Name a key that a cluster keeps in the same place as ``key``."""
    start = key.find("{")
    tagged = start >= 0 and key.find("}", start) > start + 1
    return f"{key}:{suffix}" if tagged else f"{{{key}}}:{suffix}"


def text(raw: bytes | str | None) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw or ""
