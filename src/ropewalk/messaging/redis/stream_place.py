"""A stream on the server: its keys, its settings, and everything that is asked about it."""

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from ropewalk.errors import RedisRefused
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.stream_messages import (
    DeadLetter,
    Outcome,
    StreamMessage,
    StreamStats,
    Taken,
    Turn,
    as_arguments,
    as_letter,
    as_taken,
)
from ropewalk.messaging.redis.talk import Ask, Batch, Command, Run, Talk, beside, script, text
from ropewalk.messaging.redis.troubles import in_our_words, is_trouble
from ropewalk.messaging.redis.values import dump, load

_LONGEST_BACKOFF_SECONDS = 300.0
_PAGE = 100


def unique_consumer(name: str) -> str:
    return f"{name}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass(frozen=True, kw_only=True)
class StreamPlace:
    """Names and settings; each method is a talk."""

    name: str
    lease: float
    max_attempts: int
    backoff: float
    maxlen: int | None
    max_age: float | None
    kind: Any
    """What the data of a message is checked as when it is read; None: as it comes."""
    config: RedisConfig

    def __post_init__(self) -> None:
        if self.lease <= 0 or self.max_attempts < 1 or self.backoff < 0 or (self.maxlen or 1) < 1:
            raise ValueError("lease and maxlen must be above 0, max_attempts at least 1, backoff not below 0.")

    @property
    def dead(self) -> str:
        return beside(self.name, "dead")

    def keys(self, group: str) -> Sequence[str]:
        """Return stream, workers, waiting, attempts, dead, pulse, batched."""
        return _keys(self.name, group)

    def adding(self, data: Any) -> Ask:
        raw = dump(data, f"The message for stream {self.name!r}")
        if self.max_age is not None:
            return Run(script("add"), [self.name], [raw, round(self.max_age * 1000), self.maxlen or ""])
        bound: Command = ("MAXLEN", "~", self.maxlen) if self.maxlen is not None else ()
        return ("XADD", self.name, *bound, "*", "data", raw)

    def add(self, data: Any) -> Talk[str]:
        return text((yield self.adding(data)))

    def add_many(self, many: Sequence[Any]) -> Talk[list[str]]:
        """Add in few round trips; nothing is added when one of them cannot be encoded."""
        asked = [self.adding(data) for data in many]
        if self.max_age is not None:
            ids: list[str] = []
            for one in asked:
                ids.append(text((yield one)))
            return ids
        return [text(reply) for reply in (yield from self._all(cast("list[Command]", asked)))]

    def read(self, count: int, last_id: str) -> Talk[list[StreamMessage]]:
        found = yield ("XREAD", "COUNT", count, "STREAMS", self.name, last_id)
        return self._messages(found)

    def read_blocking(self, count: int, last_id: str, seconds: float) -> Talk[list[StreamMessage]]:
        milliseconds = max(1, round(seconds * 1000))
        found = yield ("XREAD", "COUNT", count, "BLOCK", milliseconds, "STREAMS", self.name, last_id)
        return self._messages(found)

    def end(self) -> Talk[str]:
        """Return the id of the newest entry: what "$" means now."""
        found = yield ("XREVRANGE", self.name, "+", "-", "COUNT", 1)
        return text(found[0][0]) if found else "0"

    def create_group(self, group: str, start_id: str) -> Talk[bool]:
        try:
            yield ("XGROUP", "CREATE", self.name, group, start_id, "MKSTREAM")
        except RedisRefused as refused:
            if "BUSYGROUP" not in str(refused):
                raise
        return True

    def turn(
        self, group: str, consumer: str, outcomes: Sequence[Outcome], *, room: int, new: int, alone: bool, checks: bool
    ) -> Talk[Turn]:
        """Settle, and take up to ``room`` that are due again, or else up to ``new`` new ones.

        ``checks``: what is done may have gone to another worker meanwhile.
        """
        arguments: list[Any] = [group, consumer, self.max_attempts, round(self.backoff * 1000)]
        arguments += [round(_LONGEST_BACKOFF_SECONDS * 1000), room, new, "1" if alone else "", "1" if checks else ""]
        arguments += as_arguments(outcomes)
        found = yield Run(script("turn"), self.keys(group)[:5], arguments)
        taken = [as_taken(*entry) for entry in found[1]] or [as_taken(number, parts, 0) for number, parts in found[5]]
        due = found[2] / 1000 if found[2] >= 0 else None
        return Turn([text(one) for one in found[0]], taken, due, found[3], bool(found[4]))

    def wait_for_new(self, group: str, consumer: str, count: int, seconds: float) -> Talk[list[Taken]]:
        milliseconds = max(1, round(seconds * 1000))
        place = ("COUNT", count, "BLOCK", milliseconds, "STREAMS", self.name, ">")
        found = yield ("XREADGROUP", "GROUP", group, consumer, *place)
        return [as_taken(number, parts, 0) for number, parts in found[0][1]] if found else []

    def own_history(self, group: str, consumer: str, count: int, last_id: str) -> Talk[list[StreamMessage]]:
        found = yield ("XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", self.name, last_id)
        return self._messages(found)

    def beat(self, group: str, consumer: str, *, held: int, batched: bool) -> Talk[list[str]]:
        """Give a sign of life; return ids that are this worker's for so long that it should have heard of them."""
        idle = round((self.config.socket_timeout + self.config.slice_seconds) * 2000)
        arguments = [group, consumer, round(self.lease * 1000), self.max_attempts, "1" if batched else "", idle, held]
        found = yield Run(script("beat"), self.keys(group), arguments)
        return [text(one) for one in found[1]]

    def recall(self, group: str, consumer: str, ids: Sequence[str]) -> Talk[int]:
        return (yield Run(script("recall"), [self.name, self.keys(group)[2]], [group, consumer, *ids]))

    def leave(self, group: str, consumer: str) -> Talk[int]:
        stream, workers, waiting, _, _, _, batched = self.keys(group)
        return (yield Run(script("leave"), [stream, workers, waiting, batched], [group, consumer]))

    def trim(self) -> Talk[int]:
        """Let go of what every group has finished."""
        return (yield Run(script("trim"), [self.name], []))

    def dead_letters(self, count: int | None, after: str) -> Talk[list[DeadLetter]]:
        letters: list[DeadLetter] = []
        start = f"({after}" if after != "0" else "-"
        while count is None or len(letters) < count:
            page = _PAGE if count is None else min(_PAGE, count - len(letters))
            found = yield ("XRANGE", self.dead, start, "+", "COUNT", page)
            letters += [as_letter(text(number), parts) for number, parts in found]
            if len(found) < page:
                break
            start = f"({letters[-1].id}"
        return letters

    def replay_dead_letters(self, ids: Sequence[str] | None) -> Talk[list[str]]:
        if ids is None:
            ids = [letter.id for letter in (yield from self.dead_letters(None, "0"))]
        new: list[str] = []
        for start in range(0, len(ids), _PAGE):
            page = list(ids[start : start + _PAGE])
            new += [text(one) for one in (yield Run(script("replay"), [self.name, self.dead], page))]
        return new

    def stats(self, group: str | None) -> Talk[StreamStats]:
        keys = self.keys(group or "")
        seconds, _ = yield ("TIME",)
        asked: list[Command] = [("XLEN", self.name), ("XLEN", self.dead), ("ZCARD", keys[2])]
        asked.append(("ZCOUNT", keys[1], int(seconds) * 1000, "+inf"))
        length, dead, waiting, workers = yield from self._all(asked)
        about: dict[str, Any] = {}
        if length or group:
            try:
                for facts in (yield ("XINFO", "GROUPS", self.name)):
                    named = {text(facts[i]): facts[i + 1] for i in range(0, len(facts), 2)}
                    about = named if text(named["name"]) == group else about
            except RedisRefused as refused:
                if "no such key" not in str(refused):
                    raise
        lag = about.get("lag")
        if lag is None and about and _order((yield from self.end())) <= _order(text(about["last-delivered-id"])):
            lag = 0  # a server that does not count (Redis 6), or that lost count, still has nothing newer
        return StreamStats(
            length=length,
            lag=None if lag is None else int(lag),
            pending=int(about.get("pending", 0)),
            waiting=waiting,
            dead=dead,
            workers=workers,
        )

    def data(self, taken: Taken) -> Any:
        """Raise `NotReadable` when the entry's data is not what it should be."""
        return load(taken.raw, f"Message {taken.id} of stream {self.name!r}", self.kind)

    def _messages(self, found: Any) -> list[StreamMessage]:
        entries: list[tuple[bytes, list[bytes]]] = found[0][1] if found else []
        taken = [as_taken(number, parts, 0) for number, parts in entries if parts]
        return [StreamMessage(id=one.id, data=self.data(one)) for one in taken]

    def _all(self, commands: Sequence[Command]) -> Talk[list[Any]]:
        batch = Batch(commands)
        found: list[Any] = yield batch
        for reply in found:
            if is_trouble(reply):
                raise in_our_words(reply, self.config, batch)
        return found


@lru_cache(maxsize=256)
def _keys(name: str, group: str) -> tuple[str, ...]:
    own = [beside(name, f"{group}:{what}") for what in ("workers", "waiting", "attempts", "pulse", "batched")]
    return (name, *own[:3], beside(name, "dead"), *own[3:])


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in entry_id.split("-"))
