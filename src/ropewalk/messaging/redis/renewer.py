"""Renews the locks that threads hold, in one thread for all of a client."""

import logging
import os
import threading
import time
from typing import Protocol

from ropewalk.messaging.redis.errors import RedisProblem

log = logging.getLogger("ropewalk.messaging.redis")
_IDLE_SECONDS = 5.0


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
    """Renews the locks that one client's threads hold, in a thread that lives while there are any."""

    def __init__(self) -> None:
        self._due: dict[Renewed, float] = {}
        self._change = threading.Condition()
        self._wakes_at = float("inf")
        self._runs = False
        self._process = os.getpid()

    def add(self, lock: Renewed) -> None:
        with self._change:
            due = time.monotonic() + lock.expire / 3
            self._due[lock] = due
            if not self._runs or self._process != os.getpid():
                self._runs, self._process = True, os.getpid()
                threading.Thread(target=self._run, name="ropewalk-lock-renewer", daemon=True).start()
            elif due < self._wakes_at:
                self._change.notify()

    def discard(self, lock: Renewed) -> None:
        with self._change:
            self._due.pop(lock, None)

    def _run(self) -> None:
        while True:
            with self._change:
                now = time.monotonic()
                lock = min(self._due, key=self._due.__getitem__, default=None)
                self._wakes_at = now + _IDLE_SECONDS if lock is None else self._due[lock]
                if self._wakes_at > now:
                    self._change.wait(self._wakes_at - now)
                    if lock is None and not self._due:
                        self._runs = False
                        return
                    continue
                assert lock is not None
                self._due[lock] = now + min(0.5, lock.expire / 10)  # again soon, should it fail
            self._renew(lock)

    def _renew(self, lock: Renewed) -> None:
        try:
            kept = lock.renew()
        except RedisProblem as problem:
            log.debug("Lock %r: not renewed: %s", lock.name, problem)
            if not lock.lost:
                return
            self._told(lock)
            return
        except Exception:
            log.exception("Lock %r: on_lost raised.", lock.name)
            kept = False
        with self._change:
            if lock in self._due:
                if kept:
                    self._due[lock] = time.monotonic() + lock.expire / 3
                else:
                    del self._due[lock]

    def _told(self, lock: Renewed) -> None:
        self.discard(lock)
        try:
            lock.lose()
        except Exception:
            log.exception("Lock %r: on_lost raised.", lock.name)
