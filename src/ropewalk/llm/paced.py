"""Asks a model no faster than a rate: requests and tokens a minute."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, cast

from ropewalk.contracts.model import Model, ModelPart, ModelRequest, Reply

MINUTE = 60.0


class Paced:
    """Wraps a model; callers over the rate wait their turn, in order.

    Requests are spread evenly. Tokens are known when a call has ended: they are paid back by waiting before the next.
    """

    def __init__(
        self,
        model: Model,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if any(rate is not None and rate <= 0 for rate in (requests_per_minute, tokens_per_minute)):
            raise ValueError("A rate must be more than 0 a minute.")
        self.model = model
        self._request_seconds = MINUTE / requests_per_minute if requests_per_minute else 0.0
        self._token_seconds = MINUTE / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._next_request = 0.0
        self._tokens_paid = 0.0

    @property
    def provider(self) -> str:
        return self.model.provider

    @property
    def name(self) -> str:
        return self.model.name

    async def answer(self, request: ModelRequest) -> Reply:
        """Ask when it is its turn."""
        await self._turn()
        return self._counted(await self.model.answer(request))

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Ask when it is its turn."""
        await self._turn()
        async with aclosing(cast("Any", self.model.stream(request))) as parts:
            async for part in parts:
                yield self._counted(part) if isinstance(part, Reply) else part

    async def close(self) -> None:
        await self.model.close()

    async def _turn(self) -> None:
        now = self._clock()
        turn = max(now, self._next_request)
        self._next_request = turn + self._request_seconds
        await asyncio.sleep(turn - now)
        while (owed := self._tokens_paid - self._clock()) > 0:  # noqa: ASYNC110  others add to it meanwhile
            await asyncio.sleep(owed)

    def _counted(self, reply: Reply) -> Reply:
        used = reply.usage.input_tokens + reply.usage.output_tokens
        self._tokens_paid = max(self._tokens_paid, self._clock()) + used * self._token_seconds
        return reply
