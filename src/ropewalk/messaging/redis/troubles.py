"""The driver's errors: which of them are told in which words of ours, and which are worth a second try."""

from ropewalk.errors import RedisDenied, RedisFull, RedisProblem, RedisRefused, RedisUnavailable, WrongKind
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.installed import redis
from ropewalk.messaging.redis.talk import Ask, Batch, Pause, Run

TROUBLES = (redis.exceptions.RedisError, OSError)
"""What the driver raises when something is wrong."""
_UNAVAILABLE = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
_DENIED = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)
_NOT_NOW = ("LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "UNBLOCKED", "BUSY ")
_SAME_TWICE = frozenset({"GET", "EXISTS", "PING", "INFO", "TIME", "XLEN", "XRANGE", "XREVRANGE", "XREAD", "XINFO"})
"""Commands that may be carried out twice."""


def in_our_words(trouble: BaseException, config: RedisConfig, asked: Ask | str) -> RedisProblem:
    """Return one of our errors for one of the driver's; no secret is in it."""
    why = " ".join(str(trouble).split()) or type(trouble).__name__
    for secret in config.secrets:
        why = why.replace(secret, "***")
    what = asked if isinstance(asked, str) else _name(asked)
    if isinstance(trouble, _DENIED) or why.startswith(("NOAUTH", "NOPERM", "WRONGPASS")):
        return RedisDenied(config.shown, what, why)
    if isinstance(trouble, _UNAVAILABLE) or why.startswith(_NOT_NOW):
        return RedisUnavailable(config.shown, why.rstrip("."))
    if "WRONGTYPE" in why:
        return WrongKind(config.shown, what, why)
    if isinstance(trouble, redis.exceptions.OutOfMemoryError) or "OOM " in why:
        return RedisFull(config.shown, what, why)
    return RedisRefused(config.shown, what, why)


def second_try(trouble: BaseException, asked: Ask) -> Ask | None:
    """Return what to ask next, once: a script that the server does not know yet goes with its text; a command that may
    be carried out twice goes again when a pooled connection had broken while nobody looked.
    """
    if isinstance(trouble, redis.exceptions.NoScriptError) and isinstance(asked, Run):
        return ("EVAL", asked.script.text, len(asked.keys), *asked.keys, *asked.arguments)
    lost = isinstance(trouble, redis.exceptions.ConnectionError | ConnectionError)
    return asked if lost and type(asked) is tuple and asked[0] in _SAME_TWICE else None


def is_trouble(reply: object) -> bool:
    """Whether a reply in a batch is an error."""
    return isinstance(reply, redis.exceptions.RedisError)


def is_missing_script(reply: object) -> bool:
    """Whether a reply in a batch says that the server does not know the script yet."""
    return isinstance(reply, redis.exceptions.NoScriptError)


def _name(asked: Ask) -> str:
    match asked:
        case Run(script):
            return f"the script {script.name}"
        case Batch():
            return "a batch"
        case Pause():
            return "a pause"
        case _:
            return str(asked[0])
