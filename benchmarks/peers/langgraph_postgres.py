"""LangGraph with AsyncPostgresSaver, durability "sync"."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph

from benchmarks import database
from benchmarks.measure import Clock, Costs
from benchmarks.peers.langgraph import Talk, add, config, line, until

Repetition = Callable[[], Awaitable[Costs]]


def said() -> dict[str, str]:
    """Return a message that a server cannot compress to nothing."""
    return {"role": "user", "text": secrets.token_hex(50)}


def steps(url: str, runs: int, steps: int) -> Repetition:
    """Time a step of ``runs`` chains at once."""
    builder = line(steps, add)
    own = database.fresh(url)

    async def one(graph: object, thread: str) -> None:
        state = await graph.ainvoke({"n": 0}, config(steps, thread), durability="sync")
        assert state["n"] == steps

    async def repeat() -> Costs:
        async with AsyncPostgresSaver.from_conn_string(own) as saver:
            await saver.setup()
            graph = builder.compile(checkpointer=saver)
            once = secrets.token_hex(4)
            with Clock(runs * steps) as clock:
                await asyncio.gather(*(one(graph, f"{once}-{number}") for number in range(runs)))
        return clock.costs

    return repeat


def history(url: str, steps: int, messages: int) -> Repetition:
    """Measure what each further step takes and stores; see `benchmarks.ours.postgres`."""

    async def work(state: Talk) -> dict[str, object]:
        return {"n": state["n"] + 1, "messages": [said()]}

    async def after(count: int) -> Costs:
        own = database.fresh(url)
        builder = StateGraph(Talk)
        builder.add_node("work", work)
        builder.add_edge(START, "work")
        builder.add_conditional_edges("work", until(count), ["work", END])
        start = {"n": 0, "messages": [said() for _ in range(messages)]}
        async with AsyncPostgresSaver.from_conn_string(own) as saver:
            await saver.setup()
            graph = builder.compile(checkpointer=saver)
            before = database.stored_bytes(own)
            with Clock(1) as clock:
                await graph.ainvoke(start, config(count), durability="sync")
        stored = database.stored_bytes(own)
        database.drop(own)
        return clock.costs | {name: stored[name] - before[name] for name in stored}

    async def repeat() -> Costs:
        few, many = await after(10), await after(10 + steps)
        return {name: (many[name] - few[name]) / steps for name in many}

    return repeat
