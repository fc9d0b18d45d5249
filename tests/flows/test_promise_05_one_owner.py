"""Promise 5, one owner: of two processes that believe they own a run, only one can append. No clock is part of this.

Run as a script, this file is the owner that loses its run.
"""

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import ropewalk
from ropewalk import END, START, Graph, GraphState, History
from ropewalk.errors import AlreadyAnswered, RunTaken
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore

SOURCE = str(Path(ropewalk.__file__).parents[1])


class Log(GraphState):
    log: History[str]


def working(store, body):
    """`first`, then `work`, which calls ``body``, then `last`."""
    graph = Graph(Log, store=store)

    @graph.node
    async def first(state):
        return {"log": "first"}

    @graph.node
    async def work(state, ctx):
        return {"log": await body(ctx)}

    @graph.node
    async def last(state):
        return {"log": "last"}

    return graph.add_edge(START, "first").add_edge("first", "work").add_edge("work", "last").add_edge("last", END)


async def own_and_lose(file):
    """Drive a run whose node waits for a line on standard input, then try to commit it."""

    async def body(ctx):
        print(f"working, attempt {ctx.attempt}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        return "by the old owner"

    run = working(f"sqlite:///{file}", body).start(run_id="r")
    try:
        await run
    except RunTaken as error:
        print(f"RunTaken: {error}", flush=True)
    try:
        await run.cancel("I still think it is mine")
    except ropewalk.errors.RunFinished as error:
        print(type(error).__name__, flush=True)


@contextmanager
def owner(file):
    command = [sys.executable, "-W", "error", __file__, "own_and_lose", str(file)]
    environment = os.environ | {"PYTHONPATH": SOURCE}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_process_that_lost_its_run_is_refused_and_stops(tmp_path):
    """Promise 5: two live processes; `resume()` takes over at once."""
    file = tmp_path / "runs.db"

    async def take_over():
        attempts = []

        async def body(ctx):
            attempts.append(ctx.attempt)
            return "by the new owner"

        store = SqliteRunStore(file)
        run = working(store, body).open("r")
        assert await run.resume() == "DONE"
        await store.close()
        return attempts, run.state

    with owner(file) as process:
        assert process.stdout.readline() == "working, attempt 1\n"
        attempts, state = asyncio.run(take_over())
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("RunTaken: Run 'r' was taken over by another owner")
        assert process.stdout.readline() == "RunFinished\n"
    assert attempts == [2]
    assert state.log == ["first", "by the new owner", "last"]

    async def look():
        store = SqliteRunStore(file)
        entries = await store.read("r")
        await store.close()
        return entries

    assert not any(b"old owner" in body for _, body in asyncio.run(look()))


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def test_the_old_owner_gets_run_taken_whatever_it_tries_to_write(store):
    """Promise 5: a step, a kept result, an edit; the new owner's log has none of it."""

    async def main():
        gate, begun = asyncio.Event(), asyncio.Event()

        async def slow(ctx):
            begun.set()
            await gate.wait()
            await ctx.step("late", lambda: "late")
            return "old"

        async def quick(ctx):
            return "new"

        old = working(store, slow).start(run_id="r")
        await begun.wait()
        new = working(store, quick).open("r")
        assert await new.resume() == "DONE"
        before = await new.history()
        gate.set()
        with pytest.raises(RunTaken, match="taken over"):
            await old
        with pytest.raises(RunTaken):
            await old.wait()
        assert isinstance(old.error, RunTaken)
        assert await new.history() == before
        assert (await store.look("r")).epoch == 2

    asyncio.run(main())


def test_the_old_owner_takes_the_run_back_by_resuming_it(store):
    """Promise 5: `resume()` takes over at once (epoch + 1), as often as it is called."""

    async def main():
        gates = [asyncio.Event() for _ in range(3)]
        begun = [asyncio.Event() for _ in range(3)]

        def body(mine):
            async def work(ctx):
                begun[mine].set()
                await gates[mine].wait()
                return f"owner {mine}"

            return work

        one = working(store, body(0)).start(run_id="r")
        await begun[0].wait()
        two = working(store, body(1)).open("r")
        second = asyncio.create_task(two.resume())
        await begun[1].wait()
        gates[0].set()
        with pytest.raises(RunTaken):
            await one
        third = asyncio.create_task(one.resume())
        while (await store.look("r")).epoch < 3:
            await asyncio.sleep(0)
        gates[1].set()
        with pytest.raises(RunTaken):
            await second
        assert await third == "DONE"
        assert one.state.log == ["first", "owner 0", "last"]
        assert (await store.look("r")).epoch == 3

    asyncio.run(main())


def test_two_takeovers_at_once_leave_one_owner(store):
    """Promise 5."""

    async def main():
        ran = []

        async def never(ctx):
            begun.set()
            await asyncio.Event().wait()

        async def quick(ctx):
            ran.append(ctx.attempt)
            return "once"

        begun = asyncio.Event()
        old = working(store, never).start(run_id="r")
        await begun.wait()
        runs = [working(store, quick).open("r") for _ in range(4)]
        results = await asyncio.gather(*(run.resume() for run in runs), return_exceptions=True)
        assert {result if isinstance(result, str) else type(result) for result in results} <= {"DONE", RunTaken}
        assert "DONE" in results
        entries = await runs[0].history()
        finished = [entry.data["step"] for entry in entries if entry.type == "step_finished"]
        assert finished == ["first#1", "work#1", "last#1"]
        with pytest.raises(RunTaken):
            await old.edit({"log": "mine"})

    asyncio.run(main())


def test_a_reader_takes_nothing_from_the_owner(store):
    """Promise 5: looking, following and listing leave the epoch as it is."""

    async def main():
        gate, begun = asyncio.Event(), asyncio.Event()

        async def slow(ctx):
            begun.set()
            await gate.wait()
            return "old"

        run = working(store, slow).start(run_id="r")
        await begun.wait()
        reader = working(store, slow).open("r")
        assert reader.status == "RUNNING"
        assert reader.state.log == ["first"]
        assert len(await reader.history()) == 2
        following = asyncio.create_task(anext(reader.events(after="2")))
        gate.set()
        await run
        assert (await following).type == "step_finished"
        assert await reader.wait() == "DONE"
        assert (await store.look("r")).epoch == 1

    asyncio.run(main())


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))


def paused(store):
    graph = Graph(Log, store=store)

    @graph.node
    async def ask(ctx):
        return {"log": await ctx.ask("ok?")}

    @graph.node(interrupt="before")
    async def tell():
        return {"log": "told"}

    return graph.add_edge(START, "ask").add_edge("ask", "tell").add_edge("tell", END)


def test_who_laid_a_run_down_sees_what_another_process_did_with_it(store):
    """Promises 9 and 13: the one who started it waits, follows, opens and answers by the store, not by memory."""

    async def main():
        run = (mine := paused(store)).start()
        assert await run.wait() == "PAUSED"
        [pause] = run.pauses
        rival = paused(store).open(run.run_id)
        await rival.answer(pause.id, "theirs", by="them")
        assert await rival.wait() == "PAUSED"
        seen = [event.type async for event in run.events(after="3") if "." not in event.id]
        assert seen == ["answered", "step_finished", "paused", "run_paused"]
        with pytest.raises(AlreadyAnswered, match="them"):
            await run.answer(pause.id, "mine")
        assert await rival.resume() == "DONE"
        assert mine.open(run.run_id).status == "DONE"
        assert await run.wait() == "DONE"
        assert (await run).log == ["theirs", "told"]

    asyncio.run(main())


def test_a_breakpoint_that_another_process_laid_the_run_down_at_is_released_here(store):
    async def main():
        run = paused(store).start()
        await run.wait()
        rival = paused(store).open(run.run_id)
        await rival.answer(run.pauses[0].id, "theirs")
        assert await rival.wait() == "PAUSED"
        assert await run.resume() == "DONE"
        assert (await run).log == ["theirs", "told"]

    asyncio.run(main())


def test_who_lost_a_run_can_open_it_again_and_follow(store):
    async def main():
        gate, begun = asyncio.Event(), asyncio.Event()

        async def slow(ctx):
            begun.set()
            await gate.wait()
            return "old"

        async def quick(ctx):
            return "new"

        graph = working(store, slow)
        old = graph.start(run_id="r")
        await begun.wait()
        assert await working(store, quick).open("r").resume() == "DONE"
        gate.set()
        with pytest.raises(RunTaken):
            await old
        again = graph.open("r")
        assert await again.wait() == "DONE"
        assert [event.type async for event in again.events()][-1] == "run_done"

    asyncio.run(main())
