"""Promise 3, no repeat: a step whose entry is committed never runs again.

Run as a script, this file is the process that is killed.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import ropewalk
from ropewalk import END, START, Graph, GraphState, History, LastValue
from ropewalk.errors import RunFailed
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore

SOURCE = str(Path(ropewalk.__file__).parents[1])


class Trip(GraphState):
    log: History[str]
    dice: LastValue[int] = 0


def note(journal, word):
    """Write down, outside of the run, that code ran."""
    with open(journal, "a") as file:
        file.write(word + "\n")


def travelling(store, journal, *, hang=None):
    """A fork, a join and a loop; the node named ``hang`` never ends."""
    graph = Graph(Trip, store=store)

    async def visit(name, state):
        note(journal, name)
        if name == hang:
            print(f"in {name}", flush=True)
            await asyncio.Event().wait()
        return {"log": name}

    async def a(state):
        return await visit("a", state) | {"dice": random.randrange(10**9)}

    async def b(state):
        return await visit("b", state)

    async def c(state):
        return await visit("c", state)

    async def d(state):
        return await visit("d", state)

    async def e(state):
        return await visit("e", state)

    for fn in (a, b, c, d, e):
        graph.add_node(fn)
    graph.add_edge(START, "a").add_edge("a", "b").add_edge("a", "c").add_edge("b", "d").add_edge("c", "d")
    graph.add_router_edge("d", lambda state: "e" if state.log.count("d") > 1 else "a", routes=["a", "e"])
    graph.add_edge("e", END)
    return graph


async def travel(file, journal, hang):
    graph = travelling(f"sqlite:///{file}", journal, hang=hang)
    try:
        run = graph.open("trip")
        await run.resume()
    except ropewalk.errors.RunNotFound:
        run = graph.start(run_id="trip")
    await run


@contextmanager
def child(role, *args):
    command = [sys.executable, "-W", "error", __file__, role, *map(str, args)]
    environment = os.environ | {"PYTHONPATH": SOURCE}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def killed_inside(node, file, journal):
    with child("travel", file, journal, node) as process:
        assert process.stdout.readline() == f"in {node}\n"
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def test_a_run_killed_in_three_places_repeats_only_the_step_it_died_in(tmp_path):
    """Promise 3: not after kill -9."""
    file, journal = tmp_path / "runs.db", tmp_path / "journal"
    for node in ("b", "d", "e"):
        killed_inside(node, file, journal)
    assert Path(journal).read_text().split().count("a") == 2

    async def finish():
        store = SqliteRunStore(file)
        run = travelling(store, journal).open("trip")
        await run.resume()
        entries = await run.history()
        await store.close()
        return run.state, entries

    state, entries = asyncio.run(finish())
    assert state.log == [*"abcdabcde"]
    finished = [entry.data["step"] for entry in entries if entry.type == "step_finished"]
    assert sorted(finished) == ["a#1", "a#2", "b#1", "b#2", "c#1", "c#2", "d#1", "d#2", "e#1"]
    ran = Path(journal).read_text().split()
    assert ran.count("a") == 2
    extra = {name: ran.count(name) - state.log.count(name) for name in "abcde"}
    assert extra["e"] == 1
    assert max(extra["b"], extra["d"]) <= 1


def test_finished_code_is_not_replayed_so_it_need_not_be_deterministic(tmp_path):
    """Promise 3: what a die showed before the kill is what the run goes on with."""
    file, journal = tmp_path / "runs.db", tmp_path / "journal"
    killed_inside("d", file, journal)

    async def look(resume):
        store = SqliteRunStore(file)
        run = travelling(store, journal).open("trip")
        if resume:
            await run.resume()
            dice = [
                value
                for entry in await run.history()
                for field, _, value in entry.data.get("writes", ())
                if field == "dice"
            ]
        else:
            dice = [run.state.dice]
        await store.close()
        return dice

    before = asyncio.run(look(resume=False))
    assert before != [0]
    assert asyncio.run(look(resume=True))[:1] == before


def test_a_finished_sibling_of_a_failed_step_never_runs_again(store):
    """Promise 3: not when a sibling fails, not on resume."""

    async def main():
        calls = []
        well = []
        graph = Graph(Trip, store=store)

        @graph.node
        async def good(state):
            calls.append("good")
            return {"log": "good"}

        @graph.node
        async def bad(state):
            calls.append("bad")
            if not well:
                raise OSError("down")
            return {"log": "bad"}

        @graph.node
        async def join(state):
            calls.append("join")
            return {"log": "join"}

        graph.add_edge(START, "good").add_edge(START, "bad")
        graph.add_edge("good", "join").add_edge("bad", "join").add_edge("join", END)
        run = graph.start()
        with pytest.raises(RunFailed, match="down"):
            await run
        with pytest.raises(RunFailed, match="down"):
            await run
        assert await run.resume() == "FAILED"
        well.append(True)
        assert await run.resume() == "DONE"
        assert run.state.log == ["good", "bad", "join"]
        assert calls == ["good", "bad", "bad", "bad", "join"]

    asyncio.run(main())


def test_resuming_a_run_that_is_done_does_nothing(store):
    """Promise 3."""

    async def main():
        calls = []
        graph = Graph(Trip, store=store)
        graph.add_node(lambda: calls.append(1), name="only")
        run = graph.start(run_id="r")
        await run
        before = await run.history()
        assert await run.resume() == "DONE"
        elsewhere = Graph(Trip, store=store).add_node(lambda: calls.append(2), name="only")
        assert await elsewhere.open("r").resume() == "DONE"
        assert await run.history() == before
        assert calls == [1]

    asyncio.run(main())


def test_finished_items_of_a_map_do_not_run_again_when_one_of_them_failed(store):
    """Promise 3."""

    async def main():
        calls = []
        well = []
        graph = Graph(Trip, store=store)

        @graph.node
        async def work(item):
            calls.append(item)
            if item == 3 and not well:
                raise OSError("down")
            return {"log": str(item)}

        graph.add_node(lambda: None, name="end")
        graph.add_map_edge(START, "work", "end", over=lambda: range(6))
        graph.add_edge("end", END)
        run = graph.start()
        assert await run.wait() == "FAILED"
        well.append(True)
        assert await run.resume() == "DONE"
        assert run.state.log == ["0", "1", "2", "3", "4", "5"]
        assert sorted(calls) == [0, 1, 2, 3, 3, 4, 5]

    asyncio.run(main())


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
