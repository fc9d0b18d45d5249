"""A queue in one process over a store that has none: what the process leaves behind, and writes that are cut off."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ropewalk
from ropewalk import END, START, Graph, GraphState, History
from ropewalk.contracts.run_queue import EARLIER_PROCESS, QueuesRuns
from ropewalk.errors import RunFailed, StoreUnavailable
from ropewalk.runtime import open_queued_store
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.queued_here import QueuedHere
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing import Fault, FaultyRunStore, scripted_faults
from ropewalk.testing.store_checks import admit, new_run, write
from ropewalk.workers import Worker

SOURCE = Path(ropewalk.__file__).parents[1]


def claimed(claims):
    return {claim.record.run_id: (claim.record.epoch, claim.taken_from) for claim in claims}


class Work(GraphState):
    log: History[str]


def deadly(store, dies):
    graph = Graph(Work, store=store, name="deadly")

    @graph.node
    async def work(ctx):
        if dies:
            os._exit(7)
        return {"log": f"attempt {ctx.attempt}"}

    return graph.add_edge(START, "work").add_edge("work", END)


async def drive(url):
    """Drive what is there until this process dies of it."""
    store = open_queued_store(url)
    async with Worker(deadly(store, dies=True)):
        await asyncio.sleep(60)


def test_the_store_of_a_url_has_a_queue(tmp_path, postgres_url):
    async def scenario():
        for url in ("memory:", f"sqlite:///{tmp_path}/runs.db", postgres_url):
            store = open_queued_store(url)
            assert isinstance(store, QueuesRuns)
            assert isinstance(store, QueuedHere) is not url.startswith("postgres")
            await store.close()

    asyncio.run(scenario())


def test_the_next_process_finds_every_running_run_due(tmp_path):
    async def scenario():
        first = QueuedHere(SqliteRunStore(tmp_path / "runs.db"))
        queue = first.queue()
        await admit(first, "embedded")
        for run_id in ("never claimed", "held", "paused", "later", "done"):
            await queue.submit(new_run(run_id, graph=run_id), [b"x"])
            if run_id != "never claimed":
                await queue.claim("w", graphs=[run_id], ttl_seconds=300)
        await write(first, "paused", b"x", after=1, epoch=2, status="PAUSED")
        await write(first, "done", b"x", after=1, epoch=2, status="DONE")
        await queue.release("w", {"later": 2}, wake_in_seconds=300)
        await first.close()  # nothing of the queue is kept
        store = QueuedHere(SqliteRunStore(tmp_path / "runs.db"))
        queue = store.queue()
        graphs = ["g", "never claimed", "held", "paused", "later", "done"]
        assert claimed(await queue.claim("x", graphs=graphs, ttl_seconds=30, limit=9)) == {
            "embedded": (2, None),
            "never claimed": (2, None),
            "held": (3, EARLIER_PROCESS),
            "later": (3, EARLIER_PROCESS),
        }
        answering = await store.claim("paused")
        await write(store, "paused", b"answered", after=2, epoch=answering.epoch)
        assert claimed(await queue.claim("x", graphs=graphs, ttl_seconds=30, limit=9)) == {"paused": (4, None)}
        assert await queue.stranded() == []
        await store.close()

    asyncio.run(scenario())


def test_a_run_that_kills_its_process_again_and_again_is_set_aside(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"

    async def submit():
        store = open_queued_store(url)
        await deadly(store, dies=False).submit(run_id="r")
        await store.close()

    async def end():
        store = open_queued_store(url)
        graph = deadly(store, dies=False)
        async with Worker(graph), asyncio.timeout(10):
            with pytest.raises(RunFailed, match="poisoned"):
                await graph.open("r")
        reasons = [entry.data["reason"] for entry in await graph.open("r").history() if entry.type == "reset"]
        assert set(reasons) == {"taken_over"}
        await store.close()

    asyncio.run(submit())
    command = f"import asyncio; from tests.contracts.test_queued_here import drive; asyncio.run(drive({url!r}))"
    where = os.environ | {"PYTHONPATH": os.pathsep.join((str(SOURCE), str(SOURCE.parent)))}
    for _ in range(5):
        died = subprocess.run([sys.executable, "-c", command], env=where, check=False, timeout=30)
        assert died.returncode in (7, -signal.SIGKILL)
    asyncio.run(end())


def test_an_append_whose_caller_went_away_is_followed_all_the_same(tmp_path):
    async def scenario():
        store = QueuedHere(SqliteRunStore(tmp_path / "runs.db"))
        queue = store.queue()
        for i in range(20):
            await queue.submit(new_run(f"run{i}", status="PAUSED"), [b"x"])
            going_on = asyncio.create_task(write(store, f"run{i}", b"answered", after=1))
            for _ in range(i % 5):
                await asyncio.sleep(0)
            going_on.cancel()
        await store.read("run0")
        async with asyncio.timeout(5):
            while True:
                running = {record.run_id for record in await store.runs(statuses=["RUNNING"])}
                due = {run.run_id for run in await queue.overdue(for_seconds=-1.0)}
                if running == due and await queue.stranded() == []:
                    break
                await asyncio.sleep(0.01)
        assert running
        await store.close()

    asyncio.run(scenario())


def test_a_write_whose_fate_is_not_known_leaves_no_run_without_a_reason_to_move():
    async def scenario():
        faults = scripted_faults([Fault.NONE, Fault.AFTER])
        store = QueuedHere(FaultyRunStore(MemoryRunStore(), faults))
        queue = store.queue()
        await queue.submit(new_run("r", status="PAUSED"), [b"x"])
        with pytest.raises(StoreUnavailable):
            await write(store, "r", b"answered", after=1)
        assert await queue.stranded() == []
        assert claimed(await queue.claim("w", graphs=["g"], ttl_seconds=30)) == {"r": (2, None)}

    asyncio.run(scenario())
