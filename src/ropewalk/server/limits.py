"""How often one may ask, and how many streams one may hold open.

Each asker has a bucket that fills evenly; asking takes from it. What an empty bucket says is when to ask again. The
buckets are in this process, or where all servers share them (`Throttle`); while that is away, in this process.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ropewalk.contracts.throttle import Throttle
from ropewalk.errors import LimitReached

_BUCKETS_KEPT = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestLimits:
    """What one asker may do. None: no limit."""

    requests_per_second: float | None = None
    burst: float | None = None
    """How much may come at once; two seconds' worth if None."""
    streams_per_user: int | None = 200
    streams: int | None = 10_000


class Limiter:
    """Counts what askers do."""

    def __init__(
        self,
        limits: RequestLimits | None = None,
        *,
        throttle: Throttle | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``throttle`` counts requests for all servers."""
        self.limits = limits or RequestLimits()
        self._throttle = throttle
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """Asker -> what was in the bucket, and when."""

    async def ask(self, asker: str) -> None:
        """Take one request from the asker's bucket. Raises `LimitReached`."""
        rate = self.limits.requests_per_second
        if rate is not None:
            await self._take(asker, rate, self.limits.burst or max(1.0, 2 * rate), "requests per second of one user")

    async def ask_address(self, address: str) -> None:
        """Take one request from an address's bucket, ten times as large: it stands before who sent it is known."""
        rate = self.limits.requests_per_second
        if rate is not None:
            burst = 10 * (self.limits.burst or max(1.0, 2 * rate))
            await self._take(f"address {address}", 10 * rate, burst, "requests per second of one address")

    def check_streams(self, readers: Iterable[Any], owner: str | None) -> None:
        """Raise `LimitReached` when there are as many streams as may be, in all or of one owner."""
        held = [*readers]
        most = self.limits.streams
        if most is not None and len(held) >= most:
            raise LimitReached("open streams", most, setting="the limit of streams", retry_after_seconds=5)
        mine = self.limits.streams_per_user
        if owner is not None and mine is not None and sum(one.owner == owner for one in held) >= mine:
            raise LimitReached("open streams of one user", mine, setting="--streams-per-user", retry_after_seconds=5)

    async def close(self) -> None:
        """Let go of what is shared with other servers."""
        if self._throttle is not None:
            await self._throttle.close()

    async def _take(self, asker: str, rate: float, burst: float, what: str) -> None:
        wait = None if self._throttle is None else await self._throttle.take(asker, rate=rate, burst=burst)
        if wait is None:
            wait = self._take_here(asker, rate, burst)
        if wait > 0:
            seconds = max(1, math.ceil(wait))
            raise LimitReached(what, rate, setting="--requests-per-second", retry_after_seconds=seconds)

    def _take_here(self, asker: str, rate: float, burst: float) -> float:
        now = self._clock()
        held, at = self._buckets.get(asker, (burst, now))
        held = min(burst, held + (now - at) * rate)
        if held < 1:
            return (1 - held) / rate
        if len(self._buckets) >= _BUCKETS_KEPT:
            self._forget(now, rate, burst)
        self._buckets[asker] = (held - 1, now)
        return 0.0

    def _forget(self, now: float, rate: float, burst: float) -> None:
        """Drop buckets that are full again; when none is, all: nobody may fill this process's memory."""
        full = burst / rate
        self._buckets = {who: bucket for who, bucket in self._buckets.items() if now - bucket[1] < full}
        if len(self._buckets) >= _BUCKETS_KEPT:
            self._buckets.clear()
