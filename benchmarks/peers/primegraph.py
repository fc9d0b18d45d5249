"""primeGraph, in memory (its durable store needs PostgreSQL); a graph holds one run, so one graph a run."""

import asyncio
from collections.abc import Awaitable, Callable

from primeGraph import END, START, Graph
from primeGraph.buffer import Incremental
from primeGraph.models import GraphState

from benchmarks.measure import Clock, Costs

Repetition = Callable[[], Awaitable[Costs]]


class Count(GraphState):
    n: Incremental[int] = 0


async def _nothing(state: Count) -> dict[str, int]:
    return {}


def _line(nodes: int, node: Callable[..., Awaitable[object]]) -> Graph:
    graph = Graph(state=Count())
    names = [f"node_{number}" for number in range(nodes)]
    for name in names:
        graph.node(name=name)(node)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph


def _timed(build: Callable[[], Graph], units: int) -> Repetition:
    async def repeat() -> Costs:
        graph = build()
        with Clock(units) as clock:
            await graph.execute()
        if graph.chain_status.value != "DONE":
            raise RuntimeError(f"ended {graph.chain_status.value}")
        return clock.costs

    return repeat


def chain(nodes: int) -> Repetition:
    """Without `compile()`: its engine does not need it, and it is a RecursionError at a thousand nodes."""
    return _timed(lambda: _line(nodes, _nothing), nodes)


def fan_out(branches: int) -> Repetition:
    def build() -> Graph:
        graph = Graph(state=Count(), max_node_iterations=branches + 10)
        graph.node(name="fork")(_nothing)
        graph.node(name="join")(_nothing)
        graph.add_edge(START, "fork")
        for number in range(branches):
            graph.node(name=f"branch_{number}")(_nothing)
            graph.add_edge("fork", f"branch_{number}")
            graph.add_edge(f"branch_{number}", "join")
        graph.add_edge("join", END)
        return graph

    return _timed(build, branches)


def loop(iterations: int) -> Repetition:
    def build() -> Graph:
        graph = Graph(state=Count(), max_node_iterations=iterations + 10)

        @graph.node()
        async def work(state: Count) -> dict[str, int]:
            return {"n": 1}

        @graph.node()
        async def route(state: Count) -> str:
            if state.n < iterations:
                return "work"
            return END

        graph.add_edge(START, "work")
        graph.add_router_edge("work", "route")
        return graph

    return _timed(build, iterations)


def sleepers(runs: int, nodes: int, seconds: float) -> Repetition:
    async def sleep(state: Count) -> dict[str, int]:
        await asyncio.sleep(seconds)
        return {}

    async def repeat() -> Costs:
        graphs = [_line(nodes, sleep) for _ in range(runs)]
        with Clock(1) as clock:
            await asyncio.gather(*(graph.execute() for graph in graphs))
        return clock.costs

    return repeat
