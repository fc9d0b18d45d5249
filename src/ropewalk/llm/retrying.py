"""Asks a model again when that may help."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from ropewalk.contracts.model import Model, ModelPart, ModelRequest, Reply, Restarted
from ropewalk.errors import ModelError


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """When a failed call is made again, and after how long."""

    attempts: int = 4
    """How often the model may be asked in all."""
    backoff_seconds: float = 0.5
    factor: float = 2.0
    max_backoff_seconds: float = 30.0
    jitter: float = 0.25
    """Share of a wait by which it may be longer, so that many callers do not come back at once."""
    max_retry_after_seconds: float = 120.0
    """A provider that asks to wait longer than this is not waited for."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.backoff_seconds < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError("RetryPolicy needs attempts >= 1, backoff_seconds >= 0, factor >= 1, jitter from 0 to 1.")

    def wait_seconds(self, failures: int, error: ModelError, chance: float) -> float | None:
        """Return how long to wait after so many failures, None to give up; ``chance`` is from 0 to 1."""
        asked = error.retry_after_seconds or 0.0
        if not error.retryable or failures >= self.attempts or asked > self.max_retry_after_seconds:
            return None
        backoff = min(self.backoff_seconds * self.factor ** (failures - 1), self.max_backoff_seconds)
        return max(backoff, asked) * (1 + self.jitter * chance)


class Retrying:
    """Wraps a model: what is `retryable` is asked again; readers of a stream are told by `Restarted`."""

    def __init__(self, model: Model, policy: RetryPolicy | None = None) -> None:
        self.model = model
        self.policy = policy or RetryPolicy()

    @property
    def provider(self) -> str:
        return self.model.provider

    @property
    def name(self) -> str:
        return self.model.name

    async def answer(self, request: ModelRequest) -> Reply:
        """Ask until the policy gives up; raises the last error."""
        failures = 0
        while True:
            try:
                return await self.model.answer(request)
            except ModelError as error:
                failures += 1
                await self._wait(failures, error)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Ask until the policy gives up; raises the last error."""
        failures = 0
        while True:
            shown = False
            try:
                async with aclosing(cast("Any", self.model.stream(request))) as parts:
                    async for part in parts:
                        shown = True
                        yield part
                return
            except ModelError as error:
                failures += 1
                reason = error.code
                await self._wait(failures, error)
            if shown:
                yield Restarted(reason)

    async def close(self) -> None:
        await self.model.close()

    async def _wait(self, failures: int, error: ModelError) -> None:
        """Wait before another attempt, or raise the error."""
        seconds = self.policy.wait_seconds(failures, error, random.random())
        if seconds is None:
            if failures > 1:
                error.add_note(f"It was asked {failures} times.")
            raise error
        await asyncio.sleep(seconds)
