"""A rate limit on the server: its keys, and everything that is asked about it.

1. One atomic script decides, by the server's clock; what is refused is not counted, so that overload starves nobody.
2. Who waits reserves the next free moment, sleeps until then and goes: in the order of asking, with no second question.
3. Who comes later than its moment by more than a little (frozen, a busy machine) asks again: they do not pile up.
"""

import time
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from ropewalk.messaging.redis.talk import Pause, Run, Script, Talk, script

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
class LimitPlace:
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

    @cached_property
    def size(self) -> int:
        """How many may come at once."""
        return self.burst if self.burst is not None else max(1, int(self.rate))

    @cached_property
    def units(self) -> tuple[int, int]:
        """The size of a token, and how much of it goes out in a microsecond, as whole numbers."""
        share = Fraction(self.rate).limit_denominator(1_000_000) / round(self.period * 1_000_000)
        return share.denominator, share.numerator

    @cached_property
    def script(self) -> Script:
        return script("bucket" if self.algorithm == "token_bucket" else "window")

    @cached_property
    def settings(self) -> tuple[int, ...]:
        """What the script is told at each call, before cost and longest wait."""
        window = int(self.rate), round(self.period * 1_000_000)
        return (*self.units, self.size) if self.algorithm == "token_bucket" else window

    def key(self, key: str) -> str:
        """Name the key on the server; the algorithms keep different things."""
        return f"ratelimit:{self.prefix}:{key}" + (":window" if self.algorithm == "sliding_window" else "")

    def ask(self, key: str, cost: int, longest_wait: float | None) -> Talk[tuple[RateLimit, float]]:
        """Return the answer, and how many seconds to wait before going ahead."""
        if not 1 <= cost <= self.size:
            raise ValueError(f"cost is {cost}; it must be from 1 to {self.size}, or it could never be allowed.")
        longest = -1 if longest_wait is None else round(longest_wait * 1_000_000)
        allowed, wait, remaining, reset = yield Run(self.script, (self.key(key),), (*self.settings, cost, longest))
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
