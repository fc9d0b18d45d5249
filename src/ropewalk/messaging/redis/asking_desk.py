"""Gathers scripts that are asked at the same time into one round trip, and gives each caller its own answer.

One round trip is under way at a time: what comes meanwhile goes with the next, so that a thousand callers need one
connection, not a thousand. Where one of several meets trouble, each is asked again by itself: whoever is to blame fails
nobody else.
"""

import asyncio
from typing import Any

from ropewalk.errors import BusUnavailable
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.bus_talk import all_asked, asked
from ropewalk.messaging.redis.talk import Run

_MOST_AT_ONCE = 200

_Waiting = tuple[Run, "asyncio.Future[Any]"]


class AskingDesk:
    """What is to be asked, and who waits for it. Used in one event loop."""

    def __init__(self, client: AsyncRedisClient, what: str) -> None:
        """``what`` is told in errors: which part could not be used."""
        self._client = client
        self._what = what
        self._waiting: list[_Waiting] = []
        self._sending: asyncio.Task[None] | None = None

    def ask(self, run: Run) -> "asyncio.Future[Any]":
        """Run a script that may be run twice, with the others of this turn of the loop. Raises `BusUnavailable`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((run, answer))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return answer

    async def close(self) -> None:
        """Return when nobody waits any more."""
        if self._sending is not None:
            await asyncio.wait([self._sending])

    async def _send(self) -> None:
        taken: list[_Waiting] = []
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                await self._carry([one for one in taken if not one[1].done()])
        finally:
            self._sending = None
            for _, answer in [*taken, *self._waiting]:  # the loop ends
                answer.cancel()
            self._waiting = []

    async def _carry(self, taken: list[_Waiting]) -> None:
        try:
            told = await all_asked(self._client, self._what, [run for run, _ in taken])
        except BusUnavailable as problem:
            if len(taken) > 1:
                await asyncio.gather(*[self._by_itself(*one) for one in taken])
            else:
                _settle(taken[0][1], problem)
            return
        for (_, answer), reply in zip(taken, told, strict=True):
            _settle(answer, reply)

    async def _by_itself(self, run: Run, answer: "asyncio.Future[Any]") -> None:
        try:
            reply = await asked(self._client, self._what, run)
        except BusUnavailable as problem:
            reply = problem
        _settle(answer, reply)


def _settle(answer: "asyncio.Future[Any]", reply: Any) -> None:
    if answer.done():  # its caller was cancelled meanwhile
        return
    if isinstance(reply, BusUnavailable):
        answer.set_exception(reply)
    else:
        answer.set_result(reply)
