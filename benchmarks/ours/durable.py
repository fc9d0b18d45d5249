"""Ropewalk on SQLite: time per durable step, and bytes per durable step."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.measure import Clock, Costs, stored_bytes
from benchmarks.ours.in_memory import Count, line
from ropewalk import END, START, Graph, GraphState, History, Incremental

Repetition = Callable[[], Awaitable[Costs]]


class Talk(GraphState):
    n: Incremental[int] = 0
    messages: History[dict[str, str]]


async def _add(state: Count) -> dict[str, int]:
    return {"n": 1}


def steps(runs: int, steps: int) -> Repetition:
    """Time a step of ``runs`` chains at once; admission and the end of each run are in it."""
    folder = tempfile.mkdtemp(prefix="bench-ropewalk-")
    graph = line(steps, _add, store=f"sqlite:///{folder}/runs.db")

    async def one() -> None:
        state = await graph.start(Count())
        assert state.n == steps

    async def repeat() -> Costs:
        with Clock(runs * steps) as clock:
            await asyncio.gather(*(one() for _ in range(runs)))
        return clock.costs

    return repeat


def stored(steps: int, messages: int, append: bool) -> Repetition:
    """Measure what each further step adds to the file: a run of 10 + ``steps`` steps against one of 10.

    Both begin with ``messages`` messages of 100 characters; each step adds one when ``append`` is set.
    """

    async def work(state: Talk) -> dict[str, object]:
        return {"n": 1, "messages": {"role": "user", "text": "x" * 100}} if append else {"n": 1}

    async def after(count: int) -> Costs:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "runs.db"
            graph = Graph(Talk, store=f"sqlite:///{path}", max_node_iterations=10 * count)
            graph.add_node(work, name="work")
            graph.add_edge(START, "work")
            graph.add_router_edge("work", lambda state: "work" if state.n < count else END, routes=["work", END])
            graph.compile()
            state = await graph.start(Talk(messages=[{"role": "user", "text": "x" * 100}] * messages))
            assert state.n == count
            return stored_bytes(path)

    async def repeat() -> Costs:
        few, many = await after(10), await after(10 + steps)
        return {name: (many[name] - few[name]) / steps for name in many}

    return repeat
