"""Real processes: killed in the middle of everything, again and again, until the run is done.

Run as a script, this file is the process that is killed.
"""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import ropewalk
from ropewalk import END, START, Graph, GraphState, History, Incremental
from ropewalk.stores.sqlite import SqliteRunStore

SOURCE = str(Path(ropewalk.__file__).parents[1])


class Factory(GraphState):
    log: History[str]
    parts: Incremental[int] = 0
    rounds: Incremental[int] = 0


def building(store, journal):
    """A loop around a map over a subgraph, with a kept step in each item."""
    graph = Graph(Factory, store=store)

    def once(word):
        with open(journal, "a") as file:
            file.write(word + "\n")
        return word

    @graph.node
    async def order(state):
        return {"rounds": 1}

    @graph.subgraph()
    def make():
        sub = Graph(Factory)

        @sub.node
        async def cut(state, ctx):
            await asyncio.sleep(0.002)
            return {"log": await ctx.step("cut", once, f"cut {state.rounds}.{ctx.item}")}

        @sub.node
        def paint(state, ctx):
            return {"log": once(f"paint {state.rounds}.{ctx.item}"), "parts": 1}

        return sub.add_edge(START, "cut").add_edge("cut", "paint").add_edge("paint", END)

    @graph.node
    async def pack(state):
        return {"log": once(f"pack {state.rounds}")}

    graph.add_edge(START, "order").add_map_edge("order", "make", "pack", over=lambda: range(4))
    return graph.add_router_edge("pack", lambda s: "order" if s.rounds < 3 else END, routes=["order", END])


async def build(file, journal):
    graph = building(f"sqlite:///{file}", journal)
    try:
        run = graph.open("r")
    except ropewalk.errors.RunNotFound:
        run = graph.start(run_id="r")
        await run.admitted()
    print("working", flush=True)
    await run.resume()
    print("done", flush=True)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_if_it_never_had_been(tmp_path):
    """Promises 2, 3, 4 and 6: nothing committed is lost or repeated."""
    dice = random.Random(7)
    file, journal = tmp_path / "runs.db", tmp_path / "journal"
    command = [sys.executable, "-W", "error", __file__, "build", str(file), str(journal)]
    kills = 0
    for _ in range(8):
        with subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": SOURCE}, stdout=subprocess.PIPE, text=True
        ) as child:
            child.stdout.readline()
            try:
                child.wait(timeout=dice.uniform(0.0, 0.03))
            except subprocess.TimeoutExpired:
                child.kill()
                kills += 1
            if "done" in child.stdout.read():
                break
    assert kills >= 1

    async def look():
        store = SqliteRunStore(file)
        run = building(store, journal).open("r")
        await run.resume()
        entries, state = await run.history(), run.state
        await store.close()
        return entries, state

    entries, state = asyncio.run(look())
    reference = building(None, tmp_path / "reference").run_sync()
    assert state == reference
    finished = Counter(entry.data["step"] for entry in entries if entry.type == "step_finished")
    assert set(finished.values()) == {1}
    done = Counter(journal.read_text().split("\n"))
    deaths = sum(entry.type == "reset" for entry in entries)
    assert all(times <= 1 + deaths for times in done.values())
    assert set(done) == set(Path(tmp_path / "reference").read_text().split("\n"))


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
