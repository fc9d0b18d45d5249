"""Seed 004's messaging with Redis."""

from ropewalk.messaging.redis import (
    AsyncRedisClient,
    RedisClient,
    RedisConfig,
    RedisLock,
    RedisPubSub,
    RedisRateLimiter,
    RedisStream,
)

__all__ = [
    "AsyncRedisClient",
    "RedisClient",
    "RedisConfig",
    "RedisLock",
    "RedisPubSub",
    "RedisRateLimiter",
    "RedisStream",
]
