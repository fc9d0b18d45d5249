"""Puts a message's chunks in order, as the contract's pods do: pure, one `Ordering` a message, `Orderings` for a pod.

A chunk is let through when all before it were; of two with one number the first counts. A message is complete when its
last chunk was let through; after that nothing of it counts.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderingLimits:
    """What a pod keeps while chunks are missing."""

    messages: int = 10_000
    chunks: int = 10_000
    """Of one message, out of order."""
    max_age_seconds: float = 300.0
    missing_seconds: float = 30.0
    """How long a message waits for a chunk that is missing."""
    cleanup_seconds: float = 0.0
    """How long apart it is looked for what is old."""


class Ordering(Generic[T]):
    """The chunks of one message."""

    def __init__(self, now: float, *, first: int = 0) -> None:
        self.next = first
        """The number that is let through next."""
        self.is_complete = False
        self.heard_at = now
        """When the newest chunk came."""
        self._waiting: dict[int, tuple[T, bool]] = {}

    @property
    def missing(self) -> bool:
        """Tell whether chunks wait for one that has not come."""
        return bool(self._waiting)

    def take(self, chunk_id: int, chunk: T, *, is_final: bool, now: float) -> list[T]:
        """Return what is let through now, in order."""
        self.heard_at = now
        if self.is_complete or chunk_id < self.next or chunk_id in self._waiting:
            return []
        self._waiting[chunk_id] = (chunk, is_final)
        through: list[T] = []
        while self.next in self._waiting and not self.is_complete:
            found, ends = self._waiting.pop(self.next)
            through.append(found)
            self.next += 1
            self.is_complete = ends
        if self.is_complete:
            self._waiting.clear()
        return through

    def is_full(self, limits: OrderingLimits) -> bool:
        return len(self._waiting) >= limits.chunks


class Orderings(Generic[T]):
    """The messages of a pod, as many as it may keep; what is complete is remembered for a while, so that a late chunk
    does not begin it again.
    """

    def __init__(self, limits: OrderingLimits | None = None) -> None:
        self.limits = limits or OrderingLimits()
        self._kept: OrderedDict[str, Ordering[T]] = OrderedDict()
        self.refused = 0
        """Chunks that there was no room for."""

    def __len__(self) -> int:
        """Return how many messages are under way."""
        return sum(not one.is_complete for one in self._kept.values())

    def forget_begun(self, message_id: str) -> None:
        """Let a message of which something was let through begin again."""
        if message_id in self._kept and self._kept[message_id].next:
            del self._kept[message_id]

    def take(self, message_id: str, chunk_id: int, chunk: T, *, is_final: bool, now: float) -> list[T]:
        """Return what is let through now, in order."""
        found = self._kept.get(message_id)
        if found is None:
            if len(self._kept) >= self.limits.messages and not self._make_room():
                self.refused += 1
                return []
            found = self._kept[message_id] = Ordering(now)
        if chunk_id > found.next and found.is_full(self.limits):
            self.refused += 1
            return []
        self._kept.move_to_end(message_id)
        return found.take(chunk_id, chunk, is_final=is_final, now=now)

    def _make_room(self) -> bool:
        """Forget the oldest message that is complete; False: all of them are under way."""
        done = next((message_id for message_id, one in self._kept.items() if one.is_complete), None)
        if done is not None:
            del self._kept[done]
        return done is not None

    def given_up(self, now: float) -> list[str]:
        """Forget what is old; return the messages that waited for a chunk in vain."""
        lost: list[str] = []
        for message_id, one in [*self._kept.items()]:
            quiet = now - one.heard_at
            if one.missing and quiet > self.limits.missing_seconds:
                lost.append(message_id)
                del self._kept[message_id]
            elif quiet > self.limits.max_age_seconds:
                del self._kept[message_id]
        return lost
