"""A lock for tasks: `RedisLock` on an event loop."""

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from ropewalk.errors import LockHeld, LockLost, LockNotAcquired, RedisProblem
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.holding import Holding
from ropewalk.messaging.redis.lock_place import LockPlace
from ropewalk.messaging.redis.sharing import the_async_client

log = logging.getLogger("ropewalk.messaging.redis")


class AsyncRedisLock(Holding):
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
        super().__init__(LockPlace(name=name, expire=expire, config=self._client.config), timeout)
        self._on_lost = on_lost
        self._entered = False
        self._next: asyncio.TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if not await self.acquire(self._timeout):
            raise LockNotAcquired(self.name, self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._held is None:
            return  # let go in the body
        try:
            released = await self.release()
        except RedisProblem as problem:
            if error is None:
                raise
            log.warning("Lock %r lapses by itself: %s", self.name, problem)  # what the body raised matters more
            return
        if not released and error is None:
            raise LockLost(self.name, self._fence)

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
        except BaseException:
            self._entered = False
            await asyncio.shield(self._give_up(token))
            raise
        if held is None:
            self._entered = False
            return False
        self._hold(held)
        self._again_in(self.expire / 3)
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
            return await self._client.talk(self._place.release(held.token)) and stays
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
        try:
            yield self
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        await self.__aexit__(None, None, None)

    async def renew(self) -> bool:
        """Hold it for another ``expire`` seconds from now; False when it is lost. It is done by itself."""
        held = self._held
        if held is None:
            return False
        if self._kept(held, await self._client.talk(self._place.renew(held.token))):
            return True
        await self._lose()
        return False

    def _again_in(self, seconds: float) -> None:
        def renew() -> None:
            self._renewing = asyncio.create_task(self._keep())

        self._next = asyncio.get_running_loop().call_later(seconds, renew)

    async def _keep(self) -> None:
        try:
            if await self.renew() and self._held is not None:
                self._again_in(self.expire / 3)
        except RedisProblem as problem:
            log.debug("Lock %r: not renewed: %s", self.name, problem)
            if self.lost:
                await self._lose()
            elif self._held is not None:
                self._again_in(min(0.5, self.expire / 10))

    async def _lose(self) -> None:
        """Tell the holder, once."""
        if not self._is_lost_now() or self._on_lost is None:
            return
        try:
            told = self._on_lost()
            if inspect.isawaitable(told):
                await told
        except Exception:
            log.exception("Lock %r: on_lost raised.", self.name)

    async def _give_up(self, token: str) -> None:
        try:
            await self._client.talk(self._place.release(token))
        except RedisProblem:
            log.debug("Lock %r: nobody told the server that we wait no more; it will find out.", self.name)
