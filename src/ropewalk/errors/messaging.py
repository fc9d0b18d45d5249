"""What can go wrong with Redis, each in an error of its own."""

from ropewalk.errors.root import RopewalkError


class RedisProblem(RopewalkError):
    """What every error of this package is."""

    code = "redis_problem"
    why: str = ""
    """What the server or the connection said, where it is one of these that went wrong."""


class RedisUnavailable(RedisProblem, ConnectionError):
    """The call may have been carried out, unless the connection could not be made at all."""

    code = "redis_unavailable"

    def __init__(self, where: str, why: str) -> None:
        self.why = why
        super().__init__(
            f"Redis at {where} could not be used: {why}. The call may have been carried out all the same if it was a "
            "write. Look at whether the server runs and can be reached, then try again."
        )


class RedisRefused(RedisProblem):
    code = "redis_refused"

    def __init__(self, where: str, what: str, why: str) -> None:
        self.why = f"it refused {what}: {why}"
        super().__init__(f"Redis at {where} refused {what}: {why.rstrip('.')}. {self.advice()}")

    def advice(self) -> str:
        return "Nothing of it was done; look at the command and its arguments."


class RedisDenied(RedisRefused):
    code = "redis_denied"

    def advice(self) -> str:
        return "Look at the user, its password, and at what the server lets it do."


class WrongKind(RedisRefused):
    code = "redis_wrong_kind"

    def advice(self) -> str:
        return "The key holds another kind of value; it is not missing. Choose another key or another call."


class RedisFull(RedisRefused):
    code = "redis_full"

    def advice(self) -> str:
        return "The server's memory is spent. Give it more, or bound what you keep (maxlen, expire)."


class LockNotAcquired(RedisProblem, TimeoutError):
    code = "lock_not_acquired"

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        super().__init__(
            f"Lock {name!r} was not free within {seconds:g} s, so nothing was done. Another holds it and is alive: "
            "wait longer (timeout=...), or look at who does."
        )


class LockHeld(RedisProblem, RuntimeError):
    code = "lock_held"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"Lock {name!r} is already held, or waited for, by this very object, and a lock cannot be entered twice. "
            "Release it first, or make one RedisLock for each holder."
        )


class LockLost(RedisProblem):
    code = "lock_lost"

    def __init__(self, name: str, token: int) -> None:
        self.name = name
        self.fencing_token = token
        super().__init__(
            f"Lock {name!r} (fencing token {token}) was lost while it was held: it could not be renewed in time, and "
            "another may hold it since. Treat what was done under it as not done, unless the resource checked the "
            "token."
        )


class StreamBusy(RedisProblem, RuntimeError):
    code = "stream_busy"

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"This object works on stream {stream!r} already, and one object is one worker. Ask for concurrency=, or "
            "make another stream object for each worker."
        )


class GroupMissing(RedisProblem, ValueError):
    code = "group_missing"

    def __init__(self, stream: str) -> None:
        super().__init__(f"Stream {stream!r} has no consumer group here. Call create_consumer_group(group) first.")


class NotReadable(RedisProblem, ValueError):
    code = "not_readable"

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} cannot be read: {why}. Look at who wrote it, and at the type that was asked for.")
