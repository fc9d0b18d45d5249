"""Renews the locks that threads hold, in one thread for all of a client."""

import logging
import os
import threading
import time
from typing import Protocol

from ropewalk.errors import RedisProblem

log = logging.getLogger("ropewalk.messaging.redis")
_IDLE_SECONDS = 5.0
"""How long the thread stays without a lock to renew."""


class Renewed(Protocol):
    """What is renewed every third of its ``expire``."""

    @property
    def name(self) -> str: ...
    @property
    def expire(self) -> float: ...
    @property
    def lost(self) -> bool: ...
    def renew(self) -> bool: ...
    def lose(self) -> None: ...


class Renewer:
    """Renews the locks that one client's threads hold, in a thread that lives while there are any.

    The thread wakes when the lock that is due first may be due; one that is taken and let go before that costs nothing.
    """

    def __init__(self) -> None:
        self._begin()

    def add(self, lock: Renewed) -> None:
        if self._process != os.getpid():  # a fork: the locks are the parent's, and its thread is not here
            self._begin()
        with self._change:
            due = time.monotonic() + lock.expire / 3
            self._due[lock] = due
            self._shortest = min(self._shortest, lock.expire / 3)
            if not self._runs:
                self._runs, self._wakes_at, self._idle_since = True, due, None
                threading.Thread(target=self._run, name="ropewalk-lock-renewer", daemon=True).start()
            elif due < self._wakes_at:
                self._change.notify()

    def discard(self, lock: Renewed) -> None:
        with self._change:
            self._due.pop(lock, None)

    def _begin(self) -> None:
        self._due: dict[Renewed, float] = {}
        self._change = threading.Condition()
        self._shortest = _IDLE_SECONDS
        self._wakes_at = 0.0
        self._idle_since: float | None = None
        self._runs = False
        self._process = os.getpid()

    def _run(self) -> None:
        while True:
            with self._change:
                lock = self._next()
                if lock is None:
                    if not self._runs:
                        return
                    self._change.wait(self._wakes_at - time.monotonic())
                    continue
            self._renew(lock)

    def _next(self) -> Renewed | None:
        """Return a lock that is due; if there is none say when to look again, or that nobody needs this thread."""
        now = time.monotonic()
        lock = min(self._due, key=self._due.__getitem__, default=None)
        if lock is None:
            self._idle_since = self._idle_since or now
            self._runs = now - self._idle_since < _IDLE_SECONDS
            self._wakes_at = now + self._shortest  # whatever comes meanwhile is due later than that
            return None
        self._idle_since, self._wakes_at = None, self._due[lock]
        if self._wakes_at > now:
            return None
        self._due[lock] = now + min(0.5, lock.expire / 10)  # again soon, should it fail
        return lock

    def _renew(self, lock: Renewed) -> None:
        try:
            kept = lock.renew()
        except RedisProblem as problem:
            log.debug("Lock %r: not renewed: %s", lock.name, problem)
            if lock.lost:
                self.discard(lock)
                lock.lose()
            return
        with self._change:
            if lock in self._due:
                if kept:
                    self._due[lock] = time.monotonic() + lock.expire / 3
                else:
                    del self._due[lock]
