"""Asks one model after another until one answers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from ropewalk.contracts.model import Model, ModelPart, ModelRequest, Reply, Restarted
from ropewalk.errors import ConversationInvalid, ModelError, ModelLimitReached

NO_MODEL_HELPS = (ConversationInvalid, ModelLimitReached)


class Fallback:
    """Wraps models: when the first gives no whole answer the next is asked, also in the middle of a stream.

    A request's ``model`` and ``extra`` are meant for the first one: a model of the same provider gets ``extra`` too.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        if not models:
            raise ValueError("Fallback needs at least one model.")
        self.models = tuple(models)

    @property
    def provider(self) -> str:
        return self.models[0].provider

    @property
    def name(self) -> str:
        return self.models[0].name

    async def answer(self, request: ModelRequest) -> Reply:
        """Return the first whole answer; raises the last model's error."""
        told: list[str] = []
        for position, model in enumerate(self.models):
            try:
                return await model.answer(self._meant_for(position, request))
            except ModelError as error:
                self._next_or_raise(position, error, told)
        raise AssertionError("the last model answers or raises")

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Yield the first answer that becomes whole; raises the last model's error."""
        told: list[str] = []
        shown = False
        for position, model in enumerate(self.models):
            try:
                async with aclosing(cast("Any", model.stream(self._meant_for(position, request)))) as parts:
                    async for part in parts:
                        shown = True
                        yield part
                return
            except ModelError as error:
                self._next_or_raise(position, error, told)
                reason = error.code
            if shown:
                yield Restarted(f"{reason}: {self.models[position + 1].name} is asked instead")
                shown = False

    async def close(self) -> None:
        for model in self.models:
            await model.close()

    def _meant_for(self, position: int, request: ModelRequest) -> ModelRequest:
        if position == 0:
            return request
        at_home = self.models[position].provider == self.provider
        return replace(request, model=None, extra=request.extra if at_home else {})

    def _next_or_raise(self, position: int, error: ModelError, told: list[str]) -> None:
        if isinstance(error, NO_MODEL_HELPS) or position == len(self.models) - 1:
            for before in told:
                error.add_note(f"Before that: {before}")
            raise error
        told.append(str(error))
