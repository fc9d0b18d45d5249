"""pydantic-graph 1.x: a chain and a loop are the same, a node that returns the next; it has no branches.

Its FileStatePersistence rewrites the whole history into one JSON file at every node.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic_graph import BaseNode, End, Graph, GraphRunContext
from pydantic_graph.persistence.file import FileStatePersistence

from benchmarks.measure import Clock, Costs

Repetition = Callable[[], Awaitable[Costs]]


@dataclass
class Step(BaseNode[None, None, int]):
    left: int

    async def run(self, ctx: GraphRunContext[None, None]) -> "Step | End[int]":
        return Step(self.left - 1) if self.left > 1 else End(0)


@dataclass
class Nap(BaseNode[None, None, int]):
    left: int
    seconds: float

    async def run(self, ctx: GraphRunContext[None, None]) -> "Nap | End[int]":
        await asyncio.sleep(self.seconds)
        return Nap(self.left - 1, self.seconds) if self.left > 1 else End(0)


def chain(nodes: int) -> Repetition:
    graph = Graph(nodes=[Step])

    async def repeat() -> Costs:
        with Clock(nodes) as clock:
            await graph.run(Step(nodes))
        return clock.costs

    return repeat


def sleepers(runs: int, nodes: int, seconds: float) -> Repetition:
    graph = Graph(nodes=[Nap])

    async def repeat() -> Costs:
        with Clock(1) as clock:
            await asyncio.gather(*(graph.run(Nap(nodes, seconds)) for _ in range(runs)))
        return clock.costs

    return repeat


def durable(steps: int) -> Repetition:
    graph = Graph(nodes=[Step])

    async def repeat() -> Costs:
        with tempfile.TemporaryDirectory() as folder:
            keep = FileStatePersistence(Path(folder) / "graph.json")
            with Clock(steps) as clock:
                await graph.run(Step(steps), persistence=keep)
        return clock.costs

    return repeat
