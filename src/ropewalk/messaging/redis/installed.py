"""The driver, redis-py, or the line that installs it; every other file here imports it from this one."""

# Importing a submodule binds it to the package, which is what is used.
# pyright: reportUnusedImport=false

from ropewalk.errors import PartMissing

try:
    import redis
    import redis.asyncio
    import redis.asyncio.cluster
    import redis.asyncio.retry
    import redis.asyncio.sentinel
    import redis.backoff
    import redis.cluster
    import redis.exceptions
    import redis.retry
    import redis.sentinel
except ImportError as error:
    raise PartMissing("Messaging with Redis", "redis") from error

__all__ = ["redis"]
