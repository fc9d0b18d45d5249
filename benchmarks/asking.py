"""What every agent of the benchmarks is asked and given, and how its loops and first tokens are timed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from statistics import median

from benchmarks.measure import Clock, Costs

Repetition = Callable[[], Awaitable[Costs]]
KEY = "local"
MODEL = "local"
QUESTION = "What is the weather in Oslo?"
ANSWER = "The work is done."
"""What the local provider's scenario ``loop`` says once a tool was called, or when there is none."""
DESCRIPTION = "Tell the weather of a city"


async def weather(city: str) -> str:
    """Tell the weather of a city"""
    return f"Sunny in {city}, 21 degrees."


def loops(one: Callable[[], Awaitable[object]], times: int, at_once: int) -> Repetition:
    """Time ``times`` loops of two model calls and one tool, ``at_once`` side by side."""

    async def repeat() -> Costs:
        with Clock(times) as clock:
            for _ in range(0, times, at_once):
                for said in await asyncio.gather(*(one() for _ in range(at_once))):
                    assert said == ANSWER, f"it said {said!r}"
        return clock.costs

    return repeat


def first_tokens(one: Callable[[], AsyncGenerator[str]], times: int) -> Repetition:
    """Time how long the first piece of a streamed answer takes; the rest is read before the next is asked for."""

    async def repeat() -> Costs:
        took = [await _first(one()) for _ in range(times)]
        return {"first": median(took)}

    return repeat


async def _first(stream: AsyncGenerator[str]) -> float:
    began, took, said = time.perf_counter(), 0.0, ""
    async with aclosing(stream):
        async for piece in stream:
            if piece and not said:
                took = time.perf_counter() - began
            said += piece
    assert said == ANSWER, f"it said {said!r}"
    return took
