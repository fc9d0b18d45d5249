"""What a node keeps in the log of a run without a store is there at once: no other loop gets a turn in between."""

import asyncio
from typing import Any

from ropewalk import END, START, Context, Graph, GraphState, Run
from ropewalk.core.context import Record


def run_of(node: Any) -> Run[GraphState]:
    graph = Graph(GraphState)
    graph.add_node(node, name="keeper")
    graph.add_edge(START, "keeper")
    graph.add_edge("keeper", END)
    return graph.start()


def test_it_is_kept_before_anybody_else_has_a_turn() -> None:
    turns: list[str] = []

    async def keeper(state: GraphState, ctx: Context) -> None:
        asyncio.get_running_loop().call_soon(turns.append, "another")
        await ctx.keep(Record("tool_result", "one", 1), Record("tool_result", "two", 2))
        turns.append(f"{ctx.kept('one')!r} {ctx.kept('two')!r}")

    async def main() -> None:
        run = run_of(keeper)
        await run
        assert [entry.type for entry in await run.history()] == [
            "run_started",
            "tool_result",
            "tool_result",
            "step_finished",
            "run_done",
        ]

    asyncio.run(main())
    assert turns == ["b'1' b'2'", "another"]
