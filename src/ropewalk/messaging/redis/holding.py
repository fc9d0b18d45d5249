"""What one lock object knows of its lock: whether it holds it, by which number, and whether it lost it."""

import logging
import time
from dataclasses import replace

from ropewalk.messaging.redis.lock_place import Held, LockPlace

log = logging.getLogger("ropewalk.messaging.redis")
_WITH_WAITS_TIMES = 3
"""How many times ``expire`` a `with` waits for its lock, unless it is told otherwise."""


class Holding:
    """The part of a lock that asks the server nothing."""

    def __init__(self, place: LockPlace, timeout: float | None) -> None:
        self._place = place
        self._timeout = _WITH_WAITS_TIMES * place.expire if timeout is None else timeout
        """How long a `with` waits."""
        self._held: Held | None = None
        self._fence = 0
        self._lost = False

    @property
    def name(self) -> str:
        return self._place.name

    @property
    def expire(self) -> float:
        return self._place.expire

    @property
    def fencing_token(self) -> int:
        """The number of the last acquire(): larger than that of every holder before; 0 before the first."""
        return self._fence

    @property
    def lost(self) -> bool:
        """Whether the lock went, or may have gone, to another since it was acquired."""
        held = self._held
        return self._lost or (held is not None and time.monotonic() >= held.until)

    @property
    def held(self) -> bool:
        """Whether it is this object's, as far as can be known here."""
        return self._held is not None and not self.lost

    def _hold(self, held: Held) -> None:
        self._held, self._fence, self._lost = held, held.fencing_token, False

    def _kept(self, held: Held, until: float | None) -> bool:
        """Note how renewing went; False when the lock is lost, which was not noted yet."""
        if self._held is not held:
            return True  # released meanwhile
        if until is None:
            return False
        self._held = replace(held, until=until)
        return True

    def _is_lost_now(self) -> bool:
        """Note that it is lost; False when that is known, or when nothing is held."""
        if self._lost or self._held is None:
            return False
        self._lost = True
        log.warning("Lock %r (fencing token %d) was lost while it was held.", self.name, self._fence)
        return True
