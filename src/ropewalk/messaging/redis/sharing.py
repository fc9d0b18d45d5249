"""The clients that a process shares: primitives that are given none find theirs here, one for each configuration."""

from functools import lru_cache

from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.client import RedisClient
from ropewalk.messaging.redis.config import RedisConfig


def the_client(client: RedisClient | None) -> RedisClient:
    return _shared(RedisConfig()) if client is None else client


def the_async_client(client: AsyncRedisClient | None) -> AsyncRedisClient:
    return _async_shared(RedisConfig()) if client is None else client


async def close_shared_client() -> None:
    """Close the connections of this loop that no client of one's own holds: call it before the loop ends."""
    await _async_shared(RedisConfig()).close()


@lru_cache(maxsize=64)
def _shared(config: RedisConfig) -> RedisClient:
    return RedisClient(config)


@lru_cache(maxsize=64)
def _async_shared(config: RedisConfig) -> AsyncRedisClient:
    return AsyncRedisClient(config)
