"""Time: retries with backoff, timers that outlive the process, concurrency, nodes that never wait."""

import asyncio
import statistics
import time

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental, Retry
from ropewalk.errors import GraphInvalid
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Log(GraphState):
    log: History[str]
    count: Incremental[int] = 0


@pytest.fixture(params=["none", "memory", "sqlite"])
def store(request, tmp_path):
    kept = {"none": lambda: None, "memory": MemoryRunStore, "sqlite": lambda: SqliteRunStore(tmp_path / "runs.db")}
    made = kept[request.param]()
    yield made
    if made is not None:
        asyncio.run(made.close())


def test_a_retry_waits_its_backoff_and_siblings_do_not_wait_for_it(store):
    async def main():
        times = []
        graph = Graph(Log, store=store)

        @graph.node(retry=Retry(attempts=3, backoff=0.05, factor=3, jitter=0))
        async def flaky(state, ctx):
            times.append(time.monotonic())
            if ctx.attempt < 3:
                raise OSError("down")

        @graph.node
        async def quick(state):
            return {"log": "quick"}

        @graph.node
        async def after_quick(state):
            times.append("after_quick")

        graph.add_edge(START, "flaky").add_edge("flaky", END)
        graph.add_edge(START, "quick").add_edge("quick", "after_quick").add_edge("after_quick", END)
        await graph.start()
        assert times[1] == "after_quick"
        del times[1]
        assert 0.045 <= times[1] - times[0] < 0.14
        assert 0.145 <= times[2] - times[1] < 0.5

    asyncio.run(main())


def test_a_retry_that_was_due_is_not_lost_when_the_process_dies(tmp_path):
    async def main():
        store = SqliteRunStore(tmp_path / "runs.db")

        def drawn():
            graph = Graph(Log, store=store)

            @graph.node(retry=Retry(attempts=2, backoff=30))
            async def flaky(ctx):
                if ctx.attempt == 1:
                    raise OSError("down")
                return {"log": f"attempt {ctx.attempt}"}

            return graph

        run = drawn().start(run_id="r")
        async for event in run.events():
            if event.type == "step_failed":
                break
        await run.let_go()
        again = drawn().open("r")
        assert again.status == "RUNNING"
        assert await again.resume() == "DONE", "an explicit resume does not wait for the backoff"
        assert again.state.log[0].startswith("attempt ")
        await store.close()

    asyncio.run(main())


def test_at_most_max_concurrency_steps_of_a_run_are_in_flight(store):
    async def main():
        now = highest = 0
        four = asyncio.Barrier(4)
        graph = Graph(Log, store=store, max_concurrency=4)
        for number in range(20):

            async def work():
                nonlocal now, highest
                now += 1
                highest = max(highest, now)
                await four.wait()
                now -= 1
                return {"count": 1}

            graph.add_node(work, name=f"w{number}").add_edge(START, f"w{number}").add_edge(f"w{number}", END)
        assert (await graph.start()).count == 20
        assert highest == 4

    asyncio.run(main())


def test_a_run_that_never_waits_lets_others_have_their_turn(store):
    """A loop of quick nodes does not starve the loop it runs in."""

    async def main():
        graph = Graph(Log, store=store, max_node_iterations=1_000_000)

        @graph.node
        async def turn(state):
            return {"count": 1}

        stop = []
        graph.add_edge(START, "turn")
        graph.add_router_edge("turn", lambda: END if stop else "turn", routes=["turn", END])
        run = graph.start()
        waits, last = [], time.thread_time()  # what other programs take of the machine is not the loop's doing
        for _ in range(30):
            await asyncio.sleep(0)
            waits.append(time.thread_time() - last)
            last = time.thread_time()
        stop.append(True)
        await run
        assert statistics.median(waits) < 0.1  # the longest tells of the garbage collector, too

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_that_is_none_is_a_compile_error(timeout):
    graph = Graph(Log).add_node(lambda: None, name="a", timeout=timeout)
    with pytest.raises(GraphInvalid, match="timeout"):
        graph.compile()


def test_a_timed_out_thread_does_not_keep_others_from_running():
    """Each survivor holds a thread, not the run."""
    import threading

    gate = threading.Event()

    async def main():
        graph = Graph(Log)

        @graph.node(timeout=0.02)
        def stuck():
            gate.wait(10)

        runs = [graph.start() for _ in range(5)]
        assert {await run.wait() for run in runs} == {"FAILED"}
        other = Graph(Log).add_node(lambda: {"log": "x"}, name="a")
        assert (await other.start()).log == ["x"]

    try:
        asyncio.run(main())
    finally:
        gate.set()


def test_entries_carry_the_time_at_which_they_were_made(store):
    async def main():
        before = time.time()
        run = Graph(Log, store=store).add_node(lambda: None, name="a").start()
        await run
        moments = [entry.at for entry in await run.history()]
        assert moments == sorted(moments)
        assert before <= moments[0] <= moments[-1] <= time.time()

    asyncio.run(main())
