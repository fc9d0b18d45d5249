"""Runs that are left to workers: submitted here, driven there, answered anywhere."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental
from ropewalk.errors import AlreadyAnswered, RunCancelled, RunExists, RunPaused
from ropewalk.runtime import RunStatus, open_store
from ropewalk.workers import Worker


class Order(GraphState):
    log: History[str]
    count: Incremental[int] = 0


@asynccontextmanager
async def opened(url, *graphs):
    """Yield graphs over one store of their own, as a process has them."""
    store = open_store(url)
    try:
        yield [graph(store) for graph in graphs] if len(graphs) > 1 else graphs[0](store)
    finally:
        await store.close()


def straight(store, name="straight"):
    graph = Graph(Order, store=store, name=name)
    graph.add_node(lambda: {"log": "a", "count": 1}, name="a")
    graph.add_node(lambda: {"log": "b", "count": 1}, name="b")
    return graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)


def asking(store):
    graph = Graph(Order, store=store, name="asking")

    @graph.node
    async def ask(ctx):
        return {"log": await ctx.ask("Which?")}

    return graph.add_edge(START, "ask").add_edge("ask", END)


async def kinds(run):
    return [entry.type for entry in await run.history()]


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_submitted_run_is_driven_by_a_worker_and_followed_from_where_it_was_submitted(postgres_url):
    async def scenario():
        async with opened(postgres_url, straight) as here, opened(postgres_url, straight) as there:
            run = await here.submit(Order(log=["0"]), run_id="r")
            assert run.status == "RUNNING"
            await asyncio.sleep(0.2)
            assert await kinds(run) == ["run_started"]  # nobody drives it here
            async with Worker(there, lease=10) as worker:
                seen = [event.type async for event in run.events()]
                state = await run
                assert worker.driving == [] or await until(lambda: not worker.driving) is None
            assert seen == ["run_started", "step_finished", "step_finished", "run_done"]
            assert (state.log, state.count) == (["0", "a", "b"], 2)
            assert await kinds(run) == seen
            with pytest.raises(RunExists):
                await here.submit(run_id="r")

    asyncio.run(scenario())


def test_a_store_without_a_queue_refuses_to_leave_a_run_to_workers(tmp_path):
    async def scenario():
        for store in (None, open_store("memory:"), open_store(f"sqlite:///{tmp_path}/runs.db")):
            graph = straight(store)
            with pytest.raises(TypeError, match="postgresql://"):
                await graph.submit()
            with pytest.raises(TypeError, match="postgresql://"):
                Worker(graph)

    asyncio.run(scenario())


def test_an_answer_is_one_append_and_a_worker_goes_on(postgres_url):
    async def scenario():
        async with opened(postgres_url, asking) as here, opened(postgres_url, asking) as there:
            run = await here.submit()
            async with Worker(there, lease=10):
                with pytest.raises(RunPaused) as paused:
                    await run
            again = await opened_run(postgres_url, run.run_id, paused.value.pauses[0].id)
            assert again == ["run_started", "paused", "run_paused", "answered"]
            with pytest.raises(AlreadyAnswered):
                await run.answer(paused.value.pauses[0], "mine")
            async with Worker(there, lease=10):
                assert (await run).log == ["this one"]
            assert await kinds(run) == [*again, "step_finished", "run_done"]

    async def opened_run(url, run_id, pause):
        async with opened(url, asking) as elsewhere:
            run = elsewhere.open(run_id)
            await run.answer(pause, "this one", by="Ann")
            await asyncio.sleep(0.2)
            assert run.status == "RUNNING"
            return await kinds(run)

    asyncio.run(scenario())


def test_a_cancel_reaches_the_nodes_at_the_worker(postgres_url):
    stopped = []

    def endless(store):
        graph = Graph(Order, store=store, name="endless")

        @graph.node
        async def wait():
            try:
                await asyncio.sleep(100)
            finally:
                stopped.append(True)

        return graph.add_edge(START, "wait").add_edge("wait", END)

    async def scenario():
        async with opened(postgres_url, endless) as here, opened(postgres_url, endless) as there:
            run = await here.submit()
            async with Worker(there, lease=1.5) as worker:
                await until(lambda: worker.driving)
                await asyncio.sleep(0.2)
                began = time.monotonic()
                await run.cancel("enough")
                await until(lambda: stopped)
                assert time.monotonic() - began < 1.5
                await until(lambda: not worker.driving)
            with pytest.raises(RunCancelled, match="enough"):
                await run
            assert await kinds(run) == ["run_started", "run_cancelled"]
            assert await run.wait() is RunStatus.CANCELLED

    asyncio.run(scenario())
