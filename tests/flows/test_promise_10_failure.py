"""Promise 10, failure is local until it isn't: retried by policy, then FAILED with all that is needed; resume goes on.

Run as a script, this file is the worker that its run keeps killing.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ropewalk
from ropewalk import END, START, Graph, GraphState, History, Incremental, Reduced, Retry, Send, Token
from ropewalk.core import owning
from ropewalk.errors import (
    NodeCancelled,
    NotStorable,
    RunFailed,
    RunPaused,
    TooLarge,
    UnknownField,
    UnknownRoute,
    WrongReturn,
    WrongType,
)
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore

SOURCE = str(Path(ropewalk.__file__).parents[1])


class Work(GraphState):
    log: History[str]
    count: Incremental[int] = 0


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def test_a_node_is_retried_by_its_policy_and_the_log_has_every_attempt(store):
    """Promise 10."""

    async def main():
        graph = Graph(Work, store=store)

        @graph.node(retry=Retry(attempts=3, backoff=0))
        async def flaky(ctx):
            if ctx.attempt < 3:
                raise OSError(f"down at attempt {ctx.attempt}")
            return {"log": "up"}

        run = graph.start()
        assert (await run).log == ["up"]
        failures = [entry for entry in await run.history() if entry.type == "step_failed"]
        assert [entry.data["attempt"] for entry in failures] == [1, 2]
        assert [entry.data["message"] for entry in failures] == ["down at attempt 1", "down at attempt 2"]
        assert all(entry.data["retry_at"] is not None for entry in failures)

    asyncio.run(main())


def test_there_is_no_retry_unless_asked_for(store):
    """Promise 10."""

    async def main():
        ran = []
        graph = Graph(Work, store=store)

        @graph.node
        async def flaky():
            ran.append(1)
            raise OSError("down")

        assert await graph.start().wait() == "FAILED"
        assert ran == [1]

    asyncio.run(main())


def test_a_spent_policy_fails_the_run_with_node_attempt_and_the_original_exception(store):
    """Promise 10: in the exception, on the handle, in the log and for another process."""

    async def main():
        graph = Graph(Work, store=store)

        @graph.node(retry=Retry(attempts=2, backoff=0))
        async def flaky():
            raise ConnectionError("the printer is on fire")

        run = graph.start(run_id="r")
        with pytest.raises(RunFailed, match=r"'flaky' \(attempt 2\).*printer is on fire.*resume") as caught:
            await run
        assert (caught.value.node, caught.value.attempt) == ("flaky", 2)
        assert isinstance(caught.value.__cause__, ConnectionError)
        assert caught.value.__cause__.__traceback__ is not None
        entries = await run.history()
        assert [entry.type for entry in entries] == ["run_started", "step_failed", "step_failed", "run_failed"]
        last = entries[-2].data
        assert last["error"] == "ConnectionError"
        assert "printer is on fire" in last["trace"] or "flaky" in last["trace"]
        assert last["retry_at"] is None
        assert entries[-1].node == "flaky"
        assert entries[-1].data["message"] == "ConnectionError: the printer is on fire"
        elsewhere = Graph(Work, store=store).add_node(lambda: None, name="flaky").open("r")
        assert elsewhere.status == "FAILED"
        assert "ConnectionError: the printer is on fire" in str(elsewhere.error)
        assert elsewhere.error.node == "flaky"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (lambda: {}["missing"], r"attempt 1\): KeyError: 'missing' \[node_failed\]"),
        (lambda: raising(OSError()), r"attempt 1\): OSError \[node_failed\]"),
        (lambda: {"lgo": 1}, r"attempt 1\): Node 'work' writes 'lgo', .* \[unknown_field\]"),
    ],
)
def test_a_failure_is_told_with_the_type_that_was_raised(store, node, told):
    """Promise 10: but an error of Ropewalk says all there is to say."""

    async def main():
        graph = Graph(Work, store=store).add_node(node, name="work")
        with pytest.raises(RunFailed, match=told):
            await graph.start()

    asyncio.run(main())


def test_siblings_in_flight_finish_and_are_kept_and_nothing_new_starts(store):
    """Promise 10."""

    async def main():
        failed, started = asyncio.Event(), asyncio.Event()
        ran, well = [], []
        graph = Graph(Work, store=store)

        @graph.node
        async def slow(state):
            started.set()
            await failed.wait()
            return {"log": "slow"}

        @graph.node
        async def after_slow(state):
            ran.append("after_slow")
            return {"log": "after_slow"}

        @graph.node
        async def bad(state):
            await started.wait()
            if not well:
                raise OSError("down")
            return {"log": "bad"}

        graph.add_edge(START, "slow").add_edge("slow", "after_slow").add_edge("after_slow", END)
        graph.add_edge(START, "bad").add_edge("bad", END)
        run = graph.start()
        async for event in run.events():
            if event.type == "step_failed":
                failed.set()
        assert run.status == "FAILED"
        assert run.state.log == ["slow"]
        assert ran == []
        well.append(True)
        assert await run.resume() == "DONE"
        assert run.state.log == ["slow", "after_slow", "bad"]

    asyncio.run(main())


def test_failed_outranks_paused(store):
    """Promise 10: one branch asks, the other fails."""

    async def main():
        well = []
        graph = Graph(Work, store=store)

        @graph.node
        async def ask(ctx):
            return {"log": await ctx.ask("go?")}

        @graph.node
        async def bad():
            if not well:
                raise OSError("down")
            return {"log": "bad"}

        for name in ("ask", "bad"):
            graph.add_edge(START, name).add_edge(name, END)
        run = graph.start()
        with pytest.raises(RunFailed):
            await run
        assert len(run.pauses) == 1
        well.append(True)
        assert await run.resume() == "PAUSED"
        with pytest.raises(RunPaused):
            await run
        await run.answer(run.pauses[0].id, "yes")
        assert (await run).log == ["yes", "bad"]

    asyncio.run(main())


def test_resuming_after_a_fix_gives_the_retry_policy_afresh(store):
    """Promise 10."""

    async def main():
        ran = []
        graph = Graph(Work, store=store)

        @graph.node(retry=Retry(attempts=2, backoff=0))
        async def flaky(ctx):
            ran.append(ctx.attempt)
            if ctx.attempt < 4:
                raise OSError("down")

        run = graph.start()
        assert await run.wait() == "FAILED"
        assert await run.resume() == "DONE"
        assert ran == [1, 2, 3, 4]

    asyncio.run(main())


def test_a_failed_run_goes_on_in_another_process_with_the_mended_code(store):
    """Promise 10."""

    async def main():
        def drawn(mended):
            graph = Graph(Work, store=store)
            graph.add_node(lambda: {"log": "a"}, name="a")

            @graph.node
            async def b(state):
                return {"log": "b"} if mended else {"lgo": "b"}

            return graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)

        run = drawn(mended=False).start(run_id="r")
        assert await run.wait() == "FAILED"
        again = drawn(mended=True).open("r")
        assert await again.resume() == "DONE"
        assert again.state.log == ["a", "b"]

    asyncio.run(main())


ODD = "a lone surrogate: \ud800"


def raising(error):
    raise error


@pytest.mark.parametrize(
    "node",
    [
        lambda: {"log": ODD},
        lambda: raising(ValueError(ODD)),
        lambda state: state.log.append(ODD),
        lambda ctx: ctx.emit(Token(ODD)),
        lambda ctx: ctx.emit({"x": ODD}),
        lambda: {ODD: 1},
        lambda: {"count": 10**5000},
    ],
)
def test_whatever_a_node_writes_or_raises_the_run_ends_and_its_log_can_be_read(store, node):
    """Promise 10 and 15: text that has no UTF-8 and numbers that no JSON reader takes fail the step, not the engine."""

    async def main():
        run = Graph(Work, store=store).add_node(node, name="work").start(run_id="r")
        assert await run.wait() == "FAILED"
        assert run.error.node == "work"
        again = Graph(Work, store=store).add_node(node, name="work").open("r")
        assert again.status == "FAILED"
        assert (await again.history())[-1].type == "run_failed"

    asyncio.run(main())


def test_a_reason_or_answer_or_edit_that_has_no_utf_8_does_no_harm(store):
    """Promise 10: what outsiders say is refused or mended; the run is as it was."""

    async def main():
        graph = Graph(Work, store=store)

        @graph.node
        async def ask(ctx):
            return {"log": await ctx.ask("go?")}

        run = graph.start()
        await run.wait()
        for attack in (
            lambda: run.answer(run.pauses[0].id, ODD),
            lambda: run.edit({"log": ODD}),
            lambda: run.fork(updates={"log": ODD}),
        ):
            with pytest.raises(NotStorable):
                await attack()
        assert run.status == "PAUSED"
        await run.cancel(ODD)
        assert run.status == "CANCELLED"
        assert (await run.history())[-1].type == "run_cancelled"

    asyncio.run(main())


def test_a_reducer_that_cannot_merge_two_branches_fails_the_run(store):
    """Promise 10: each branch could write alone; that their join cannot be made is told like any failure."""

    def disjoint(old: list[int], new: list[int]) -> list[int]:
        if set(old) & set(new):
            raise ValueError("both branches found the same")
        return old + new

    class Found(GraphState):
        found: Reduced[list[int], disjoint] = []

    async def main():
        graph = Graph(Found, store=store)
        for name in ("a", "b"):
            graph.add_node(lambda: {"found": [1]}, name=name).add_edge(START, name).add_edge(name, "join")
        graph.add_node(lambda: None, name="join").add_edge("join", END)
        run = graph.start()
        async with asyncio.timeout(3):
            with pytest.raises(RunFailed, match="both branches found the same"):
                await run
        assert run.status == "FAILED"
        assert (await run.history())[-1].type == "run_failed"

    asyncio.run(main())


HOPELESS = {
    "unknown field": (lambda: {"lgo": "x"}, UnknownField),
    "wrong type": (lambda: {"count": "x"}, WrongType),
    "not a dict": (lambda: 42, WrongReturn),
    "not storable": (lambda: {"log": object()}, WrongType),
    "too large": (lambda: {"log": "x" * (17 * 1024 * 1024)}, TooLarge),
}


@pytest.mark.parametrize("kind", HOPELESS)
def test_what_can_never_succeed_is_not_retried(kind):
    """Promise 10: a type, a size, a missing field."""

    async def main():
        ran = []
        give, error = HOPELESS[kind]
        graph = Graph(Work)

        @graph.node(retry=Retry(attempts=5, backoff=0))
        async def hopeless():
            ran.append(1)
            return give()

        with pytest.raises(RunFailed, match="hopeless") as caught:
            await graph.start()
        assert isinstance(caught.value.__cause__, error)
        assert caught.value.reason == error.code
        assert ran == [1]

    asyncio.run(main())


def test_a_policy_may_name_the_errors_worth_another_attempt():
    """Promise 10."""

    async def main():
        for error, times in ((TimeoutError, 3), (ConnectionError, 3), (ValueError, 1)):
            ran = []
            graph = Graph(Work)

            @graph.node(retry=Retry(attempts=3, backoff=0, on=(OSError,)))
            async def flaky(error=error, ran=ran):
                ran.append(1)
                raise error("no")

            assert await graph.start().wait() == "FAILED"
            assert len(ran) == times, error

    asyncio.run(main())


@pytest.mark.parametrize(
    ("router", "error"),
    [
        (lambda state: "nowhere", UnknownRoute),
        (lambda state: 42, WrongReturn),
        (lambda state: state.nothing, AttributeError),
        (lambda state: [Send("b", object())], NotStorable),
    ],
)
def test_a_router_that_fails_fails_the_run_and_the_finished_node_stays_finished(store, router, error):
    """Promise 10 and 3."""

    async def main():
        ran = []
        choices = [router, lambda state: "b"]

        def route(state):
            return choices.pop(0)(state)

        graph = Graph(Work, store=store)

        @graph.node
        async def a(state):
            ran.append("a")
            return {"log": "a"}

        graph.add_node(lambda: {"log": "b"}, name="b")
        graph.add_edge(START, "a").add_edge("b", END)
        graph.add_router_edge("a", route)
        run = graph.start()
        with pytest.raises(RunFailed, match="'a'") as caught:
            await run
        assert isinstance(caught.value.__cause__, error)
        assert run.state.log == ["a"]
        assert await run.resume() == "DONE"
        assert run.state.log == ["a", "b"]
        assert ran == ["a"]

    asyncio.run(main())


def test_a_node_that_lets_a_cancellation_out_fails_like_any_other():
    """Promise 10."""

    async def main():
        graph = Graph(Work)

        @graph.node(retry=Retry(attempts=2, backoff=0))
        async def odd(ctx):
            if ctx.attempt == 1:
                raise asyncio.CancelledError("from inside")
            raise asyncio.CancelledError

        with pytest.raises(RunFailed, match="cancelled from inside") as caught:
            await graph.start()
        assert isinstance(caught.value.__cause__, NodeCancelled)
        assert caught.value.attempt == 2

    asyncio.run(main())


def test_an_exception_group_is_told_like_any_error():
    """Promise 10."""

    async def main():
        graph = Graph(Work)

        @graph.node(retry=Retry(attempts=2, backoff=0))
        async def grouped(ctx):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail("first"))
                group.create_task(fail("second"))

        async def fail(word):
            raise OSError(word)

        with pytest.raises(RunFailed, match=r"grouped.*attempt 2") as caught:
            await graph.start()
        assert isinstance(caught.value.__cause__, ExceptionGroup)

    asyncio.run(main())


def test_other_runs_of_the_graph_are_not_touched(store):
    """Promise 10: failure is local."""

    async def main():
        graph = Graph(Work, store=store)

        @graph.node
        async def work(state):
            if state.log == ["bad"]:
                raise OSError("down")
            return {"log": "done"}

        runs = [graph.start(Work(log=["bad" if number == 3 else "good"])) for number in range(8)]
        statuses = [await run.wait() for run in runs]
        assert statuses == ["DONE"] * 3 + ["FAILED"] + ["DONE"] * 4

    asyncio.run(main())


def deadly(store, *, harmless=False):
    """Six questions, and beside them a node that takes its process down."""
    graph = Graph(Work, store=store)

    @graph.node
    async def ask(ctx, item):
        return {"log": await ctx.ask(item)}

    @graph.node
    async def kill(ctx):
        if harmless:
            return {"log": f"attempt {ctx.attempt}"}
        while True:
            types = [entry.type for entry in await graph.open(ctx.run_id).history()]
            if types.count("paused") == 6 and types.count("step_finished") == types.count("answered"):
                os._exit(9)

    graph.add_node(lambda: None, name="join").add_edge("join", END)
    graph.add_map_edge(START, "ask", "join", over=lambda: list("abcdef"))
    return graph.add_edge(START, "kill").add_edge("kill", "join")


async def start_deadly(file):
    await deadly(f"sqlite:///{file}").start(run_id="r")


async def answer_one(file):
    owning._LETS_OTHERS_FINISH_SECONDS = 0.05  # the others are dead
    run = deadly(f"sqlite:///{file}").open("r")
    await run.answer(run.pauses[0].id, "yes")
    print(await run.wait())


def test_a_run_that_keeps_killing_its_worker_is_set_aside_and_an_explicit_resume_goes_on(tmp_path):
    """Promise 10: poisoned after a few deaths, not looped."""
    file = tmp_path / "runs.db"

    def process(role):
        command = [sys.executable, "-W", "error", __file__, role, str(file)]
        environment = os.environ | {"PYTHONPATH": SOURCE}
        return subprocess.run(command, env=environment, timeout=15, check=False, capture_output=True, text=True)

    assert process("start_deadly").returncode == 9
    deaths = 1
    while (result := process("answer_one")).returncode == 9:
        deaths += 1
        assert deaths < 10
    assert result.stdout == "FAILED\n", result.stderr
    assert deaths == 5

    async def revive():
        store = SqliteRunStore(file)
        run = deadly(store, harmless=True).open("r")
        error = run.error
        status = await run.resume()
        for pause in run.pauses:
            await run.answer(pause.id, "late")
        state = await run
        await store.close()
        return error, status, state

    error, status, state = asyncio.run(revive())
    assert (error.reason, error.node) == ("poisoned", "kill")
    assert "died 5 times" in str(error)
    assert status == "PAUSED"
    assert state.log[-1] == "attempt 6"


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
