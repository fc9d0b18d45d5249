"""Leaves a model alone for a while after it failed again and again.

Closed: calls go through. After ``failures`` in a row it opens: calls are refused at once. After ``seconds`` one call is
let through to try; if it succeeds the circuit closes, else it stays open for as long again.
"""

import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import aclosing, contextmanager
from typing import Any, cast

from ropewalk.contracts.model import Model, ModelPart, ModelRequest, Reply
from ropewalk.errors import (
    ModelCircuitOpen,
    ModelError,
    ModelReplyUnreadable,
    ModelStalled,
    ModelStreamBroken,
    ModelUnavailable,
    ModelUnreachable,
)

ILLNESS = (ModelUnavailable, ModelUnreachable, ModelStalled, ModelStreamBroken, ModelReplyUnreadable)
"""What tells that the provider is ill, not that the request is wrong or too early."""


class CircuitBreaker:
    """Wraps a model; share one breaker among all that ask it."""

    def __init__(
        self,
        model: Model,
        *,
        failures: int = 5,
        seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or seconds <= 0:
            raise ValueError("CircuitBreaker needs failures >= 1 and seconds > 0.")
        self.model = model
        self._failures_allowed = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._opened_at = 0.0
        self._trying = False

    @property
    def provider(self) -> str:
        return self.model.provider

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def is_open(self) -> bool:
        return self._failures >= self._failures_allowed

    async def answer(self, request: ModelRequest) -> Reply:
        """Ask, unless the circuit is open: then raises `ModelCircuitOpen`."""
        with self._watched():
            return await self.model.answer(request)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Ask, unless the circuit is open: then raises `ModelCircuitOpen`."""
        with self._watched():
            async with aclosing(cast("Any", self.model.stream(request))) as parts:
                async for part in parts:
                    yield part

    async def close(self) -> None:
        await self.model.close()

    @contextmanager
    def _watched(self) -> Generator[None]:
        tries = self._admit()
        try:
            yield
        except ILLNESS:
            self._failures += 1
            self._opened_at = self._clock()
            raise
        except ModelError:
            self._failures = 0  # it judged the request, so it is well
            raise
        else:
            self._failures = 0
        finally:
            if tries:
                self._trying = False

    def _admit(self) -> bool:
        """Return whether this call is the one that tries an open circuit. Raises `ModelCircuitOpen`."""
        if not self.is_open:
            return False
        left = self._opened_at + self._seconds - self._clock()
        if left > 0 or self._trying:
            raise ModelCircuitOpen(self.name, self._failures, max(left, 0.1), provider=self.provider)
        self._trying = True
        return True
