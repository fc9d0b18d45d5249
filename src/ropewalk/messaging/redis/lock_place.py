"""A lock on the server: its keys, and everything that is asked about it.

1. Who asks takes the lock if it is free and nobody waits; else it stands in line and waits for a word of its own.
2. Who releases hands the lock to the first in line that still gives signs of life, and wakes that one alone.
3. A holder that dies lets the lock lapse; the first in line watches for that moment, the others only say they wait.
4. Each holder gets a fencing number larger than any before.
"""

import time
from dataclasses import dataclass

from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.errors import RedisUnavailable
from ropewalk.messaging.redis.talk import Block, Pause, Run, Talk, beside, script

_OUTAGE_SECONDS = 30.0
"""How long who waits in line bears a server that does not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    fencing_token: int
    until: float
    """By time.monotonic(): until then nobody else can have it."""


@dataclass(frozen=True, kw_only=True)
class LockPlace:
    """Names and settings; each method is a talk."""

    name: str
    expire: float
    config: RedisConfig

    def __post_init__(self) -> None:
        if self.expire <= 0:
            raise ValueError("A lock's expire must be above 0 seconds.")

    @property
    def key(self) -> str:
        return f"lock:{self.name}"

    @property
    def keys(self) -> list[str]:
        return [self.key, *(beside(self.key, what) for what in ("line", "alive", "fence"))]

    @property
    def wake(self) -> str:
        return beside(self.key, "wake:")

    @property
    def expire_ms(self) -> int:
        return max(1, round(self.expire * 1000))

    @property
    def alive_ms(self) -> int:
        return round(self.config.slice_seconds * 3000)

    def take(self, token: str, timeout: float | None) -> Talk[Held | None]:
        """Take it, waiting for up to ``timeout`` seconds (None: as long as it takes); None when it was not free."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        reached: float | None = None
        while True:
            began = time.monotonic()
            waits = began < deadline
            try:
                found = yield self._asked(token, waits=waits)
                reached = time.monotonic()
                if found[0]:
                    return Held(fencing_token=int(found[1]), until=began + self.expire)
                if not waits:
                    return None
                yield Block(("BLPOP", self.wake + token, self._patience(deadline, *found[1:])))
            except RedisUnavailable:
                now = time.monotonic()
                if reached is None or now - reached > _OUTAGE_SECONDS or now > deadline:
                    raise
                yield Pause(0.1)

    def release(self, token: str) -> Talk[bool]:
        """Let it go, or stop waiting for it; False when it was not this one's."""
        arguments = [token, self.expire_ms, self.alive_ms, self.wake]
        return bool((yield Run(script("release"), self.keys, arguments)))

    def renew(self, token: str) -> Talk[float | None]:
        """Hold it for longer; return until when, by time.monotonic(), or None when it is lost."""
        began = time.monotonic()
        held = yield Run(script("renew"), [self.key], [token, self.expire_ms])
        return began + self.expire if held else None

    def taken(self) -> Talk[bool]:
        return bool((yield ("EXISTS", self.key)))

    def _asked(self, token: str, *, waits: bool) -> Run:
        return Run(
            script("acquire"), self.keys, [token, self.expire_ms, "1" if waits else "", self.alive_ms, self.wake]
        )

    def _patience(self, deadline: float, lapses_ms: int, place: int) -> float:
        longest = self.config.slice_seconds
        if place == 0 and lapses_ms >= 0:
            longest = min(longest, lapses_ms / 1000 + 0.002)
        return round(max(0.001, min(longest, deadline - time.monotonic())), 4)
