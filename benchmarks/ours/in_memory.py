"""Ropewalk without a store: chains, fans, loops, sleepers and streams."""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.measure import Clock, Costs
from ropewalk import END, START, Context, Graph, GraphState, Incremental, LastValue, Token

Repetition = Callable[[], Awaitable[Costs]]


class Count(GraphState):
    n: Incremental[int] = 0


class Items(Count):
    items: LastValue[list[int]]


async def _nothing(state: Count) -> dict[str, int]:
    return {}


async def _add(state: Count) -> dict[str, int]:
    return {"n": 1}


def line(nodes: int, node: Callable[..., Awaitable[object]], **options: object) -> Graph:
    """Return a compiled chain of ``nodes`` nodes that all do the same."""
    graph = Graph(Count, **options)
    names = [f"node_{number}" for number in range(nodes)]
    for name in names:
        graph.add_node(node, name=name)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph.compile()


def _timed(graph: Graph, units: int, *, start: Count | None = None, n: int = 0) -> Repetition:
    async def repeat() -> Costs:
        with Clock(units) as clock:
            state = await graph.start(start or Count())
        assert state.n == n, f"{state.n} instead of {n}"
        return clock.costs

    return repeat


def chain(nodes: int, writing: bool = False) -> Repetition:
    return _timed(line(nodes, _add if writing else _nothing), nodes, n=nodes if writing else 0)


def fan_out(branches: int) -> Repetition:
    graph = Graph(Count)
    graph.add_node(_nothing, name="fork")
    graph.add_node(_nothing, name="join")
    graph.add_edge(START, "fork")
    for number in range(branches):
        graph.add_node(_nothing, name=f"branch_{number}")
        graph.add_edge("fork", f"branch_{number}")
        graph.add_edge(f"branch_{number}", "join")
    graph.add_edge("join", END)
    return _timed(graph.compile(), branches)


def map_over(items: int) -> Repetition:
    async def work(state: Items, item: int) -> dict[str, int]:
        return {}

    graph = Graph(Items)
    graph.add_node(_nothing, name="fork")
    graph.add_node(work, name="work")
    graph.add_node(_nothing, name="join")
    graph.add_edge(START, "fork")
    graph.add_map_edge("fork", "work", "join", over=lambda state: state.items)
    graph.add_edge("join", END)
    return _timed(graph.compile(), items, start=Items(items=list(range(items))))


def loop(iterations: int) -> Repetition:
    graph = Graph(Count, max_node_iterations=10 * iterations)
    graph.add_node(_add, name="work")
    graph.add_edge(START, "work")
    graph.add_router_edge("work", lambda state: "work" if state.n < iterations else END, routes=["work", END])
    return _timed(graph.compile(), iterations, n=iterations)


def sleepers(runs: int, nodes: int, seconds: float) -> Repetition:
    async def sleep(state: Count) -> dict[str, int]:
        await asyncio.sleep(seconds)
        return {}

    graph = line(nodes, sleep)

    async def one() -> None:
        await graph.start(Count())

    async def repeat() -> Costs:
        with Clock(1) as clock:
            await asyncio.gather(*(one() for _ in range(runs)))
        return clock.costs

    return repeat


def stream(nodes: int, tokens: int) -> Repetition:
    """Follow a run live; a token that its step's entry overtook is in that entry's text."""

    async def talk(state: Count, ctx: Context) -> dict[str, int]:
        for number in range(tokens):
            ctx.emit(Token(f"token {number} "))
            await asyncio.sleep(0)
        return {}

    graph = line(nodes, talk)

    async def repeat() -> Costs:
        seen = said = 0
        with Clock(nodes * tokens) as clock:
            run = graph.start(Count())
            async for event in run.events():
                if event.type == "text":
                    seen += 1
                elif event.type == "step_finished":
                    said += event.data["text"].count("token")
            await run
        assert said == nodes * tokens, f"the entries hold {said} tokens of {nodes * tokens}"
        assert seen > 0.9 * nodes * tokens, f"only {seen} tokens of {nodes * tokens} came live"
        return clock.costs

    return repeat
