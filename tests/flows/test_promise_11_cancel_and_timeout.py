"""Promise 11, cancel and timeout reach the code: durable, cleaned up, late writes discarded, nothing leaks.

Run as a script, this file is the worker that dies before its run is cancelled. What is about seconds runs on a virtual
clock: a busy machine changes nothing there, and nobody waits.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.properties.virtual import VirtualLoop, on

import ropewalk
from ropewalk import END, START, Graph, GraphState, History, Retry, Token
from ropewalk.codec import RawJson
from ropewalk.core.facts import StepFinished, StepRecorded
from ropewalk.errors import NodeTimeout, RunCancelled, RunFailed, RunFinished
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore

SOURCES = os.pathsep.join(map(str, (Path(ropewalk.__file__).parents[1], Path(__file__).parents[2])))


class Log(GraphState):
    log: History[str]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def hanging(store, begun, ended, *, branches=1, kind=Graph):
    """A quick node, then ``branches`` that hang and clean up."""
    graph = kind(Log, store=store)
    graph.add_node(lambda: {"log": "quick"}, name="quick").add_edge(START, "quick")

    def branch(name):
        async def hang(state, ctx):
            begun.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(name)
            return {"log": name}

        return hang

    for number in range(branches):
        name = f"hang{number}"
        graph.add_node(branch(name), name=name).add_edge("quick", name).add_edge(name, END)
    return graph


def on_virtual_time(main):
    """Run ``main(kind)`` with graphs of a kind whose clock jumps to whatever comes next."""
    loop = VirtualLoop()
    loop.live(main(on(loop)))


async def until(condition):
    """Let other tasks run until ``condition()`` is true."""
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("branches", [1, 5])
def test_cancel_is_durable_when_it_returns_and_the_code_has_cleaned_up(store, branches):
    """Promise 11."""

    async def main():
        begun, ended = [], []
        graph = hanging(store, begun, ended, branches=branches)
        run = graph.start(run_id="r")
        await until(lambda: len(begun) == branches)
        await run.cancel("changed my mind")
        assert len(ended) == branches
        assert (await store.look("r")).status == "CANCELLED"
        last = (await run.history())[-1]
        assert last.type == "run_cancelled"
        assert last.data["message"] == "changed my mind"
        assert run.status == "CANCELLED"
        with pytest.raises(RunCancelled, match="changed my mind"):
            await run
        assert run.state.log == ["quick"]
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1, "nothing leaks"

    asyncio.run(main())


def test_whoever_waits_for_a_cancelled_run_is_told(store):
    """Promise 11: waiters and readers."""

    async def main():
        begun = []
        run = hanging(store, begun, []).start()
        waiting = asyncio.create_task(run.wait())
        reading = asyncio.create_task(last_event(run))
        await until(lambda: begun)
        await run.cancel()
        assert await waiting == "CANCELLED"
        assert (await reading).type == "run_cancelled"

    async def last_event(run):
        async for event in run.events():
            last = event
        return last

    asyncio.run(main())


def test_a_cancelled_run_stays_cancelled(store):
    """Promise 11."""

    async def main():
        begun = []
        run = hanging(store, begun, []).start()
        await until(lambda: begun)
        await run.cancel()
        before = await run.history()
        with pytest.raises(RunFinished, match=r"CANCELLED.*Fork"):
            await run.resume()
        with pytest.raises(RunFinished):
            await run.cancel()
        with pytest.raises(RunFinished):
            await run.edit({"log": "x"})
        assert await run.history() == before

    asyncio.run(main())


def test_a_paused_and_a_failed_run_can_be_cancelled_and_a_done_one_cannot(store):
    """Promise 11."""

    async def main():
        graph = Graph(Log, store=store)

        @graph.node
        async def work(state, ctx):
            if state.log == ["ask"]:
                await ctx.ask("go?")
            if state.log == ["fail"]:
                raise OSError("down")

        for word, status in (("ask", "PAUSED"), ("fail", "FAILED")):
            run = graph.start(Log(log=[word]))
            assert await run.wait() == status
            await run.cancel("enough")
            assert run.status == "CANCELLED"
        done = graph.start()
        await done
        with pytest.raises(RunFinished, match="DONE"):
            await done.cancel()

    asyncio.run(main())


async def hang_for_ever(file):
    begun = []
    graph = hanging(f"sqlite:///{file}", begun, [])
    graph.start(run_id="r")
    await until(lambda: begun)
    print("hanging", flush=True)
    await asyncio.Event().wait()


def test_a_run_without_a_live_worker_can_be_cancelled(tmp_path):
    """Promise 11: it ends even when no worker is alive."""
    file = tmp_path / "runs.db"
    command = [sys.executable, "-W", "error", __file__, "hang_for_ever", str(file)]
    environment = os.environ | {"PYTHONPATH": SOURCES}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "hanging\n"
        child.kill()
    assert child.returncode == -signal.SIGKILL

    async def cancel():
        store = SqliteRunStore(file)
        begun = []
        run = hanging(store, begun, []).open("r")
        assert run.status == "RUNNING"
        await run.cancel("nobody there")
        record = await store.look("r")
        await store.close()
        return record, begun

    record, begun = asyncio.run(cancel())
    assert record.status == "CANCELLED"
    assert begun == []


def test_another_process_cancels_a_live_run_whose_owner_then_stops(store):
    """Promise 11 and 5."""

    async def main():
        begun, gate = [], asyncio.Event()
        graph = Graph(Log, store=store)

        @graph.node
        async def work():
            begun.append(1)
            await gate.wait()

        run = graph.start(run_id="r")
        await until(lambda: begun)
        other = Graph(Log, store=store).add_node(lambda: None, name="work").open("r")
        await other.cancel("from outside")
        gate.set()
        with pytest.raises(ropewalk.errors.RunCancelled, match="from outside"):
            await run
        assert run.status == "CANCELLED"
        assert (await other.history())[-1].type == "run_cancelled"

    asyncio.run(main())


def test_a_node_that_takes_too_long_is_cancelled_cleans_up_and_fails(store):
    """Promise 11: an async node."""

    async def main():
        ended = []
        graph = Graph(Log, store=store)

        @graph.node(timeout=0.05)
        async def slow(state):
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(True)

        run = graph.start()
        with pytest.raises(RunFailed, match=r"'slow'.*timeout of 0.05 s") as caught:
            await run
        assert isinstance(caught.value.__cause__, NodeTimeout)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert caught.value.reason == "node_timeout"
        assert ended == [True]
        assert [entry.data.get("code") for entry in await run.history()][1] == "node_timeout"

    asyncio.run(main())


def test_late_writes_of_a_timed_out_attempt_are_discarded(store, caplog):
    """Promise 11: a sync node goes on in its thread; what it writes and says is discarded, and it is reported."""

    async def main():
        gate, over = threading.Event(), threading.Event()
        graph = Graph(Log, store=store)

        @graph.node(timeout=0.5, retry=Retry(attempts=2, backoff=0))  # the second attempt is a thread, and in time
        def slow(state, ctx):
            if ctx.attempt == 1:
                gate.wait(15)
                state.log.append("late in place")
                ctx.emit(Token("late"))
                over.set()
                return {"log": "late"}
            return {"log": "in time"}

        with caplog.at_level(logging.WARNING, "ropewalk"):
            run = graph.start()
            assert await run.wait() == "DONE"
            gate.set()
            await until(over.is_set)
        assert run.state.log == ["in time"]
        assert not [event async for event in run.events() if event.type == "text"]
        assert all(entry.data.get("text") is None for entry in await run.history())
        assert "slow" in caplog.text, "the survivor is reported"

    asyncio.run(main())


def test_a_retry_policy_gives_a_timed_out_node_another_attempt(store):
    """Promise 11 and 10."""

    async def main():
        graph = Graph(Log, store=store)

        @graph.node(timeout=0.05, retry=Retry(attempts=2, backoff=0))
        async def slow(ctx):
            if ctx.attempt == 1:
                await asyncio.Event().wait()
            return {"log": f"attempt {ctx.attempt}"}

        assert (await graph.start()).log == ["attempt 2"]

    asyncio.run(main())


def test_a_node_s_own_timeout_error_is_not_the_engine_s(store):
    """Promise 11: primeGraph reported it as its own, after 300 seconds."""

    async def main():
        graph = Graph(Log, store=store)

        @graph.node(timeout=60)
        async def call(state):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()

        with pytest.raises(RunFailed) as caught:
            await graph.start()
        assert caught.value.reason == "node_failed"
        assert type(caught.value.__cause__) is TimeoutError

    asyncio.run(main())


def test_a_run_that_is_under_way_too_long_fails_and_its_code_is_cleaned_up(store):
    """Promise 11: `execution_timeout` is for the run, not for each node."""

    async def main():
        begun, ended = [], []
        graph = hanging(store, begun, ended, branches=2)
        run = graph.start(timeout=0.2)
        with pytest.raises(RunFailed, match=r"execution_timeout of 0.2 s") as caught:
            await run
        assert caught.value.reason == "run_timeout"
        assert sorted(ended) == sorted(begun), "whatever had begun by then"
        assert (await run.history())[-1].type == "run_failed"
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_what_had_finished_when_the_time_was_over_is_kept():
    """Promise 11."""

    async def main(kind):
        begun, ended = [], []
        run = hanging(MemoryRunStore(), begun, ended, branches=2, kind=kind).start(timeout=60)
        with pytest.raises(RunFailed, match=r"execution_timeout of 60 s"):
            await run
        assert sorted(ended) == sorted(begun) == ["hang0", "hang1"]
        assert run.state.log == ["quick"]
        history = await run.history()
        assert 60 <= history[-1].at - history[0].at < 61

    on_virtual_time(main)


def test_many_short_nodes_are_under_way_together_longer_than_allowed(store):
    """Promise 11: primeGraph gave every node the whole timeout."""

    async def main():
        graph = Graph(Log, store=store, max_node_iterations=300)  # without the timeout the run ends by this one

        @graph.node
        async def turn(state):
            await asyncio.sleep(0.02)

        graph.add_edge(START, "turn").add_router_edge("turn", lambda: "turn", routes=["turn", END])
        with pytest.raises(RunFailed, match="execution_timeout"):
            await graph.start(timeout=0.2)

    asyncio.run(main())


@pytest.mark.parametrize(("before", "after", "ends"), [(40, 40, "DONE"), (40, 60, "FAILED"), (0, 80, "DONE")])
def test_the_time_of_pauses_does_not_count(before, after, ends):
    """Promise 11: `execution_timeout` is time under way, all of it."""

    async def main(kind):
        graph = kind(Log, store=MemoryRunStore(), execution_timeout=90)

        async def takes(seconds):
            await asyncio.sleep(seconds)

        async def ask(ctx):
            return {"log": await ctx.ask("go?")}

        for node, name in ((lambda: takes(before), "before"), (ask, "ask"), (lambda: takes(after), "after")):
            graph.add_node(node, name=name)
        graph.add_edge(START, "before").add_edge("before", "ask").add_edge("ask", "after").add_edge("after", END)
        run = graph.start(run_id="r")
        assert await run.wait() == "PAUSED"
        await asyncio.sleep(100_000)
        await run.answer(run.pauses[0].id, "yes")
        assert await run.wait() == ends
        assert run.state.log == ["yes"]

    on_virtual_time(main)


def test_a_run_that_ran_out_of_time_goes_on_when_it_is_resumed():
    """Promise 11 and 10: with all of its time again."""

    async def main(kind):
        ready = []
        graph = kind(Log, store=MemoryRunStore(), execution_timeout=90)

        @graph.node
        async def slow(state):
            await asyncio.sleep(80 if ready else 100)
            return {"log": "done"}

        run = graph.start()
        assert await run.wait() == "FAILED"
        assert run.state.log == []
        ready.append(True)
        assert await run.resume() == "DONE"
        assert run.state.log == ["done"]

    on_virtual_time(main)


def test_a_node_that_swallows_its_cancellation_is_left_behind_and_reported(caplog):
    """Promise 11: what it still does is discarded."""

    async def main(kind):
        begun, gate = [], asyncio.Event()
        graph = kind(Log, store=MemoryRunStore())

        @graph.node
        async def stubborn(state, ctx):
            begun.append(True)
            while not gate.is_set():
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    continue
            state.log.append("late")
            ctx.emit(Token("late"))
            return {"log": "late"}

        graph.add_node(lambda: None, name="other")
        for name in ("stubborn", "other"):
            graph.add_edge(START, name).add_edge(name, END)
        run = graph.start()
        await until(lambda: begun)
        with caplog.at_level(logging.WARNING, "ropewalk"):
            await run.cancel()
        assert "stubborn" in caplog.text
        gate.set()
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert run.state.log == []
        assert (await run.history())[-1].type == "run_cancelled"

    on_virtual_time(main)


def hanging_router(store, begun, ended):
    graph = Graph(Log, store=store)

    async def route(state):
        begun.append(True)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    for name in ("a", "b"):
        graph.add_node(lambda: None, name=name)
    return graph.add_edge(START, "a").add_router_edge("a", route, ["b"]).add_edge("b", END)


def test_a_router_that_hangs_is_cancelled_like_a_node(store):
    """Promise 11."""

    async def main():
        begun, ended = [], []
        run = hanging_router(store, begun, ended).start()
        await until(lambda: begun)
        async with asyncio.timeout(15):
            await run.cancel()
            assert await run.wait() == "CANCELLED"
        assert ended == [True]

    asyncio.run(main())


def test_a_router_that_hangs_ends_with_the_time_of_its_run(store):
    """Promise 11."""

    async def main():
        run = hanging_router(store, [], []).start(timeout=0.1)
        async with asyncio.timeout(15):
            assert await run.wait() == "FAILED"
        assert run.error.reason == "run_timeout"

    asyncio.run(main())


def test_a_run_may_be_cancelled_by_one_of_its_own_nodes(store):
    """Promise 11."""

    async def main():
        graph = Graph(Log, store=store)

        @graph.node
        async def work(ctx):
            await graph.open(ctx.run_id).cancel("from inside")
            return {"log": "late"}

        run = graph.start()
        async with asyncio.timeout(15):
            assert await run.wait() == "CANCELLED"
        assert run.state.log == []
        assert run.error.reason == "from inside"

    asyncio.run(main())


def test_a_run_can_be_cancelled_while_it_waits_for_a_retry(store):
    """Promise 11."""

    async def main():
        graph = Graph(Log, store=store)

        @graph.node(retry=Retry(attempts=2, backoff=60))
        async def flaky(state):
            raise OSError("down")

        run = graph.start()
        async for event in run.events():
            if event.type == "step_failed":
                break
        await run.cancel()
        assert await run.wait() == "CANCELLED"
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))


def test_a_cancellation_from_another_process_reaches_a_step_that_writes_nothing():
    """Promise 11: the owner looks round, so that code which never comes to an append is stopped all the same."""
    store, loop = MemoryRunStore(), VirtualLoop()

    async def main():
        begun, ended = asyncio.Event(), asyncio.Event()
        graph = on(loop)(Log, store=store, execution_timeout=None)

        @graph.node
        async def work():
            begun.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

        run = graph.start(run_id="r")
        await begun.wait()
        await on(loop)(Log, store=store).add_node(lambda: None, name="work").open("r").cancel("from outside")
        await ended.wait()
        assert loop.time() < 20
        with pytest.raises(RunCancelled, match="from outside"):
            await run

    loop.run_until_complete(main())
    loop.close()


def test_a_last_reply_that_lands_with_its_step_after_the_end_counts_for_nothing(store):
    """Promise 11: late writes are discarded, and harm nobody who waits for the run."""

    async def main():
        begun = asyncio.Event()

        async def work():
            begun.set()
            await asyncio.sleep(3600)

        run = Graph(Log, store=store).add_node(work, name="work").start()
        await begun.wait()
        engine = await run.read()
        await run.cancel("enough")
        log = await run.history()
        late = StepRecorded("work#1", "work", "model 1", 1, RawJson(b"1"), "model_replied")
        await engine.commit([late, StepFinished("work#1", "work", 1, [])])
        with pytest.raises(RunCancelled):
            await run
        assert await run.history() == log

    asyncio.run(main())


def test_a_cancellation_reaches_a_step_though_its_graph_is_at_work_in_another_loop_too():
    """Promise 11: each loop looks after what is driven in it."""
    store = MemoryRunStore()
    one, other = VirtualLoop(), VirtualLoop()
    graph = Graph(Log, store=store, execution_timeout=None)
    ended = []

    @graph.node
    async def work(ctx):
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append((ctx.run_id, asyncio.get_running_loop().time()))

    async def begun(run_id):
        run = graph.start(run_id=run_id)
        await run.admitted()
        await asyncio.sleep(0.1)
        return run

    async def cancelled(run):
        await Graph(Log, store=store).add_node(lambda: None, name="work").open(run.run_id).cancel("from outside")
        with pytest.raises(RunCancelled, match="from outside"):
            await run

    run = one.run_until_complete(begun("r"))
    left = other.run_until_complete(begun("s"))
    one.run_until_complete(cancelled(run))
    other.run_until_complete(cancelled(left))
    assert [run_id for run_id, _ in ended] == ["r", "s"]
    assert all(at < 20 for _, at in ended)
    one.close()
    other.close()
