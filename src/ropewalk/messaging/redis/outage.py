"""How to bear a server that does not answer."""

import logging

from ropewalk.errors import RedisDenied, RedisProblem, RedisRefused, WrongKind

log = logging.getLogger("ropewalk.messaging.redis")
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


class Outage:
    """How long to wait before asking again; says once that the server is away, and once that it is back."""

    def __init__(self, who: str, *, meanwhile: str = "") -> None:
        self._who = who
        self._meanwhile = meanwhile
        self._pause = 0.0

    def pause(self, problem: RedisProblem) -> float:
        """Return seconds to wait."""
        if not self._pause:
            log.warning("%s: %s Trying again until it works.", self._who, problem)
        self._pause = min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * self._pause))
        return self._pause

    def over(self) -> None:
        if self._pause:
            log.warning("%s: the server is back. %s", self._who, self._meanwhile)
            self._pause = 0.0


def is_hopeless(problem: RedisProblem) -> bool:
    """Whether waiting cannot help: wrong password, missing rights, a key that holds something else."""
    return isinstance(problem, RedisDenied | WrongKind)


def group_is_gone(problem: RedisProblem) -> bool:
    """Whether the server forgot the group: it lost its data, or somebody deleted the stream."""
    return isinstance(problem, RedisRefused) and ("NOGROUP" in str(problem) or "no such key" in str(problem))
