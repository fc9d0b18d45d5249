"""When a failed step is tried again, and after how long."""

import zlib
from dataclasses import dataclass

from ropewalk.core.arguments import check_number


@dataclass(frozen=True, slots=True)
class Retry:
    """A node's retry policy. ``Retry(3)`` is: up to three attempts in all, 1 s and then 2 s apart."""

    attempts: int = 3
    """How often the step may run in all, the first time included."""
    backoff: float = 1.0
    """Seconds before the second attempt."""
    factor: float = 2.0
    """What each further wait is multiplied with."""
    max_backoff: float = 60.0
    """Seconds that no wait exceeds."""
    jitter: float = 0.1
    """Share of the wait by which it may be longer or shorter, spread by step so that siblings do not retry in step."""
    on: type[BaseException] | tuple[type[BaseException], ...] = (Exception,)
    """Which exceptions are worth another attempt."""

    def __post_init__(self) -> None:
        of = "how often the step may run in all, a whole number of 1 or more"
        check_number("Retry's attempts", self.attempts, of, whole=True, least=1)
        check_number("Retry's backoff", self.backoff, "seconds, 0 or more", least=0)
        check_number("Retry's factor", self.factor, "a number of 1 or more", least=1)
        check_number("Retry's max_backoff", self.max_backoff, "seconds, 0 or more", least=0)
        check_number("Retry's jitter", self.jitter, "a share, from 0 to 1", least=0, most=1)
        if not all(map(_is_exception, self.on if isinstance(self.on, tuple) else (self.on,))):
            raise TypeError(f"Retry's on is a tuple of exception classes, (OSError, TimeoutError); not {self.on!r}.")

    def delay(self, failures: int, key: str) -> float | None:
        """Return the seconds to wait after ``failures`` failed attempts, or None when they are spent."""
        if failures >= self.attempts:
            return None
        wait = min(self.backoff * self.factor ** (failures - 1), self.max_backoff)
        spread = zlib.crc32(f"{key}:{failures}".encode()) / 0xFFFFFFFF * 2 - 1
        return wait * (1 + self.jitter * spread)


def _is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


NO_RETRY = Retry(attempts=1)
