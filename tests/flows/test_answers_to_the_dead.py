"""An answer to a run whose driver is gone waits for nobody, where the log or the queue can tell; else a moment."""

import asyncio
import time
from typing import Any

import pytest
from tests.flows.test_workers_processes import submitting, working

from ropewalk import END, START, Context, Graph, GraphState, History
from ropewalk.core import owning
from ropewalk.stores.memory import MemoryRunStore

FLOW = """
import asyncio, pathlib
from ropewalk import END, START, Context, Graph, GraphState, History

class Work(GraphState):
    log: History[str]

sides = Graph(Work, name="sides")

@sides.node
async def asks(ctx: Context):
    return {"log": await ctx.ask("?")}

@sides.node
async def held(ctx: Context):
    if ctx.attempt == 1:
        await asyncio.sleep(600)
    return {"log": "held"}

sides.add_edge(START, "asks").add_edge(START, "held").add_edge("asks", END).add_edge("held", END)
"""


class Work(GraphState):
    log: History[str]


def drawn(store: Any, gate: asyncio.Event) -> Graph[Work]:
    """Draw a graph that asks on one side, and on the other has something in flight."""
    graph = Graph(Work, store=store, name="sides")

    @graph.node
    async def asks(ctx: Context) -> dict[str, Any]:
        return {"log": str(await ctx.ask("?"))}

    @graph.node
    async def held(ctx: Context) -> dict[str, Any]:
        await gate.wait()
        return {"log": f"attempt {ctx.attempt}"}

    graph.add_edge(START, "asks").add_edge(START, "held")
    return graph.add_edge("asks", END).add_edge("held", END)


async def asking(run: Any) -> str:
    """Return the pause of a run that has asked."""
    async for event in run.events():
        if event.type == "paused":
            return str(event.data["pause"])
    raise AssertionError(f"{run} does not ask")


def test_a_run_that_was_handed_over_is_nobodys_and_is_answered_at_once() -> None:
    async def main() -> None:
        store, gate = MemoryRunStore(), asyncio.Event()
        run = drawn(store, gate).start()
        pause = await asking(run)
        await run.hand_over(grace_seconds=0.0)
        other, began = drawn(store, gate).open(run.run_id), time.monotonic()
        await other.answer(pause, "yes")
        assert time.monotonic() - began < 1.0
        gate.set()
        assert "yes" in (await other).log

    asyncio.run(main())


def test_a_run_that_somebody_took_after_it_was_handed_over_may_finish_what_is_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owning, "_LETS_OTHERS_FINISH_SECONDS", 5.0)

    async def main() -> None:
        store, gate = MemoryRunStore(), asyncio.Event()
        run = drawn(store, gate).start()
        pause = await asking(run)
        await run.hand_over(grace_seconds=0.0)
        second = drawn(store, gate).open(run.run_id)
        await second.take_over()
        answering = asyncio.create_task(drawn(store, gate).open(run.run_id).answer(pause, "yes"))
        await asyncio.sleep(0.5)
        assert not answering.done()
        gate.set()
        await answering
        entries = await drawn(store, gate).open(run.run_id).history()
        assert [entry.data["reason"] for entry in entries if entry.type == "reset"] == ["interrupted"]

    asyncio.run(main())


def test_a_run_whose_worker_died_and_whose_lease_is_over_is_not_waited_for(tmp_path: Any, postgres_url: str) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text(FLOW)

    async def main() -> None:
        async with submitting(flow, "sides", postgres_url) as graph:
            run = await graph.submit()
            with working(flow, "sides", postgres_url, "--lease", "1") as worker:
                pause = await asking(graph.open(run.run_id))
                worker.kill()
                worker.wait()
            queued = graph.desk.queued
            while (place := await queued(run.run_id)) is None or (place.due_seconds or 0) <= 0:
                await asyncio.sleep(0.05)
            assert place.worker is not None
            began = time.monotonic()
            await graph.open(run.run_id).answer(pause, "yes")
            assert time.monotonic() - began < 2.0
            with working(flow, "sides", postgres_url):
                assert sorted((await graph.open(run.run_id)).log) == ["held", "yes"]

    asyncio.run(main())
