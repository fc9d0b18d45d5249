"""Counts requests of the doors on a Redis server, for all processes that share it."""

import hashlib
import logging

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.limit_place import LimitPlace

log = logging.getLogger("ropewalk.messaging.redis")


class RedisThrottle:
    """A `ropewalk.contracts.throttle.Throttle`; it closes the client that it is given."""

    def __init__(self, client: AsyncRedisClient, *, prefix: str = "doors") -> None:
        self._client = client
        self._prefix = prefix
        self._places: dict[tuple[float, float], LimitPlace] = {}
        self._is_away = False

    async def take(self, asker: str, *, rate: float, burst: float) -> float | None:
        """Take one from the asker's bucket."""
        place = self._places.get((rate, burst))
        if place is None:
            whole = max(1, round(burst))
            place = LimitPlace(prefix=self._prefix, rate=rate, period=1.0, burst=whole, algorithm="token_bucket")
            self._places[rate, burst] = place
        key = hashlib.sha256(asker.encode("utf-8", "replace")).hexdigest()[:32]  # who asks may be named anything
        try:
            answer = await self._client.talk(place.check(key, 1))
        except RedisProblem as problem:
            if not self._is_away:
                log.warning("requests are counted by each process for itself: %s", problem)
            self._is_away = True
            return None
        self._is_away = False
        return 0.0 if answer.allowed else max(answer.retry_after, 0.001)

    async def close(self) -> None:
        await self._client.close()
