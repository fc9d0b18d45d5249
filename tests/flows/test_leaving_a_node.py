"""What leaves a node or router and is no ordinary exception: it fails the step, and neither hangs nor ends anything.

Promise 10. What Ctrl-C and a loop that is torn down raise is left to those they are meant for.
"""

import asyncio
import sys

import pytest

from ropewalk import END, START, Graph, GraphState, History, Retry
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Work(GraphState):
    log: History[str]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def raising(error):
    raise error


async def awaited():
    raise StopIteration("nothing left")


def exits():
    sys.exit(3)


class Abort(BaseException):
    """What some libraries leave with: no `Exception`."""


def aborts():
    raise Abort("enough")


async def exits_awaited():
    sys.exit(3)


async def steps_plain(ctx):
    await ctx.step("next", lambda: next(iter(())))


@pytest.mark.parametrize("timeout", [None, 30])
@pytest.mark.parametrize(
    ("node", "error"),
    [
        (lambda: next(iter(())), "StopIteration"),
        (awaited, "StopIteration"),
        (steps_plain, "StopIteration"),
        (exits, "SystemExit"),
        (exits_awaited, "SystemExit"),
        (aborts, "Abort"),
        (lambda: raising(KeyboardInterrupt()), "KeyboardInterrupt"),
        (lambda: raising(GeneratorExit()), "GeneratorExit"),
    ],
)
def test_what_no_future_can_carry_and_what_ends_a_process_is_a_failure_of_its_node(store, node, error, timeout):
    """Promise 10: at once, with the type that was raised, and the process goes on."""

    async def main():
        run = Graph(Work, store=store).add_node(node, name="work", timeout=timeout).start()
        assert await asyncio.wait_for(run.wait(), 10) == "FAILED"
        failed = (await run.history())[1]
        assert (failed.type, failed.node, failed.data["error"]) == ("step_failed", "work", error)
        assert failed.data["code"] == "node_failed"
        assert "ropewalk" not in failed.data["trace"]
        assert run.error.node == "work"
        assert type(run.error.__cause__).__name__ == error

    asyncio.run(main())


def test_a_stop_iteration_is_retried_by_the_policy_and_an_exit_is_not(store):
    """Promise 10."""

    async def main():
        ran = []

        def flaky(ctx):
            ran.append("stop")
            return {"log": next(iter(["up"] if ctx.attempt == 2 else []))}

        def leaves():
            ran.append("exit")
            sys.exit("no such option")

        again = Retry(attempts=3, backoff=0)
        graph = Graph(Work, store=store).add_node(flaky, retry=again).add_node(leaves, retry=again)
        graph.add_edge(START, "flaky").add_edge("flaky", "leaves").add_edge("leaves", END)
        run = graph.start()
        assert await asyncio.wait_for(run.wait(), 10) == "FAILED"
        assert ran == ["stop", "stop", "exit"]
        assert run.state.log == ["up"]
        assert "no such option" in str(run.error)

    asyncio.run(main())


async def exits_choosing(state):
    sys.exit(3)


async def stops_choosing(state):
    raise StopIteration


@pytest.mark.parametrize(
    ("router", "error"),
    [
        (lambda state: next(iter(())), "StopIteration"),
        (lambda state: sys.exit(3), "SystemExit"),
        (stops_choosing, "StopIteration"),
        (exits_choosing, "SystemExit"),
    ],
)
@pytest.mark.parametrize("source", ["work", START])
def test_a_router_that_leaves_like_that_fails_like_any_other(store, router, error, source):
    """Promise 10."""

    async def main():
        graph = Graph(Work, store=store).add_node(lambda: {"log": "done"}, name="work")
        graph.add_node(lambda: None, name="next").add_edge("next", END)
        graph.add_edge(START, "work")
        if source == START:
            graph.add_edge("work", END)
        graph.add_router_edge(source, router, routes=["next", "work", END])
        run = graph.start()
        assert await asyncio.wait_for(run.wait(), 10) == "FAILED"
        failed = next(entry for entry in await run.history() if entry.type == "step_failed")
        assert failed.data["error"] == error
        assert run.state.log == ([] if source == START else ["done"])

    asyncio.run(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit])
def test_an_interrupt_on_the_loop_still_ends_the_process(error):
    """Ctrl-C, and a loop that is torn down: no node may turn these into a failure of its own."""

    async def main():
        graph = Graph(Work)

        @graph.node
        async def work():
            raise error

        await graph.start()

    with pytest.raises((KeyboardInterrupt, GeneratorExit)):
        asyncio.run(main())
