"""Bare asyncio: one task per node, and nothing that joins, merges, checks or logs."""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.measure import Clock, Costs

Repetition = Callable[[], Awaitable[Costs]]


async def _nothing() -> dict[str, int]:
    return {}


def chain(nodes: int) -> Repetition:
    async def repeat() -> Costs:
        with Clock(nodes) as clock:
            for _ in range(nodes):
                await asyncio.create_task(_nothing())
        return clock.costs

    return repeat


def fan_out(branches: int) -> Repetition:
    async def repeat() -> Costs:
        with Clock(branches) as clock:
            await asyncio.gather(*(_nothing() for _ in range(branches)))
        return clock.costs

    return repeat


def sleepers(runs: int, nodes: int, seconds: float) -> Repetition:
    async def run() -> None:
        for _ in range(nodes):
            await asyncio.sleep(seconds)

    async def repeat() -> Costs:
        with Clock(1) as clock:
            await asyncio.gather(*(run() for _ in range(runs)))
        return clock.costs

    return repeat


def stream(nodes: int, tokens: int) -> Repetition:
    """Pass every token through one queue, the producer giving way after each as a model's stream does."""

    async def produce(queue: asyncio.Queue[str | None]) -> None:
        for _ in range(nodes):
            for number in range(tokens):
                queue.put_nowait(f"token {number} ")
                await asyncio.sleep(0)
        queue.put_nowait(None)

    async def repeat() -> Costs:
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        with Clock(nodes * tokens) as clock:
            producer = asyncio.create_task(produce(queue))
            while await queue.get() is not None:
                pass
            await producer
        return clock.costs

    return repeat
