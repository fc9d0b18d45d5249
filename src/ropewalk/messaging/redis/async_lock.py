"""A lock for tasks: `RedisLock` on an event loop."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from ropewalk.messaging.redis.client import AsyncRedisClient, the_async_client
from ropewalk.messaging.redis.errors import LockHeld, LockLost, LockNotAcquired, RedisProblem
from ropewalk.messaging.redis.lock import WITH_WAITS_TIMES
from ropewalk.messaging.redis.lock_place import Held, LockPlace

log = logging.getLogger("ropewalk.messaging.redis")


class AsyncRedisLock:
    """`RedisLock` for tasks; ``on_lost`` may be async. A handler that blocks the loop for ``expire`` loses the lock."""

    def __init__(
        self,
        name: str,
        expire: float = 10,
        redis_client: AsyncRedisClient | None = None,
        on_lost: Callable[[], Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        """Name a lock; see `RedisLock`."""
        self._client = the_async_client(redis_client)
        self._place = LockPlace(name=name, expire=expire, config=self._client.config)
        self._on_lost = on_lost
        self._timeout = WITH_WAITS_TIMES * expire if timeout is None else timeout
        self._entered = False
        self._token = ""
        self._held: Held | None = None
        self._fence = 0
        self._lost = False
        self._next: asyncio.TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if not await self.acquire(self._timeout):
            raise LockNotAcquired(self.name, self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        let_go_before = self._held is None
        if not await self.release() and error is None and not let_go_before:
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

    async def acquire(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  (the public name)
        """Take the lock, in the order of asking, waiting ``timeout`` seconds for it (None: until it is free).

        Raises `LockHeld` when this object holds it, or waits for it, already.
        """
        if self._held is not None and self.lost:
            await self.release()
        if self._entered:
            raise LockHeld(self.name)
        self._entered = True
        token = secrets.token_hex(16)
        try:
            held = await self._client.talk(self._place.take(token, timeout))
            if held is None:
                await self._client.talk(self._place.release(token))
                self._entered = False
                return False
        except BaseException:
            self._entered = False
            await asyncio.shield(self._give_up(token))
            raise
        self._token, self._fence, self._lost, self._held = token, held.fencing_token, False, held
        self._again_in(self._place.expire / 3)
        return True

    async def release(self) -> bool:
        """Let it go, and hand it to who waits longest; False when it was not, or no longer, this object's."""
        held, self._held = self._held, None
        if held is None:
            return False
        stays = not self._lost
        if self._next is not None:
            self._next.cancel()
        try:
            return await self._client.talk(self._place.release(self._token)) and stays
        finally:
            self._entered = False

    async def locked(self) -> bool:
        """Whether anybody holds it now."""
        return await self._client.talk(self._place.taken())

    @asynccontextmanager
    async def acquire_context(self, timeout: float | None = None) -> AsyncGenerator[Self]:  # noqa: ASYNC109
        """Hold it for an `async with` block, which is not entered otherwise. Raises `LockNotAcquired`."""
        waited = self._timeout if timeout is None else timeout
        if not await self.acquire(waited):
            raise LockNotAcquired(self.name, waited)
        error: BaseException | None = None
        try:
            yield self
        except BaseException as raised:
            error = raised
            raise
        finally:
            await self.__aexit__(None, error, None)

    async def renew(self) -> bool:
        """Hold it for another ``expire`` seconds from now; False when it is lost. It is done by itself."""
        held = self._held
        if held is None:
            return False
        until = await self._client.talk(self._place.renew(self._token))
        if self._held is not held:
            return True  # released meanwhile
        if until is None:
            await self._lose()
            return False
        self._held = Held(fencing_token=held.fencing_token, until=until)
        return True

    def _again_in(self, seconds: float) -> None:
        def renew() -> None:
            self._renewing = asyncio.create_task(self._keep())

        self._next = asyncio.get_running_loop().call_later(seconds, renew)

    async def _keep(self) -> None:
        try:
            if await self.renew() and self._held is not None:
                self._again_in(self._place.expire / 3)
        except RedisProblem as problem:
            log.debug("Lock %r: not renewed: %s", self.name, problem)
            if self.lost:
                await self._lose()
            elif self._held is not None:
                self._again_in(min(0.5, self._place.expire / 10))

    async def _lose(self) -> None:
        """Tell the holder, once."""
        if self._lost or self._held is None:
            return
        self._lost = True
        log.warning("Lock %r (fencing token %d) was lost while it was held.", self.name, self._fence)
        if self._on_lost is not None:
            told = self._on_lost()
            if asyncio.iscoroutine(told):
                await told

    async def _give_up(self, token: str) -> None:
        try:
            await self._client.talk(self._place.release(token))
        except RedisProblem:
            log.debug("Lock %r: nobody told the server that we wait no more; it will find out.", self.name)
