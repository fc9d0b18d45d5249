"""A connection that is subscribed: what it is asked, and what comes over it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ropewalk.messaging.redis.driver import AsyncDriver, SyncDriver
from ropewalk.messaging.redis.talk import text
from ropewalk.messaging.redis.troubles import TROUBLES, in_our_words


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
