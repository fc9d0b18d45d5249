"""Counts what a model is asked and costs, and stops at a limit."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from ropewalk.contracts.limits import Limits
from ropewalk.contracts.model import Model, ModelPart, ModelRequest, Reply, Usage
from ropewalk.llm.prices import Prices, priced


class Metered:
    """Wraps a model; what several share is counted together.

    A call counts when it is begun, so that a limit on calls holds whatever is under way at once; its tokens count when
    it has ended. Put it inside of `Retrying` to count every attempt: ``Retrying(Metered(client))``.
    """

    def __init__(
        self,
        model: Model,
        *,
        limits: Limits | None = None,
        prices: Prices | None = None,
        on_usage: Callable[[Reply], None] | None = None,
    ) -> None:
        """``prices`` None: what the model itself says; ``on_usage`` is told of every answer."""
        self.model = model
        self.limits = limits or Limits()
        self.calls = 0
        self.usage = Usage()
        self._prices = prices
        self._on_usage = on_usage

    @property
    def provider(self) -> str:
        return self.model.provider

    @property
    def name(self) -> str:
        return self.model.name

    async def answer(self, request: ModelRequest) -> Reply:
        """Ask, unless a limit is reached: then raises `ModelLimitReached`."""
        self._begin()
        return self._counted(await self.model.answer(request))

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Ask, unless a limit is reached: then raises `ModelLimitReached`."""
        self._begin()
        async with aclosing(cast("Any", self.model.stream(request))) as parts:
            async for part in parts:
                yield self._counted(part) if isinstance(part, Reply) else part

    async def close(self) -> None:
        await self.model.close()

    def _begin(self) -> None:
        self.limits.check(self.usage, self.calls, model=self.name)
        self.calls += 1

    def _counted(self, reply: Reply) -> Reply:
        if self._prices is not None:
            reply = replace(reply, usage=priced(reply.usage, reply.model, self._prices))
        self.usage += reply.usage
        if self._on_usage is not None:
            self._on_usage(reply)
        return reply
