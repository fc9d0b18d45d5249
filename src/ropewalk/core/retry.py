"""When a failed step is tried again, and after how long."""

import zlib
from dataclasses import dataclass


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
    on: tuple[type[Exception], ...] = (Exception,)
    """Which exceptions are worth another attempt."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.backoff < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError("Retry needs attempts >= 1, backoff >= 0, factor >= 1 and jitter from 0 to 1.")

    def delay(self, failures: int, key: str) -> float | None:
        """Return the seconds to wait after ``failures`` failed attempts, or None when they are spent."""
        if failures >= self.attempts:
            return None
        wait = min(self.backoff * self.factor ** (failures - 1), self.max_backoff)
        spread = zlib.crc32(f"{key}:{failures}".encode()) / 0xFFFFFFFF * 2 - 1
        return wait * (1 + self.jitter * spread)


NO_RETRY = Retry(attempts=1)
