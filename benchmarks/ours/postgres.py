"""Ropewalk on PostgreSQL: the whole engine, with a graph and its store."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from benchmarks import database
from benchmarks.measure import Clock, Costs
from benchmarks.ours.durable import Talk
from benchmarks.ours.in_memory import Count, line
from ropewalk import END, START, Graph
from ropewalk.stores.postgres import PostgresRunStore

Repetition = Callable[[], Awaitable[Costs]]


def said() -> dict[str, str]:
    """Return a message that a server cannot compress to nothing."""
    return {"role": "user", "text": secrets.token_hex(50)}


async def _add(state: Count) -> dict[str, int]:
    return {"n": 1}


def steps(url: str, runs: int, steps: int) -> Repetition:
    """Time a step of ``runs`` chains at once; admission and the end of each run are in it."""
    graph = line(steps, _add, store=PostgresRunStore(database.fresh(url)))

    async def one() -> None:
        state = await graph.start(Count())
        assert state.n == steps

    async def repeat() -> Costs:
        with Clock(runs * steps) as clock:
            await asyncio.gather(*(one() for _ in range(runs)))
        return clock.costs

    return repeat


def history(url: str, steps: int, messages: int) -> Repetition:
    """Measure what each further step takes and stores: a run of 10 + ``steps`` steps against one of 10.

    Both begin with ``messages`` messages of 100 characters; each step adds one.
    """

    async def work(state: Talk) -> dict[str, object]:
        return {"n": 1, "messages": said()}

    async def after(count: int) -> Costs:
        own = database.fresh(url)
        store = PostgresRunStore(own)
        await store.runs(limit=1)  # the tables are made now, not while it is timed
        graph = Graph(Talk, store=store, max_node_iterations=10 * count)
        graph.add_node(work, name="work")
        graph.add_edge(START, "work")
        graph.add_router_edge("work", lambda state: "work" if state.n < count else END, routes=["work", END])
        graph.compile()
        before = database.stored_bytes(own)
        with Clock(1) as clock:
            state = await graph.start(Talk(messages=[said() for _ in range(messages)]))
        assert state.n == count
        await store.close()
        stored = database.stored_bytes(own)
        database.drop(own)
        return clock.costs | {name: stored[name] - before[name] for name in stored}

    async def repeat() -> Costs:
        few, many = await after(10), await after(10 + steps)
        return {name: (many[name] - few[name]) / steps for name in many}

    return repeat
