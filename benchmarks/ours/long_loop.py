"""Ropewalk in a long loop: does it hold more, or take longer, at the end than near the beginning?"""

import gc
import tempfile
import time
from collections.abc import Awaitable, Callable

from benchmarks.measure import Costs, resident_bytes
from ropewalk import END, START, Graph, GraphState, Incremental


class Count(GraphState):
    n: Incremental[int] = 0


def flat(iterations: int, durable: bool) -> Callable[[], Awaitable[Costs]]:
    """Compare memory after the last fifth and the first; CPU time of the last fifth and the second."""
    folder = tempfile.mkdtemp(prefix="bench-loop-")
    store = f"sqlite:///{folder}/runs.db" if durable else None
    marks: dict[int, tuple[int, float]] = {}
    fifth = iterations // 5

    async def work(state: Count) -> dict[str, int]:
        if state.n % fifth == 0:
            gc.collect()
            marks[state.n // fifth] = resident_bytes(), time.process_time()
        return {"n": 1}

    graph = Graph(Count, store=store, max_node_iterations=10 * iterations, execution_timeout=3600)
    graph.add_node(work, name="work")
    graph.add_edge(START, "work")
    graph.add_router_edge("work", lambda state: "work" if state.n <= iterations else END, routes=["work", END])
    graph.compile()

    async def repeat() -> Costs:
        marks.clear()
        await graph.start(Count())
        second, last = marks[2][1] - marks[1][1], marks[5][1] - marks[4][1]
        return {
            "growth": float(max(0, marks[5][0] - marks[1][0])),
            "drift": last / second,
            "cpu": last / fifth,
        }

    return repeat
