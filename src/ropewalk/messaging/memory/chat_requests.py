"""Requests for answers within one process."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ropewalk.messaging.session_names import checked_message, checked_session

MOST_DELIVERIES = 5


@dataclass(kw_only=True, slots=True)
class _Request:
    number: int
    session_id: str
    body: bytes
    until: float
    """When it is too old to be answered."""
    due: float
    """When it may be handed out, the next time."""
    attempt: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadRequest:
    """A request that was taken out."""

    session_id: str
    body: bytes
    reason: str


class MemoryDelivery:
    """One request in the hands of one worker."""

    def __init__(self, queue: "MemoryChatRequests", request: _Request) -> None:
        self._queue = queue
        self._request = request
        self.session_id = request.session_id
        self.body = request.body
        self.attempt = request.attempt

    async def done(self) -> None:
        self._queue.remove(self._request)

    async def again(self, *, in_seconds: float) -> None:
        if self.attempt == self._request.attempt:  # else another has it now
            self._queue.hand_out_again(self._request, in_seconds)

    async def bury(self, reason: str) -> None:
        self._queue.bury(self._request, reason)


class MemoryChatRequests:
    """A queue of requests that all pods and workers of this process share. It ends with the process."""

    def __init__(
        self,
        *,
        delivery_seconds: float = 30.0,
        dedupe_seconds: float = 120.0,
        kept_seconds: float = 86_400.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._delivery_seconds = delivery_seconds
        self._dedupe_seconds = dedupe_seconds
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._requests: dict[int, _Request] = {}
        self._number = 0
        self._known: dict[str, float] = {}
        """The ids of messages, with when each is forgotten; the oldest first."""
        self._waiters: list[asyncio.Future[None]] = []
        self.dead: list[DeadRequest] = []

    async def publish(self, session_id: str, body: bytes, *, message_id: str) -> None:
        checked_session(session_id)
        checked_message(message_id)
        now = self._clock()
        for known in [known for known, until in self._known.items() if until <= now]:
            del self._known[known]
        if message_id in self._known:
            return
        self._known[message_id] = now + self._dedupe_seconds
        self._number += 1
        self._requests[self._number] = _Request(
            number=self._number, session_id=session_id, body=body, until=now + self._kept_seconds, due=now
        )
        self._wake()

    async def fetch(self, *, most: int, at_most_seconds: float) -> Sequence[MemoryDelivery]:
        if most < 1:
            raise ValueError(f"most is {most}: ask for one request at least.")
        deadline = self._clock() + at_most_seconds
        while True:
            if taken := self._take(most):
                return taken
            now = self._clock()
            if now >= deadline:
                return ()
            next_due = min((request.due for request in self._requests.values()), default=deadline)
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await asyncio.wait([waiter], timeout=max(0.001, min(next_due, deadline) - now))
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    async def waiting(self) -> int | None:
        self._forget_old()
        return len(self._requests)

    async def close(self) -> None:
        for request in self._requests.values():
            request.due = min(request.due, self._clock())
        self._wake()

    def remove(self, request: _Request) -> None:
        self._requests.pop(request.number, None)

    def hand_out_again(self, request: _Request, in_seconds: float) -> None:
        request.due = self._clock() + in_seconds
        self._wake()

    def bury(self, request: _Request, reason: str) -> None:
        if self._requests.pop(request.number, None):
            self.dead.append(DeadRequest(session_id=request.session_id, body=request.body, reason=reason))

    def _take(self, most: int) -> list[MemoryDelivery]:
        self._forget_old()
        now, taken = self._clock(), list[MemoryDelivery]()
        for request in [request for request in self._requests.values() if request.due <= now]:
            if request.attempt >= MOST_DELIVERIES:
                self.bury(request, f"It was handed out {request.attempt} times, and nobody was done with it.")
            elif len(taken) < most:
                request.attempt += 1
                request.due = now + self._delivery_seconds
                taken.append(MemoryDelivery(self, request))
        return taken

    def _forget_old(self) -> None:
        now = self._clock()
        for number in [number for number, request in self._requests.items() if request.until <= now]:
            del self._requests[number]

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
