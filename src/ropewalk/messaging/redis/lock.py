"""A lock for threads and processes: held by one, renewed by itself, with a number that tells stale holders apart."""

import logging
import secrets
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from ropewalk.errors import LockHeld, LockLost, LockNotAcquired, RedisProblem
from ropewalk.messaging.redis.client import RedisClient
from ropewalk.messaging.redis.holding import Holding
from ropewalk.messaging.redis.lock_place import LockPlace
from ropewalk.messaging.redis.sharing import the_client

log = logging.getLogger("ropewalk.messaging.redis")


class RedisLock(Holding):
    """A lock of one holder at a time. Make one object for each holder.

    While it is held it is renewed by a thread; ``expire`` is how long it outlives a holder that died. A holder that
    could not renew in time is told: `lost` is True, ``on_lost`` is called (in a thread) and `with` raises at its end. A
    lock alone cannot stop what a frozen holder does after it thaws: give `fencing_token` to the resource, and have it
    refuse a number smaller than one it has seen.
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
        super().__init__(LockPlace(name=name, expire=expire, config=self._client.config), timeout)
        self._on_lost = on_lost
        self._entry = threading.Lock()

    def __enter__(self) -> Self:
        if not self.acquire(self._timeout):
            raise LockNotAcquired(self.name, self._timeout)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._held is None:
            return  # let go in the body
        try:
            released = self.release()
        except RedisProblem as problem:
            if error is None:
                raise
            log.warning("Lock %r lapses by itself: %s", self.name, problem)  # what the body raised matters more
            return
        if not released and error is None:
            raise LockLost(self.name, self._fence)

    def acquire(self, timeout: float | None = None) -> bool:
        """Take the lock, in the order of asking, waiting ``timeout`` seconds for it (None: until it is free).

        Raises `LockHeld` when this object holds it, or waits for it, already.
        """
        if self._held is not None and self.lost:
            self.release()
        if not self._entry.acquire(blocking=False):
            raise LockHeld(self.name)
        token = secrets.token_hex(16)
        try:
            held = self._client.talk(self._place.take(token, timeout))
        except BaseException:
            self._give_up(token)
            self._entry.release()
            raise
        if held is None:
            self._entry.release()
            return False
        self._hold(held)
        self._client.renewer.add(self)
        return True

    def release(self) -> bool:
        """Let it go, and hand it to who waits longest; False when it was not, or no longer, this object's."""
        held, self._held = self._held, None
        if held is None:
            return False
        self._client.renewer.discard(self)
        stays = not self._lost
        try:
            return self._client.talk(self._place.release(held.token)) and stays
        finally:
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
        try:
            yield self
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        self.__exit__(None, None, None)

    def renew(self) -> bool:
        """Hold it for another ``expire`` seconds from now; False when it is lost. It is done by itself."""
        held = self._held
        if held is None:
            return False
        if self._kept(held, self._client.talk(self._place.renew(held.token))):
            return True
        self.lose()
        return False

    def lose(self) -> None:
        """Tell the holder, once; in a thread, so that what it does holds up no other lock's renewal."""
        if self._is_lost_now() and self._on_lost is not None:
            threading.Thread(target=self._tell, args=(self._on_lost,), name="ropewalk-lock-lost", daemon=True).start()

    def _tell(self, on_lost: Callable[[], object]) -> None:
        try:
            on_lost()
        except Exception:
            log.exception("Lock %r: on_lost raised.", self.name)

    def _give_up(self, token: str) -> None:
        try:
            self._client.talk(self._place.release(token))
        except RedisProblem:
            log.debug("Lock %r: nobody told the server that we wait no more; it will find out.", self.name)
