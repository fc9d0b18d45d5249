"""LangGraph: static edges, conditional edges and Send; AsyncSqliteSaver with durability "sync"."""

import asyncio
import operator
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from benchmarks.measure import Clock, Costs, stored_bytes

Repetition = Callable[[], Awaitable[Costs]]


class Count(TypedDict):
    n: Annotated[int, operator.add]


class Talk(TypedDict):
    n: int
    messages: Annotated[list[dict[str, str]], operator.add]


async def _nothing(state: Count) -> dict[str, int]:
    return {}


async def add(state: Count) -> dict[str, int]:
    return {"n": 1}


def until(count: int) -> Callable[[Count], str]:
    return lambda state: "work" if state["n"] < count else END


def line(nodes: int, node: Callable[..., Awaitable[object]], schema: type = Count) -> StateGraph:
    builder = StateGraph(schema)
    names = [f"node_{number}" for number in range(nodes)]
    for name in names:
        builder.add_node(name, node)
    for before, after in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(before, after)
    return builder


def config(steps: int, thread: str = "run") -> dict[str, object]:
    return {"recursion_limit": steps + 100, "configurable": {"thread_id": thread}}


def _timed(graph: object, start: dict[str, object], units: int) -> Repetition:
    async def repeat() -> Costs:
        with Clock(units) as clock:
            await graph.ainvoke(start, config(units))
        return clock.costs

    return repeat


def chain(nodes: int) -> Repetition:
    return _timed(line(nodes, _nothing).compile(), {"n": 0}, nodes)


def fan_out(branches: int) -> Repetition:
    builder = StateGraph(Count)
    names = [f"branch_{number}" for number in range(branches)]
    builder.add_node("fork", _nothing)
    builder.add_node("join", _nothing)
    for name in names:
        builder.add_node(name, _nothing)
        builder.add_edge("fork", name)
    builder.add_edge(names, "join")
    builder.add_edge(START, "fork")
    builder.add_edge("join", END)
    return _timed(builder.compile(), {"n": 0}, branches)


def send(branches: int) -> Repetition:
    builder = StateGraph(Count)
    builder.add_node("fork", _nothing)
    builder.add_node("work", _nothing)
    builder.add_node("join", _nothing)
    builder.add_edge(START, "fork")
    sends = [Send("work", number) for number in range(branches)]
    builder.add_conditional_edges("fork", lambda state: sends, ["work"])
    builder.add_edge("work", "join")
    builder.add_edge("join", END)
    return _timed(builder.compile(), {"n": 0}, branches)


def loop(iterations: int) -> Repetition:
    builder = StateGraph(Count)
    builder.add_node("work", add)
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", until(iterations), ["work", END])
    return _timed(builder.compile(), {"n": 0}, iterations)


def sleepers(runs: int, nodes: int, seconds: float) -> Repetition:
    async def sleep(state: Count) -> dict[str, int]:
        await asyncio.sleep(seconds)
        return {}

    graph = line(nodes, sleep).compile()

    async def repeat() -> Costs:
        with Clock(1) as clock:
            await asyncio.gather(*(graph.ainvoke({"n": 0}) for _ in range(runs)))
        return clock.costs

    return repeat


def durable(runs: int, steps: int) -> Repetition:
    builder = line(steps, add)

    async def one(graph: object, thread: str) -> None:
        await graph.ainvoke({"n": 0}, config(steps, thread), durability="sync")

    async def repeat() -> Costs:
        with tempfile.TemporaryDirectory() as folder:
            async with _saver(Path(folder) / "graph.db") as saver:
                graph = builder.compile(checkpointer=saver)
                await saver.setup()
                with Clock(runs * steps) as clock:
                    await asyncio.gather(*(one(graph, f"run-{number}") for number in range(runs)))
        return clock.costs

    return repeat


def stored(steps: int, messages: int, append: bool) -> Repetition:
    """Measure what each further step adds to the file; see `benchmarks.ours.stored`."""

    async def work(state: Talk) -> dict[str, object]:
        said = {"messages": [{"role": "user", "text": "x" * 100}]} if append else {}
        return {"n": state["n"] + 1, **said}

    async def after(count: int) -> Costs:
        builder = StateGraph(Talk)
        builder.add_node("work", work)
        builder.add_edge(START, "work")
        builder.add_conditional_edges("work", until(count), ["work", END])
        start = {"n": 0, "messages": [{"role": "user", "text": "x" * 100}] * messages}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "graph.db"
            async with _saver(path) as saver:
                await builder.compile(checkpointer=saver).ainvoke(start, config(count), durability="sync")
            return stored_bytes(path)

    async def repeat() -> Costs:
        few, many = await after(10), await after(10 + steps)
        return {name: (many[name] - few[name]) / steps for name in many}

    return repeat


def _saver(path: Path) -> AbstractAsyncContextManager[AsyncSqliteSaver]:
    return AsyncSqliteSaver.from_conn_string(str(path))


def stream(nodes: int, tokens: int) -> Repetition:
    async def talk(state: Count) -> dict[str, int]:
        write = get_stream_writer()
        for number in range(tokens):
            write(f"token {number} ")
            await asyncio.sleep(0)
        return {}

    graph = line(nodes, talk).compile()

    async def repeat() -> Costs:
        seen = 0
        with Clock(nodes * tokens) as clock:
            async for mode, _ in graph.astream({"n": 0}, stream_mode=["updates", "custom"]):
                seen += mode == "custom"
        assert seen == nodes * tokens, seen
        return clock.costs

    return repeat
