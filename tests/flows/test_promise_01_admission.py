"""Promise 1, admission: once `admitted()` has returned, the run and its input are durable.

Run as a script, this file is the process that dies: `python test_promise_01_admission.py ROLE FILE`.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ropewalk
from ropewalk import Graph, GraphState, History, LastValue
from ropewalk.errors import InvalidId, RunExists, RunNotFound, StoreUnavailable
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing import Fault, FaultyRunStore, scripted_faults

SOURCE = str(Path(ropewalk.__file__).parents[1])


class Order(GraphState):
    goods: History[str]
    customer: LastValue[str] = ""


def shipping(store, begun=None):
    graph = Graph(Order, store=store)

    @graph.node
    async def ship(state):
        if begun is not None:
            begun.append(state.customer)
        return {"goods": f"shipped to {state.customer}"}

    return graph.compile()


async def die_when_admitted(file):
    run = shipping(f"sqlite:///{file}").start(Order(goods=["tea"], customer="Ann"), run_id="order-1")
    await run.admitted()
    os.kill(os.getpid(), signal.SIGKILL)


async def die_after_first_event(file):
    run = shipping(f"sqlite:///{file}").start(Order(goods=["tea"], customer="Ann"), run_id="order-1")
    async for _ in run.events():
        os.kill(os.getpid(), signal.SIGKILL)


def dead(role, file):
    """Run a role of this file in a process of its own, which kills itself."""
    command = [sys.executable, "-W", "error", __file__, role, str(file)]
    process = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": SOURCE}, timeout=15, check=False, capture_output=True
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


@pytest.mark.parametrize("role", ["die_when_admitted", "die_after_first_event"])
def test_an_admitted_run_and_its_input_survive_kill_9(tmp_path, role):
    """Promise 1."""
    file = tmp_path / "runs.db"
    dead(role, file)

    async def go_on():
        store = SqliteRunStore(file)
        run = shipping(store).open("order-1")
        first = (await run.history())[0]
        status = await run.resume()
        await store.close()
        return first, status, run.state

    first, status, state = asyncio.run(go_on())
    assert first.type == "run_started"
    assert first.data["state"] == {"goods": ["tea"], "customer": "Ann"}
    assert status == "DONE"
    assert state == Order(goods=["tea", "shipped to Ann"], customer="Ann")


AWAITS = {
    "admitted": lambda run: run.admitted(),
    "wait": lambda run: run.wait(),
    "await": asyncio.ensure_future,
    "history": lambda run: run.history(),
    "events": lambda run: anext(run.events()),
    "edit": lambda run: run.edit({"goods": "more"}),
    "cancel": lambda run: run.cancel(),
    "fork": lambda run: run.fork(),
    "resume": lambda run: run.resume(),
}


def shop_that_waits(store, opened):
    graph = Graph(Order, store=store)

    @graph.node
    async def ship(state):
        await opened.wait()

    return graph


@pytest.mark.parametrize("name", [name for name in AWAITS if name not in ("wait", "await", "resume")])
def test_whatever_is_awaited_on_a_run_the_store_has_it_by_then(store, name):
    """Promise 1: any other await on a run implies admission."""

    async def main():
        opened = asyncio.Event()
        run = shop_that_waits(store, opened).start(run_id="order-1")
        await AWAITS[name](run)
        assert (await store.look("order-1")).last >= 1
        opened.set()
        await run.wait()

    asyncio.run(main())


@pytest.mark.parametrize("name", AWAITS)
def test_a_run_that_the_store_did_not_take_is_not_admitted_and_no_node_of_it_runs(name):
    """Promise 1: a store that fails says so to whoever awaits the run, whatever they await."""

    async def main():
        kept = MemoryRunStore()
        store = FaultyRunStore(kept, scripted_faults([], then=Fault.BEFORE))
        ran = []
        graph = Graph(Order, store=store)
        graph.add_node(lambda: ran.append("ship"), name="ship")
        run = graph.start(run_id="order-1")
        with pytest.raises(StoreUnavailable):
            await AWAITS[name](run)
        assert ran == []
        with pytest.raises(RunNotFound):
            await kept.look("order-1")

    asyncio.run(main())


def test_no_node_runs_before_its_run_is_durable(store):
    """Promise 1."""

    async def main():
        seen = []
        graph = Graph(Order, store=store)

        @graph.node
        async def ship(ctx):
            seen.append((await store.look(ctx.run_id)).last)

        await graph.start()
        assert seen == [1]

    asyncio.run(main())


def test_a_run_id_is_given_once(store):
    """Promise 1: `start(run_id=...)` of an existing run raises, here and from another process."""

    async def main():
        await shipping(store).start(run_id="order-1")
        again = shipping(store).start(run_id="order-1")
        with pytest.raises(RunExists, match=r"order-1.*resume"):
            await again.admitted()
        with pytest.raises(RunExists):
            await again

    asyncio.run(main())


def test_two_starts_of_one_id_at_once_give_one_run(store):
    """Promise 1."""

    async def main():
        runs = [shipping(store).start(run_id="order-1") for _ in range(5)]
        results = await asyncio.gather(*(run.admitted() for run in runs), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["NoneType"] + ["RunExists"] * 4
        winner = runs[[result is None for result in results].index(True)]
        await winner
        assert len(await winner.history()) == 3

    asyncio.run(main())


def test_an_id_that_no_store_could_carry_is_refused_at_once():
    """Promise 1."""

    async def main():
        with pytest.raises(InvalidId, match="letters, digits"):
            shipping(None).start(run_id="../etc/passwd")

    asyncio.run(main())


def test_the_input_of_a_run_is_what_it_was_at_start_whatever_becomes_of_the_object(store):
    """Promise 1."""

    async def main():
        order = Order(goods=["tea"], customer="Ann")
        run = shipping(store).start(order)
        order.goods.append("coffee")
        order.customer = "Bob"
        assert await run == Order(goods=["tea", "shipped to Ann"], customer="Ann")

    asyncio.run(main())


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_run_whose_caller_is_cancelled_while_it_is_admitted_goes_on_all_the_same(tmp_path, turns):
    """Promise 12: what is durable has a reason to move, whoever has left meanwhile."""

    async def scenario():
        store = SqliteRunStore(tmp_path / "runs.db")
        graph = shipping(store)
        caller = asyncio.create_task(graph.admit(Order(customer="Ann"), run_id="order-1"))
        for _ in range(turns):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait({caller})
        assert caller.cancelled()
        async with asyncio.timeout(10):
            while True:
                try:
                    if (await store.look("order-1")).status == "DONE":
                        break
                except RunNotFound:
                    pass
                await asyncio.sleep(0.01)
        state = await graph.open("order-1")
        await store.close()
        return state

    assert asyncio.run(scenario()).goods == ["shipped to Ann"]


def test_admitted_means_durable_and_on_its_way(store):
    async def scenario():
        begun = []
        graph = shipping(store, begun)
        run = await graph.admit(Order(customer="Ann"), run_id="order-1")
        assert not begun  # whoever asked is answered first
        assert (await store.look("order-1")).last >= 1
        with pytest.raises(RunExists):
            await graph.admit(Order(customer="Bob"), run_id="order-1")
        return await run

    assert asyncio.run(scenario()).goods == ["shipped to Ann"]


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
