"""A run's picture, asked of the run itself: while it goes, waits, and after its process has gone."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from ropewalk import END, START, Context, Graph, GraphState, History, Run
from ropewalk.stores.sqlite import SqliteRunStore


class Log(GraphState):
    log: History[str]


def asking(store: Any) -> tuple[Graph[Log], asyncio.Event]:
    """`a`, then `slow`, which a gate holds, and `ask`, then `z`."""
    graph, gate = Graph(Log, store=store, name="Asking"), asyncio.Event()

    @graph.node
    async def a() -> None: ...

    @graph.node
    async def slow() -> None:
        await gate.wait()

    @graph.node
    async def ask(ctx: Context) -> None:
        await ctx.ask("?")

    @graph.node
    async def z() -> None: ...

    graph.add_edge(START, "a").add_edge("a", "slow").add_edge("a", "ask")
    graph.add_edge("slow", "z").add_edge("ask", "z").add_edge("z", END)
    return graph, gate


def statuses(svg: str) -> dict[str, str]:
    return dict(re.findall(r'data-node="(\w+)" data-status="(\w+)"', svg))


@pytest.fixture(params=["none", "memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return {"none": None, "memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/runs.db"}[request.param]


def test_a_picture_shows_what_ran_runs_waits_and_is_to_come(store: Any) -> None:
    graph, gate = asking(store)

    async def main() -> None:
        run: Run[Log] = graph.start()
        assert run._repr_mimebundle_()["image/svg+xml"].startswith("<svg")
        async for event in run.events():
            if event.type == "paused":
                break
        svg = await run.picture()
        assert statuses(svg) == {"a": "done", "slow": "running", "ask": "waiting", "z": "pending"}
        assert run._repr_mimebundle_()["image/svg+xml"] == svg
        assert "running" in await run.picture("mermaid")
        assert "digraph" in await run.picture("dot")
        gate.set()
        assert await run.wait() == "PAUSED"
        await run.answer(run.pauses[0].id, True)
        await run
        svg = await run.picture()
        assert statuses(svg) == dict.fromkeys(("a", "slow", "ask", "z"), "done")
        assert 'data-edge="ask-&gt;z" data-kind="arrow" data-taken="1"' in svg
        assert f"<Run {run.run_id}" in run._repr_mimebundle_()["text/plain"]

    asyncio.run(main())


def test_another_process_draws_the_same_picture(tmp_path: Path) -> None:
    async def drawn(run_id: str | None) -> tuple[str, str]:
        store = SqliteRunStore(tmp_path / "runs.db")
        graph, gate = asking(store)
        gate.set()
        run = graph.open(run_id) if run_id else graph.start()
        await run.wait()
        svg = await run.picture()
        await store.close()
        return run.run_id, svg

    run_id, svg = asyncio.run(drawn(None))
    assert asyncio.run(drawn(run_id)) == (run_id, svg)


def test_an_unknown_form_is_told_with_those_there_are() -> None:
    async def main() -> None:
        run: Any = Graph(Log).add_node(lambda: None, name="only").start()
        await run
        with pytest.raises(ValueError, match="Known: svg, mermaid, dot"):
            await run.picture("png")

    asyncio.run(main())
