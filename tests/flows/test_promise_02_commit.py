"""Promise 2, commit: a step's writes, the routes it chose and what becomes ready are one atomic append."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ropewalk
from ropewalk import END, START, Graph, GraphState, History, Incremental, Send
from ropewalk.contracts import NewRun
from ropewalk.errors import StoreUnavailable
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing import Fault, FaultyRunStore, scripted_faults

SOURCE = str(Path(ropewalk.__file__).parents[1])


class Books(GraphState):
    debit: Incremental[int] = 0
    credit: Incremental[int] = 0
    log: History[str]


def bookkeeping(store, rounds=30):
    """A loop whose every step writes both sides; a router goes round again."""
    graph = Graph(Books, store=store, max_node_iterations=1000)

    @graph.node
    async def book(state):
        return {"debit": 1, "credit": 1}

    @graph.node
    async def note(state):
        return {"log": f"noted {state.debit}"}

    graph.add_edge(START, "book").add_edge("book", "note")
    graph.add_router_edge("note", lambda state: END if state.debit >= rounds else "book", routes=["book", END])
    return graph


async def keep_books(file):
    """Say each commit; go on for ever."""
    run = bookkeeping(f"sqlite:///{file}?durability=normal", rounds=10**6).start(run_id="books")
    async for event in run.events():
        print(event.id, flush=True)


def test_after_kill_9_at_any_moment_no_step_is_half_written(tmp_path):
    """Promise 2."""
    for kill_at in (3, 10, 11, 12, 25):
        file = tmp_path / f"runs{kill_at}.db"
        command = [sys.executable, "-W", "error", __file__, "keep_books", str(file)]
        with subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": SOURCE}, stdout=subprocess.PIPE, text=True
        ) as child:
            for line in child.stdout:
                if int(line.partition(".")[0]) >= kill_at:
                    child.kill()
                    break
        assert child.returncode == -signal.SIGKILL

        async def look(file=file):
            store = SqliteRunStore(file)
            run = bookkeeping(store, rounds=10**6).open("books")
            entries = await run.history()
            state = run.state
            await store.close()
            return entries, state

        entries, state = asyncio.run(look())
        assert len(entries) >= kill_at
        assert state.debit == state.credit
        assert state.debit - len(state.log) in (0, 1)
        for entry in entries:
            if entry.node == "book":
                assert [write[0] for write in entry.data["writes"]] == ["debit", "credit"]
            if entry.node == "note":
                assert entry.data["choices"], "what the router chose is in the step's own entry"


def branching(store):
    """Every kind of edge once: a router, a map, a fork and join, a loop, a subgraph, a router node."""
    graph = Graph(Books, store=store)

    @graph.node
    async def begin(state):
        return {"log": "begin"}

    @graph.node
    async def count(state, item, index):
        return {"debit": item, "log": f"count {index}"}

    @graph.node
    async def left(state):
        return {"log": "left", "credit": 1}

    @graph.node
    async def right(state):
        return {"log": "right", "credit": 2}

    @graph.node
    async def sent(state, item):
        return {"log": f"sent {item}"}

    @graph.subgraph()
    def inner():
        sub = Graph(Books)

        @sub.node
        async def one(state):
            return {"log": "one"}

        @sub.node
        async def two(state):
            return {"log": "two"}

        sub.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)
        return sub

    @graph.node
    async def decide(state):
        return "begin" if state.debit < 12 else END

    graph.add_edge(START, "begin")
    graph.add_map_edge("begin", "count", "left", over=lambda state: [1, 2, 3])
    graph.add_map_edge("begin", "count", "right", over=lambda state: [0])
    graph.add_router_edge("left", lambda state: [Send("sent", "x"), Send("sent", "y")], routes=["sent"])
    graph.add_edge("sent", "inner").add_edge("right", "inner")
    graph.add_router_edge("inner", "decide", routes=["begin", END])
    return graph


def test_wherever_a_log_ends_the_run_goes_on_from_there_to_the_same_state():
    """Promises 2 and 12: every prefix of a log is a whole state with something that can move."""

    async def main():
        full = MemoryRunStore()
        run = branching(full).start(run_id="whole")
        final = await run
        entries = await full.read("whole")
        assert len(entries) > 20
        for cut in range(1, len(entries)):
            store = MemoryRunStore()
            new = NewRun(run_id="whole", graph="g", plan="p", status="RUNNING", at=1.0)
            await store.create(new, [body for _, body in entries[:cut]])
            again = branching(store).open("whole")
            assert await again.resume() == "DONE", f"cut behind entry {cut}"
            assert again.state == final, f"cut behind entry {cut}"

    asyncio.run(main())


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
@pytest.mark.parametrize("nth", range(1, 11, 2))
def test_an_append_that_failed_is_there_whole_or_not_at_all(fault, nth):
    """Promise 2: the run is given back with an error, and goes on once the store is well."""

    async def main():
        kept = MemoryRunStore()
        faulty = FaultyRunStore(kept, scripted_faults([Fault.NONE] * nth + [fault]))
        run = bookkeeping(faulty, rounds=5).start(run_id="books")
        with pytest.raises(StoreUnavailable):
            await run
        lived = bookkeeping(kept, rounds=5).open("books")
        committed = len(await kept.read("books"))
        assert committed == nth + (fault is Fault.AFTER)
        state = lived.state
        assert state.debit == state.credit
        assert await lived.resume() == "DONE"
        assert lived.state == Books(debit=5, credit=5, log=[f"noted {n}" for n in range(1, 6)])

    asyncio.run(main())


def test_the_same_handle_goes_on_after_its_store_is_well_again():
    """Promise 2: `resume()` on the run that was given back."""

    async def main():
        kept = MemoryRunStore()
        faulty = FaultyRunStore(kept, scripted_faults([Fault.NONE] * 4 + [Fault.AFTER]))
        run = bookkeeping(faulty, rounds=5).start()
        with pytest.raises(StoreUnavailable):
            await run
        assert await run.resume() == "DONE"
        assert run.state.log == [f"noted {n}" for n in range(1, 6)]

    asyncio.run(main())


def test_a_handle_shows_nothing_that_is_not_in_the_log():
    """Promise 2: after a store that failed, status and state are those of the last entry that it took."""

    async def main():
        for fails_at in range(1, 5):
            kept = MemoryRunStore()
            faulty = FaultyRunStore(kept, scripted_faults([Fault.NONE] * fails_at, then=Fault.BEFORE))
            run = bookkeeping(faulty, rounds=2).start(run_id="books")
            with pytest.raises(StoreUnavailable):
                await run.wait()
            truth = bookkeeping(kept, rounds=2).open("books")
            assert run.status == truth.status == "RUNNING"
            assert run.state == truth.state

    asyncio.run(main())


def test_a_handle_shows_nothing_while_it_is_being_written():
    """Promise 2: written down first, said afterwards."""

    async def main():
        kept = MemoryRunStore()
        shown = []

        class Watched(FaultyRunStore):
            async def append(self, run_id, **rest):
                shown.append((run.status, run.state.debit, (await kept.look(run_id)).last))
                await super().append(run_id, **rest)

        run = bookkeeping(Watched(kept, scripted_faults([])), rounds=2).start(run_id="books")
        await run
        assert shown == [("RUNNING", 0, 1), ("RUNNING", 1, 2), ("RUNNING", 1, 3), ("RUNNING", 2, 4)]

    asyncio.run(main())


def test_what_finished_together_is_committed_together():
    """Promise 2: siblings that end in one turn of the loop share an append."""

    async def main():
        kept = MemoryRunStore()
        faulty = FaultyRunStore(kept, scripted_faults([]))
        graph = Graph(Books, store=faulty)
        graph.add_node(lambda: None, name="begin").add_node(lambda: None, name="join")
        graph.add_edge(START, "begin")
        for name in "abcdefgh":

            async def branch(state, name=name):
                return {"log": name}

            graph.add_node(branch, name=name).add_edge("begin", name).add_edge(name, "join")
        graph.add_edge("join", END)
        state = await graph.start()
        assert state.log == [*"abcdefgh"]
        assert len(faulty.met) < 8

    asyncio.run(main())


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
