"""A lock for threads and processes: held by one, renewed by itself, with a number that tells stale holders apart."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from ropewalk.messaging.redis.client import RedisClient, the_client
from ropewalk.messaging.redis.errors import LockHeld, LockLost, LockNotAcquired, RedisProblem
from ropewalk.messaging.redis.lock_place import Held, LockPlace

log = logging.getLogger("ropewalk.messaging.redis")
WITH_WAITS_TIMES = 3
"""How many times ``expire`` a `with` waits for its lock, unless it is told otherwise."""


class RedisLock:
    """A lock of one holder at a time. Make one object for each holder.

    While it is held it is renewed by a thread; ``expire`` is how long it outlives a holder that died. A holder that
    could not renew in time is told: `lost` is True, ``on_lost`` is called (in that thread) and `with` raises at its
    end. A lock alone cannot stop what a frozen holder does after it thaws: give `fencing_token` to the resource, and
    have it refuse a number smaller than one it has seen.
    """

    def __init__(
        self,
        name: str,
        expire: float = 10,
        redis_client: RedisClient | None = None,
        on_lost: Callable[[], object] | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        """Name a lock; ``timeout`` is how many seconds `with` waits for it, three times ``expire`` if not given."""
        self._client = the_client(redis_client)
        self._place = LockPlace(name=name, expire=expire, config=self._client.config)
        self._on_lost = on_lost
        self._timeout = WITH_WAITS_TIMES * expire if timeout is None else timeout
        self._entry = threading.Lock()
        self._token = ""
        self._held: Held | None = None
        self._fence = 0
        self._lost = False

    def __enter__(self) -> Self:
        if not self.acquire(self._timeout):
            raise LockNotAcquired(self.name, self._timeout)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        let_go_before = self._held is None
        if not self.release() and error is None and not let_go_before:
            raise LockLost(self.name, self._fence)

    @property
    def name(self) -> str:
        return self._place.name

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

    def acquire(self, timeout: float | None = None) -> bool:
        """Take the lock, in the order of asking, waiting ``timeout`` seconds for it (None: until it is free).

        Raises `LockHeld` when this object holds it, or waits for it, already.
        """
        if self._held is not None and self.lost:
            self.release()
        if not self._entry.acquire(blocking=False):
            raise LockHeld(self.name)
        token = secrets.token_hex(16)
        taken = False
        try:
            held = self._client.talk(self._place.take(token, timeout))
            taken = held is not None
            if held is None:
                self._client.talk(self._place.release(token))
                return False
            self._token, self._fence, self._lost, self._held = token, held.fencing_token, False, held
            self._client.renewer.add(self)
            return True
        except BaseException:
            self._give_up(token)
            raise
        finally:
            if not taken:
                self._entry.release()

    def release(self) -> bool:
        """Let it go, and hand it to who waits longest; False when it was not, or no longer, this object's."""
        held, self._held = self._held, None
        if held is None:
            return False
        self._client.renewer.discard(self)
        stays = not self._lost
        try:
            return self._client.talk(self._place.release(self._token)) and stays
        finally:
            self._lost = self._lost or not stays
            self._entry.release()

    def locked(self) -> bool:
        """Whether anybody holds it now."""
        return self._client.talk(self._place.taken())

    @contextmanager
    def acquire_context(self, timeout: float | None = None) -> Generator[Self]:
        """Hold it for a `with` block, which is not entered otherwise. Raises `LockNotAcquired`."""
        waited = self._timeout if timeout is None else timeout
        if not self.acquire(waited):
            raise LockNotAcquired(self.name, waited)
        error: BaseException | None = None
        try:
            yield self
        except BaseException as raised:
            error = raised
            raise
        finally:
            self.__exit__(None, error, None)

    def renew(self) -> bool:
        """Hold it for another ``expire`` seconds from now; False when it is lost. It is done by itself."""
        held = self._held
        if held is None:
            return False
        until = self._client.talk(self._place.renew(self._token))
        if self._held is not held:
            return True  # released meanwhile
        if until is None:
            self.lose()
            return False
        self._held = Held(fencing_token=held.fencing_token, until=until)
        return True

    def lose(self) -> None:
        """Tell the holder, once."""
        if self._lost or self._held is None:
            return
        self._lost = True
        log.warning("Lock %r (fencing token %d) was lost while it was held.", self.name, self._fence)
        if self._on_lost is not None:
            self._on_lost()

    @property
    def expire(self) -> float:
        return self._place.expire

    def _give_up(self, token: str) -> None:
        try:
            self._client.talk(self._place.release(token))
        except RedisProblem:
            log.debug("Lock %r: nobody told the server that we wait no more; it will find out.", self.name)
