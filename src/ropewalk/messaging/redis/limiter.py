"""Rate limits: so many in a period, over all processes that share a server, by the server's clock.

1. One atomic script decides; what is refused is not counted, so that overload starves nobody.
2. Who waits reserves the next free moment, sleeps until then and goes: in the order of asking, with no second question.
3. Who comes later than its moment by more than a little (frozen, a busy machine) asks again: they do not pile up.
"""

import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ropewalk.messaging.redis.client import AsyncRedisClient, RedisClient, the_async_client, the_client
from ropewalk.messaging.redis.talk import Pause, Run, Talk, script

Algorithm = Literal["token_bucket", "sliding_window"]
_LATE_SECONDS = 0.25
_LARGEST = 2**52
"""Lua's numbers count exactly as far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """What a limiter answered."""

    allowed: bool
    remaining: int
    """How many more would be allowed now."""
    retry_after: float
    """Seconds until one would be allowed; 0 when this one was."""
    reset_after: float
    """Seconds until all is free again."""


@dataclass(frozen=True, kw_only=True)
class LimiterPlace:
    """Names and settings; each method is a talk."""

    prefix: str
    rate: float
    period: float
    burst: int | None
    algorithm: Algorithm

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.period <= 0 or (self.burst is not None and self.burst < 1):
            raise ValueError("rate and period must be above 0, burst at least 1.")
        if self.algorithm not in ("token_bucket", "sliding_window"):
            raise ValueError(f"No algorithm {self.algorithm!r}: it is 'token_bucket' or 'sliding_window'.")
        if self.algorithm == "sliding_window" and (self.rate != int(self.rate) or self.burst is not None):
            raise ValueError("A sliding window takes a whole rate and no burst: all of it may come at once.")
        if self.algorithm == "token_bucket" and self.size * self.units[0] > _LARGEST:
            raise ValueError("rate x period is too large to count exactly: choose a shorter period.")

    @property
    def size(self) -> int:
        """How many may come at once."""
        return self.burst if self.burst is not None else max(1, int(self.rate))

    @property
    def units(self) -> tuple[int, int]:
        """The size of a token, and how much of it goes out in a microsecond, as whole numbers."""
        share = Fraction(self.rate).limit_denominator(1_000_000) / round(self.period * 1_000_000)
        return share.denominator, share.numerator

    def key(self, key: str) -> str:
        """Name the key on the server; the algorithms keep different things."""
        return f"ratelimit:{self.prefix}:{key}" + (":window" if self.algorithm == "sliding_window" else "")

    def ask(self, key: str, cost: int, longest_wait: float | None) -> Talk[tuple[RateLimit, float]]:
        """Return the answer, and how many seconds to wait before going ahead."""
        if not 1 <= cost <= self.size:
            raise ValueError(f"cost is {cost}; it must be from 1 to {self.size}, or it could never be allowed.")
        longest = -1 if longest_wait is None else round(longest_wait * 1_000_000)
        keys = [self.key(key)]
        if self.algorithm == "token_bucket":
            found = yield Run(script("bucket"), keys, [*self.units, self.size, cost, longest])
        else:
            period = round(self.period * 1_000_000)
            found = yield Run(script("window"), keys, [int(self.rate), period, cost, longest])
        allowed, wait, remaining, reset = found
        answer = RateLimit(
            allowed=bool(allowed) and not wait,
            remaining=remaining,
            retry_after=wait / 1_000_000,
            reset_after=reset / 1_000_000,
        )
        return answer, (wait / 1_000_000 if allowed else float("inf"))

    def check(self, key: str, cost: int) -> Talk[RateLimit]:
        return (yield from self.ask(key, cost, 0.0))[0]

    def wait(self, key: str, timeout: float | None, cost: int) -> Talk[bool]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            _, seconds = yield from self.ask(key, cost, left)
            asked = time.monotonic()
            if seconds == float("inf"):
                return False
            if seconds > 0:
                yield Pause(seconds)
                while time.monotonic() - asked < seconds:  # a timer may be early by its resolution
                    yield Pause(0.001)
            late = time.monotonic() - asked - seconds
            if late <= max(_LATE_SECONDS, self.period / self.rate):
                return True


class RedisRateLimiter:
    """At most ``rate`` in ``period`` seconds, for each key.

    ``token_bucket``: up to ``burst`` (``rate`` if not given) at once, then evenly. ``sliding_window``: never more than
    ``rate`` in any span of ``period``. A key that rests is forgotten by the server.
    """

    def __init__(
        self,
        prefix: str,
        rate: float = 10,
        period: float = 1,
        redis_client: RedisClient | None = None,
        *,
        algorithm: Algorithm = "token_bucket",
        burst: int | None = None,
    ) -> None:
        self._client = the_client(redis_client)
        self._place = LimiterPlace(prefix=prefix, rate=rate, period=period, burst=burst, algorithm=algorithm)

    def is_allowed(self, key: str, cost: int = 1) -> bool:
        """Say whether one more may go ahead now, and count it if so."""
        return self.check(key, cost).allowed

    def check(self, key: str, cost: int = 1) -> RateLimit:
        """`is_allowed`, with what remains and when to ask again."""
        return self._client.talk(self._place.check(key, cost))

    def wait(self, key: str, timeout: float | None = None, cost: int = 1) -> bool:
        """Wait for one's turn, in the order of asking; False, and at once, when that would take over ``timeout``."""
        return self._client.talk(self._place.wait(key, timeout, cost))

    def reset(self, key: str) -> None:
        """Forget what was counted."""
        self._client.delete(self._place.key(key))


class AsyncRedisRateLimiter:
    """`RedisRateLimiter` for tasks. A `wait` that is cancelled has used its turn."""

    def __init__(
        self,
        prefix: str,
        rate: float = 10,
        period: float = 1,
        redis_client: AsyncRedisClient | None = None,
        *,
        algorithm: Algorithm = "token_bucket",
        burst: int | None = None,
    ) -> None:
        self._client = the_async_client(redis_client)
        self._place = LimiterPlace(prefix=prefix, rate=rate, period=period, burst=burst, algorithm=algorithm)

    async def is_allowed(self, key: str, cost: int = 1) -> bool:
        """Say whether one more may go ahead now, and count it if so."""
        return (await self.check(key, cost)).allowed

    async def check(self, key: str, cost: int = 1) -> RateLimit:
        """`is_allowed`, with what remains and when to ask again."""
        return await self._client.talk(self._place.check(key, cost))

    async def wait(self, key: str, timeout: float | None = None, cost: int = 1) -> bool:  # noqa: ASYNC109
        """Wait for one's turn, in the order of asking; False, and at once, when that would take over ``timeout``."""
        return await self._client.talk(self._place.wait(key, timeout, cost))

    async def reset(self, key: str) -> None:
        """Forget what was counted."""
        await self._client.delete(self._place.key(key))
