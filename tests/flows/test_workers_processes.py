"""Workers as real processes: killed, frozen past their lease and thawed, told to stop, taken down by their own runs,
and started with code that does not fit.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest

import ropewalk
from ropewalk.errors import RunFailed
from ropewalk.runtime import Graph, open_store

SOURCE = str(Path(ropewalk.__file__).parents[1])
FLOW = """
import asyncio, os, pathlib, time
from ropewalk import END, START, Context, Graph, GraphState, History

HERE = pathlib.Path(__file__).parent

class Work(GraphState):
    log: History[str]

def said(word):
    with open(HERE / "journal", "a") as file:
        file.write(f"{word}\\n")
    return word

graph = Graph(Work, name="work")

@graph.node
async def first(ctx: Context):
    return {"log": await ctx.step("effect", said, "first")}

@graph.node
async def held(ctx: Context):
    kept = await ctx.step("effect", said, f"held {os.getpid()}")
    said("waits")
    while not (HERE / "go").exists():
        await asyncio.sleep(0.01)
    return {"log": f"{kept}, attempt {ctx.attempt}"}

@graph.node
async def last():
    return {"log": said("last")}

graph.add_edge(START, "first").add_edge("first", "held").add_edge("held", "last").add_edge("last", END)

busy = Graph(Work, name="busy")

@busy.node
async def blocks(ctx: Context):
    said("blocks")
    time.sleep(3)
    return {"log": f"attempt {ctx.attempt}"}

busy.add_edge(START, "blocks").add_edge("blocks", END)

deadly = Graph(Work, name="deadly")

@deadly.node
async def dies():
    said("dies")
    os._exit(1)

deadly.add_edge(START, "dies").add_edge("dies", END)

stuck = Graph(Work, name="stuck")

@stuck.node
def sleeps():
    said("sleeps")
    time.sleep(600)

stuck.add_edge(START, "sleeps").add_edge("sleeps", END)

asking = Graph(Work, name="asking")

@asking.node
async def asks(ctx: Context):
    return {"log": await ctx.ask("?")}

asking.add_edge(START, "asks").add_edge("asks", END)
"""


@pytest.fixture
def flow(tmp_path):
    file = tmp_path / "flow.py"
    file.write_text(FLOW)
    return file


@contextmanager
def working(flow, name, url, *options):
    """Yield a worker as people start it; kill it at the end."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "ropewalk.cli",
        "worker",
        f"{flow}:{name}",
        "--store",
        url,
        *options,
    ]
    with subprocess.Popen(command, cwd=flow.parent, env=os.environ | {"PYTHONPATH": SOURCE}) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def submitting(flow, name, url) -> Graph:
    names = {"__file__": str(flow), "__name__": "flow"}
    exec(compile(flow.read_text(), str(flow), "exec"), names)
    store = open_store(url)
    names[name].use_store(store)
    try:
        yield names[name]
    finally:
        await store.close()


@pytest.fixture
def renamed(flow):
    """The same file after a node was renamed: a run that waits in that node does not fit it."""
    file = flow.parent / "renamed" / "flow.py"
    file.parent.mkdir()
    file.write_text(FLOW.replace("asks", "questions"))
    return file


async def paused(flow, url, graph, count):
    """Return so many runs that wait for an answer, with no worker left."""
    runs = [await graph.submit() for _ in range(count)]
    with working(flow, "asking", url) as worker:
        for run in runs:
            assert await run.wait() == "PAUSED"
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 10) == 0
    return runs


def asked(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchone()[0]


TRIED = "SELECT sum(epoch) FROM ropewalk.run"
"""Each claim raises an epoch."""
COMMITTED = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


def journal(flow):
    file = flow.parent / "journal"
    return file.read_text().split("\n")[:-1] if file.exists() else []


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def resets(run):
    return [entry.data["reason"] for entry in await run.history() if entry.type == "reset"]


def is_dense_and_once(entries):
    finished = Counter(entry.data["step"] for entry in entries if entry.type == "step_finished")
    return set(finished.values()) == {1} and [entry.number for entry in entries] == [*range(1, len(entries) + 1)]


@pytest.mark.slow
def test_a_killed_worker_s_run_is_taken_over_within_the_lease(postgres_url, flow):
    async def scenario():
        async with submitting(flow, "graph", postgres_url) as graph:
            run = await graph.submit()
            with working(flow, "graph", postgres_url, "--lease", "2") as dead:
                await until(lambda: "waits" in journal(flow))
                with working(flow, "graph", postgres_url, "--lease", "2"):
                    await asyncio.sleep(2.5)
                    assert journal(flow).count("waits") == 1  # the lease of the living is prolonged
                    dead.kill()
                    killed = time.monotonic()
                    await until(lambda: journal(flow).count("waits") == 2)
                    assert time.monotonic() - killed < 2 + 1.5
                    (flow.parent / "go").touch()
                    state = await run
            assert state.log == ["first", f"held {dead.pid}, attempt 2", "last"]
            assert journal(flow) == ["first", f"held {dead.pid}", "waits", "waits", "last"]  # ctx.step: once each
            assert await resets(run) == ["taken_over"]
            assert is_dense_and_once(await run.history())

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_after_its_lease_is_refused_and_goes_on_with_other_runs(postgres_url, flow):
    async def scenario():
        async with submitting(flow, "graph", postgres_url) as graph:
            run = await graph.submit()
            with working(flow, "graph", postgres_url, "--lease", "1.5") as frozen:
                await until(lambda: "waits" in journal(flow))
                frozen.send_signal(signal.SIGSTOP)
                with working(flow, "graph", postgres_url, "--lease", "1.5") as heir:
                    await until(lambda: journal(flow).count("waits") == 2)
                    (
                        flow.parent / "go"
                    ).touch()  # the first thing the zombie sees when it wakes: it may finish its step
                    frozen.send_signal(signal.SIGCONT)
                    state = await run
                    heir.terminate()
                    assert heir.wait(10) == 0
                assert state.log == ["first", f"held {frozen.pid}, attempt 2", "last"]
                assert await resets(run) == ["taken_over"]
                assert is_dense_and_once(await run.history())
                async with asyncio.timeout(10):
                    again = await (await graph.submit())
                assert again.log[1] == f"held {frozen.pid}, attempt 1"

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_finishes_its_step_and_hands_the_run_over(postgres_url, flow):
    async def scenario():
        async with submitting(flow, "graph", postgres_url) as graph:
            run = await graph.submit()
            with working(flow, "graph", postgres_url, "--lease", "60") as first:
                await until(lambda: "waits" in journal(flow))
                first.terminate()
                await asyncio.sleep(0.5)
                assert first.poll() is None  # it waits for the step
                other = await graph.submit()
                (flow.parent / "go").touch()
                assert await asyncio.to_thread(first.wait, 10) == 0
            assert "last" not in journal(flow)
            with working(flow, "graph", postgres_url, "--lease", "60"):
                async with asyncio.timeout(10):  # not after sixty seconds: the lease was given back
                    assert (await run).log == ["first", f"held {first.pid}, attempt 1", "last"]
                    await other
            assert await resets(run) == []

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("harder", ["a second signal", "the end of its grace"])
def test_a_worker_that_is_told_harder_cuts_its_step_off_and_hands_the_run_over(postgres_url, flow, harder):
    async def scenario():
        async with submitting(flow, "graph", postgres_url) as graph:
            run = await graph.submit()
            grace = "60" if harder == "a second signal" else "0.5"
            with working(flow, "graph", postgres_url, "--lease", "60", "--grace", grace) as first:
                await until(lambda: "waits" in journal(flow))
                first.send_signal(signal.SIGINT)
                if harder == "a second signal":
                    await asyncio.sleep(0.5)
                    first.send_signal(signal.SIGTERM)
                expected = 130 if harder == "a second signal" else 0
                assert await asyncio.to_thread(first.wait, 10) == expected
            (flow.parent / "go").touch()
            with working(flow, "graph", postgres_url, "--lease", "60"):
                async with asyncio.timeout(10):
                    assert (await run).log == ["first", f"held {first.pid}, attempt 2", "last"]
            assert await resets(run) == ["interrupted"]
            assert is_dense_and_once(await run.history())

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_plain_function_that_does_not_return_keeps_no_worker_from_stopping(postgres_url, flow):
    async def scenario():
        async with submitting(flow, "stuck", postgres_url) as graph:
            await graph.submit()
            with working(flow, "stuck", postgres_url, "--grace", "0.3") as process:
                await until(lambda: journal(flow))
                process.terminate()
                assert await asyncio.to_thread(process.wait, 15) == 0

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_worker_whose_loop_is_blocked_does_not_look_dead(postgres_url, flow):
    async def scenario():
        async with submitting(flow, "busy", postgres_url) as graph:
            run = await graph.submit()
            with (
                working(flow, "busy", postgres_url, "--lease", "1"),
                working(flow, "busy", postgres_url, "--lease", "1"),
            ):
                assert (await run).log == ["attempt 1"]
            assert journal(flow) == ["blocks"]
            assert await resets(run) == []

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_run_that_keeps_killing_its_workers_is_set_aside(postgres_url, flow):
    async def scenario():
        async with submitting(flow, "deadly", postgres_url) as graph:
            run = await graph.submit()
            for deaths in range(5):
                with working(flow, "deadly", postgres_url, "--lease", "0.6") as process:
                    assert await asyncio.to_thread(process.wait, 20) == 1
                assert journal(flow) == ["dies"] * (deaths + 1)
            with working(flow, "deadly", postgres_url, "--lease", "0.6"):
                async with asyncio.timeout(20):
                    assert await run.wait() == "FAILED"
            assert isinstance(run.error, RunFailed)
            assert run.error.reason == "poisoned"
            assert journal(flow) == ["dies"] * 5

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_run_goes_to_the_worker_whose_code_fits_at_once_though_others_have_tried_it(postgres_url, flow, renamed):
    async def scenario():
        async with submitting(flow, "asking", postgres_url) as graph:
            runs = await paused(flow, postgres_url, graph, 12)
            with working(renamed, "asking", postgres_url), working(renamed, "asking", postgres_url):
                tried = asked(postgres_url, TRIED)
                await runs[0].answer(runs[0].pauses[0], "early")
                await until(lambda: asked(postgres_url, TRIED) >= tried + 3)  # that who answers, and both workers
                with working(flow, "asking", postgres_url):
                    async with asyncio.timeout(4):  # a process of its own must start
                        assert (await runs[0]).log == ["early"]
                    for run in runs[1:]:
                        await run.answer(run.pauses[0], "late")
                    async with asyncio.timeout(3):
                        for run in runs[1:]:
                            assert (await run).log == ["late"]
            assert [await resets(run) for run in runs] == [[]] * len(runs)

    asyncio.run(scenario())


@pytest.mark.slow
def test_workers_whose_code_fits_none_of_the_runs_leave_the_database_in_peace(postgres_url, flow, renamed):
    async def scenario():
        async with submitting(flow, "asking", postgres_url) as graph:
            runs = await paused(flow, postgres_url, graph, 6)
            for run in runs:
                await run.answer(run.pauses[0], "yes")
            tried = asked(postgres_url, TRIED)
            with working(renamed, "asking", postgres_url), working(renamed, "asking", postgres_url):
                await until(lambda: asked(postgres_url, TRIED) >= tried + 12)  # each run once by each worker
                await asyncio.sleep(1)
                settled, committed = asked(postgres_url, TRIED), asked(postgres_url, COMMITTED)
                began = time.monotonic()
                assert settled <= tried + 24  # a claim that was on its way meets a run that was just given back
                await asyncio.sleep(5)
                assert asked(postgres_url, TRIED) == settled
                commits = (asked(postgres_url, COMMITTED) - committed) / (time.monotonic() - began)
                assert commits < 15  # two looks in two seconds, and the beats
            due = "SELECT count(*) FROM ropewalk.work WHERE worker IS NULL AND wake_at <= clock_timestamp()"
            assert asked(postgres_url, due) == len(runs)

    asyncio.run(scenario())
