"""Rate limits: so many in a period, over all processes that share a server, by the server's clock."""

from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.client import RedisClient
from ropewalk.messaging.redis.limit_place import Algorithm, LimitPlace, RateLimit
from ropewalk.messaging.redis.sharing import the_async_client, the_client


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
        self._place = LimitPlace(prefix=prefix, rate=rate, period=period, burst=burst, algorithm=algorithm)

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
        self._place = LimitPlace(prefix=prefix, rate=rate, period=period, burst=burst, algorithm=algorithm)

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
