"""A lock on the server: its keys, and everything that is asked about it.

1. Who asks takes the lock if it is free and nobody waits; else it stands in line and waits for a word of its own.
2. Who releases hands the lock to the first in line that still gives signs of life, and wakes that one alone.
3. A holder that dies lets the lock lapse; the first in line watches for that moment, the others look a little later.
4. Each holder gets a fencing number larger than any before.
"""

import time
from dataclasses import dataclass
from functools import cached_property

from ropewalk.errors import RedisUnavailable
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.talk import Pause, Run, Talk, beside, script

_OUTAGE_SECONDS = 30.0
"""How long who waits in line bears a server that does not answer."""
_PAUSE_SECONDS = 0.1
_BEHIND_SECONDS = 0.1
"""How much later than the first in line the others look whether the holder's lease ended, should the first be dead."""
_SIGNS = 3
"""After how many signs of life that did not come who waits in line is passed over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A lock that is held."""

    token: str
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

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Return lock, line, alive, fence; a waiter's wake key is beside them."""
        key = f"lock:{self.name}"
        return (key, *(beside(key, what) for what in ("line", "alive", "fence")))

    @cached_property
    def expire_ms(self) -> int:
        return max(1, round(self.expire * 1000))

    def take(self, token: str, timeout: float | None) -> Talk[Held | None]:
        """Take it, waiting for up to ``timeout`` seconds (None: as long as it takes); None when it was not free."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        reached: float | None = None
        waits = False
        while True:
            began = time.monotonic()
            try:
                found = yield self._asked(token, waits=waits)
                reached = time.monotonic()
                if found[0]:
                    return Held(token=token, fencing_token=int(found[1]), until=began + self.expire)
                if reached >= deadline:
                    if waits:
                        yield from self.release(token)
                    return None
                if waits:
                    yield ("BLPOP", beside(self.keys[0], f"wake:{token}"), self._patience(deadline, *found[1:]))
                waits = True
            except RedisUnavailable:
                now = time.monotonic()
                if reached is None or now - reached > _OUTAGE_SECONDS or now > deadline:
                    raise
                yield Pause(_PAUSE_SECONDS)

    def release(self, token: str) -> Talk[bool]:
        """Let it go, or stop waiting for it; False when it was not this one's."""
        return bool((yield Run(script("release", "give"), self.keys, (token,))))

    def renew(self, token: str) -> Talk[float | None]:
        """Hold it for longer; return until when, by time.monotonic(), or None when it is lost."""
        began = time.monotonic()
        held = yield Run(script("renew"), self.keys[:1], (token, self.expire_ms))
        return began + self.expire if held else None

    def taken(self) -> Talk[bool]:
        return bool((yield ("EXISTS", self.keys[0])))

    def _asked(self, token: str, *, waits: bool) -> Run:
        alive = (round(self.config.slice_seconds * _SIGNS * 1000),) if waits else ()
        return Run(script("acquire", "give"), self.keys, (token, self.expire_ms, *alive))

    def _patience(self, deadline: float, lapses_ms: int, place: int) -> float:
        """Return how long to wait for a word: to the end of the holder's lease, the first in line a little less."""
        longest = self.config.slice_seconds
        if lapses_ms >= 0:
            longest = min(longest, lapses_ms / 1000 + (_BEHIND_SECONDS if place else 0.002))
        return round(max(0.001, min(longest, deadline - time.monotonic())), 4)
