"""Gathers the appends to chunk logs that belong into one round trip, and gives each caller its own answer.

One round trip is under way at a time: what comes meanwhile goes with the next, so that a slower server is asked less
often, not with more connections. In a cluster each session is a script of its own, because a script stays on one node.
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from ropewalk.errors import BusUnavailable
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.bus_talk import all_asked
from ropewalk.messaging.redis.talk import Argument, Run, script

_MOST_IN_A_SCRIPT = 100
"""While a script runs the server does nothing else: about a millisecond."""


class _Waiting(NamedTuple):
    keys: Sequence[str]
    arguments: Sequence[Argument]
    answer: "asyncio.Future[bytes]"


class AppendDesk:
    """What is to be appended, and who waits for it."""

    def __init__(self, client: AsyncRedisClient, *, kept: int, ttl_ms: int) -> None:
        self._client = client
        self._settings = (kept, ttl_ms)
        self._waiting: list[_Waiting] = []
        self._sending: asyncio.Task[None] | None = None

    def add(self, keys: Sequence[str], arguments: Sequence[Argument]) -> "asyncio.Future[bytes]":
        """Append with the others of this turn of the loop; the answer is a line of log_append.lua."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(keys, arguments, answer))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return answer

    async def close(self) -> None:
        if self._sending is not None:
            await asyncio.wait([self._sending])

    async def _send(self) -> None:
        """Send until nobody waits: each round takes all that came while the one before was under way, and what those
        add who were answered by it.
        """
        taken: list[_Waiting] = []
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, []
                await self._carry(taken)
                await asyncio.sleep(0)
        finally:
            self._sending = None
            for one in [*taken, *self._waiting]:  # the loop ends
                one.answer.cancel()
            self._waiting = []

    async def _carry(self, taken: list[_Waiting]) -> None:
        size = 1 if self._client.config.cluster else _MOST_IN_A_SCRIPT
        groups = [taken[start : start + size] for start in range(0, len(taken), size)]
        try:
            told = await all_asked(self._client, "The chunk log", [self._run(group) for group in groups])
        except BusUnavailable as problem:
            for one in taken:
                if not one.answer.done():
                    one.answer.set_exception(problem.again())
            return
        for group, lines in zip(groups, told, strict=True):
            for one, line in zip(group, lines.split(b"\n"), strict=True):
                if not one.answer.done():
                    one.answer.set_result(line)

    def _run(self, group: list[_Waiting]) -> Run:
        keys = [key for one in group for key in one.keys]
        arguments = [argument for one in group for argument in one.arguments]
        return Run(script("log_append", "log_rules"), keys, (*self._settings, secrets.token_hex(8), *arguments))
