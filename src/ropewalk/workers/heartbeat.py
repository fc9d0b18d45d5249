"""Keeps a worker's leases alive from a thread of its own, and knows, without asking anybody, when they are not safe.

1. The thread asks its renewer, over its own connection, for all leases at once, several times in a lease's length.
2. What the renewer still has is safe until a lease's length after it was *asked*, less a margin. All else is lost,
   which is told on the worker's event loop.
3. The renewer may hang with its server. So the loop looks at the clock by itself (`unsafe`): a lease that was not
   prolonged in time is treated as lost before it can run out anywhere.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ropewalk.contracts import LeaseRenewer
from ropewalk.errors import StoreUnavailable

log = logging.getLogger("ropewalk")

_BEATS_A_LEASE = 3
_LONGEST_BEAT_SECONDS = 5.0
"""A worker learns with its next beat that a run was cancelled or taken: that must not take ten seconds."""
_MARGIN = 0.25
"""The part of a lease that is left to stop nodes in when it could not be prolonged."""


@dataclass(kw_only=True, slots=True, eq=False)
class Lease:
    """A worker's hold on one run."""

    run_id: str
    epoch: int
    safe_until: float
    """By the monotonic clock: nobody else can have claimed the run before, whatever became of the store."""


class Heartbeat:
    """Prolongs what is held, to ``lease_seconds`` at each beat; ``on_lost`` is called on the loop that started it."""

    def __init__(
        self,
        make_renewer: Callable[[], LeaseRenewer],
        *,
        lease_seconds: float,
        on_lost: Callable[[list[Lease]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_renewer = make_renewer
        self._lease_seconds = lease_seconds
        self._on_lost = on_lost
        self._clock = clock
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._in_trouble = False

    @property
    def beat_seconds(self) -> float:
        return min(self._lease_seconds / _BEATS_A_LEASE, _LONGEST_BEAT_SECONDS)

    def start(self) -> None:
        """Begin to beat; call it in the loop that is to be told of losses."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._beat, args=(loop,), name="ropewalk-heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Beat no more. It does not wait for a renewer that hangs."""
        self._ended.set()

    def now(self) -> float:
        """Return the time from which a lease counts that is asked for next."""
        return self._clock()

    def hold(self, run_id: str, epoch: int, *, asked_at: float) -> Lease:
        """Keep a lease alive that was asked for at ``asked_at``."""
        lease = Lease(run_id=run_id, epoch=epoch, safe_until=self._safe_until(asked_at))
        with self._lock:
            self._leases[run_id] = lease
        return lease

    def drop(self, lease: Lease) -> None:
        """Let a lease be; dropping it twice is harmless."""
        with self._lock:
            if self._leases.get(lease.run_id) is lease:
                del self._leases[lease.run_id]

    def unsafe(self) -> list[Lease]:
        """Return the leases that somebody else may soon be given."""
        now = self._clock()
        with self._lock:
            return [lease for lease in self._leases.values() if lease.safe_until <= now]

    def _safe_until(self, asked_at: float) -> float:
        return asked_at + self._lease_seconds * (1 - _MARGIN)

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        renewer = self._make_renewer()
        try:
            while not self._ended.wait(self.beat_seconds):
                lost = self._renew(renewer)
                if lost:
                    with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                        loop.call_soon_threadsafe(self._on_lost, lost)
        finally:
            renewer.close()

    def _renew(self, renewer: LeaseRenewer) -> list[Lease]:
        """Prolong all leases; return those that are lost."""
        with self._lock:
            held = [*self._leases.values()]
        asked_at = self._clock()
        try:
            kept = renewer.renew({lease.run_id: lease.epoch for lease in held}, ttl_seconds=self._lease_seconds)
        except StoreUnavailable as trouble:
            self._note(trouble)
            return []
        except Exception:  # door two: a thread that ends in silence would cost every run its lease
            log.exception("the leases could not be prolonged")
            return []
        self._note(None)
        for lease in held:
            if lease.run_id in kept:
                lease.safe_until = self._safe_until(asked_at)
        return [lease for lease in held if lease.run_id not in kept]

    def _note(self, trouble: StoreUnavailable | None) -> None:
        if trouble is not None and not self._in_trouble:
            log.warning("leases could not be prolonged, and are tried again: %s", trouble)
        self._in_trouble = trouble is not None
