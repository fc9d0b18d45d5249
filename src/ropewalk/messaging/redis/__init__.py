"""Redis for agents: clients, publish and subscribe, streams with workers, locks with fencing, rate limits.

Each comes for threads and, under the prefix ``Async``, for tasks. The chunk log and the session registry of the chat
service are for tasks only. Needs the extra ``redis``.
"""

from ropewalk.errors import (
    GroupMissing,
    LockHeld,
    LockLost,
    LockNotAcquired,
    NotReadable,
    RedisDenied,
    RedisFull,
    RedisProblem,
    RedisRefused,
    RedisUnavailable,
    StreamBusy,
    WrongKind,
)
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.async_lock import AsyncRedisLock
from ropewalk.messaging.redis.async_pubsub import AsyncRedisPubSub
from ropewalk.messaging.redis.async_stream import AsyncRedisStream
from ropewalk.messaging.redis.chunk_log import RedisChunkLog
from ropewalk.messaging.redis.client import RedisClient
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.keyspace import Health, RedisPipeline
from ropewalk.messaging.redis.limit_place import RateLimit
from ropewalk.messaging.redis.limiter import AsyncRedisRateLimiter, RedisRateLimiter
from ropewalk.messaging.redis.lock import RedisLock
from ropewalk.messaging.redis.pubsub import RedisPubSub
from ropewalk.messaging.redis.session_registry import RedisSessionRegistry
from ropewalk.messaging.redis.sharing import close_shared_client
from ropewalk.messaging.redis.stream import RedisStream
from ropewalk.messaging.redis.stream_messages import DeadLetter, StreamMessage, StreamStats

__all__ = [
    "AsyncRedisClient",
    "AsyncRedisLock",
    "AsyncRedisPubSub",
    "AsyncRedisRateLimiter",
    "AsyncRedisStream",
    "DeadLetter",
    "GroupMissing",
    "Health",
    "LockHeld",
    "LockLost",
    "LockNotAcquired",
    "NotReadable",
    "RateLimit",
    "RedisChunkLog",
    "RedisClient",
    "RedisConfig",
    "RedisDenied",
    "RedisFull",
    "RedisLock",
    "RedisPipeline",
    "RedisProblem",
    "RedisPubSub",
    "RedisRateLimiter",
    "RedisRefused",
    "RedisSessionRegistry",
    "RedisStream",
    "RedisUnavailable",
    "StreamBusy",
    "StreamMessage",
    "StreamStats",
    "WrongKind",
    "close_shared_client",
]
