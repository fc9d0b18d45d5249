"""Threads and loops: plain nodes in threads, runs from several loops, stores shared by all of them."""

import asyncio
import threading

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental, Token
from ropewalk.errors import RunFailed
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Log(GraphState):
    log: History[str]
    count: Incremental[int] = 0


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def test_runs_in_several_loops_of_several_threads_share_a_store(store):
    results, errors = {}, []

    def body(number):
        graph = Graph(Log, store=store)

        @graph.node
        async def a(state):
            return {"log": f"a{number}", "count": 1}

        @graph.node
        def b(state):
            return {"log": f"b{number}", "count": 1}

        graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)

        async def main():
            return await asyncio.gather(*(graph.start(run_id=f"r{number}.{one}") for one in range(10)))

        try:
            results[number] = asyncio.run(main())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert all(state.log == [f"a{n}", f"b{n}"] for n in range(4) for state in results[n])


def test_a_plain_node_sees_its_own_copy_of_the_state(store):
    async def main():
        graph = Graph(Log, store=store)
        together = threading.Barrier(2, timeout=5)

        def work(name):
            def node(state):
                together.wait()
                state.log.append(name)
                together.wait()
                assert state.log == ["start", name]

            return node

        graph.add_node(lambda: {"log": "start"}, name="start").add_edge(START, "start")
        for name in ("x", "y"):
            graph.add_node(work(name), name=name).add_edge("start", name).add_edge(name, END)
        assert (await graph.start()).log == ["start", "x", "y"]

    asyncio.run(main())


def test_a_plain_node_may_emit_and_may_not_await(store):
    async def main():
        graph = Graph(Log, store=store)

        @graph.node
        def say(ctx):
            ctx.emit(Token("from a thread"))
            ctx.emit({"step": 1})
            return {"log": "said"}

        run = graph.start()
        await run
        (entry,) = [entry for entry in await run.history() if entry.type == "step_finished"]
        assert entry.data["text"] == "from a thread"

        wrong = Graph(Log, store=store)

        @wrong.node
        def ask(ctx):
            ctx.ask("go?").send(None)

        with pytest.raises(RunFailed, match="async def"):
            await wrong.start()

    asyncio.run(main())


def test_a_plain_function_that_returns_a_coroutine_is_awaited(store):
    async def main():
        graph = Graph(Log, store=store)

        async def inner():
            await asyncio.sleep(0)
            return {"log": "inner"}

        def outer():
            return inner()

        graph.add_node(outer)
        assert (await graph.start()).log == ["inner"]

    asyncio.run(main())
