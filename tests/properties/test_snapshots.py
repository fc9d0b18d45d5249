"""A snapshot is only a cache of the fold: whoever goes on from one goes on as whoever folded every entry.

The logs are real ones: of runs that failed, asked, were held, edited, forked, and whose process and store let them
down.
"""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.properties.drawings import Drawing
from tests.properties.graphs import any_drawings
from tests.properties.test_with_faults import ALL, edited_life, held, one_life, sees_it_through
from tests.properties.user import admitted, lived, see_through
from tests.properties.virtual import Killed, VirtualLoop, on
from tests.properties.witness import folded, stands
from tests.properties.world import Process, Troubles, World

from ropewalk import END, START, Context, Graph, GraphState, History, Incremental, LastValue, RunStatus
from ropewalk.core.facts import decode, read_entry
from ropewalk.core.schedule import Schedule
from ropewalk.core.snapshot import dump_snapshot, load_snapshot
from ropewalk.core.state import Shape
from ropewalk.errors import StoreFull
from ropewalk.stores.memory import MemoryRunStore

SEEDS = st.integers(0, 2**32)
CUTS = 3
"""How many entries of a log are tried."""


def bodies_of(world: World, run_id: str = "r") -> list[bytes]:
    return [body for _, body in VirtualLoop().live(world.inner.read(run_id))]


def plan_of(world: World) -> Any:
    loop = VirtualLoop()
    graph = Process(world, loop).graph()
    loop.close()
    return graph


def goes_on_the_same(world: World, run_id: str = "r") -> None:
    """Go on from snapshots at drawn entries beside a fold of everything: both stand the same all the way."""
    graph, bodies, dice = plan_of(world), bodies_of(world, run_id), random.Random(world.seed)
    for cut in sorted(dice.sample(range(1, len(bodies) + 1), min(CUTS, len(bodies)))):
        whole = folded(graph, run_id, bodies[:cut])
        body = dump_snapshot(whole)
        assert dump_snapshot(whole) == body, "making a snapshot changed the fold"
        quick = folded(graph, run_id, [])
        assert load_snapshot(quick, body)
        assert dump_snapshot(quick) == body, f"loaded at entry {cut}, it is another snapshot"
        for number in range(cut, len(bodies) + 1):
            if number > cut:
                folded(graph, run_id, bodies[number - 1 : number], on=whole)
                folded(graph, run_id, bodies[number - 1 : number], on=quick)
            if number < cut + 9 or number % 7 == 0 or number == len(bodies):
                assert stands(quick) == stands(whole), f"snapshot at entry {cut}, looked at after entry {number}"
        again = folded(graph, run_id, [])
        assert load_snapshot(again, dump_snapshot(quick))
        assert stands(again) == stands(whole), f"a snapshot of what came from the snapshot at entry {cut}"


@given(any_drawings(), SEEDS)
def test_a_fold_goes_on_from_a_snapshot_as_from_the_log(drawing: Drawing, seed: int) -> None:
    """Promise 12."""
    goes_on_the_same(sees_it_through(drawing, seed, ALL, one_life))


@given(any_drawings(), SEEDS)
def test_a_fold_of_edits_goes_on_from_a_snapshot_as_from_the_log(drawing: Drawing, seed: int) -> None:
    """Promise 12."""
    troubles = Troubles(deaths=1, failing=0.1, asking=0.15, breakpoints=0.15)
    goes_on_the_same(sees_it_through(drawing, seed, troubles, edited_life))


@given(any_drawings(), SEEDS)
def test_a_fork_goes_on_from_a_snapshot_as_from_the_log(drawing: Drawing, seed: int) -> None:
    """Promise 12: of a parent that was edited and asked, at any entry."""
    world = sees_it_through(drawing, seed, Troubles(failing=0.1, asking=0.2, breakpoints=0.1), edited_life)
    at = random.Random(seed).randint(1, len(world.entries()))
    forks: list[str] = []

    async def forked_life(world: World, loop: VirtualLoop) -> None:
        fork = await Process(world, loop).graph().open("r").fork(at=at)
        forks.append(fork.run_id)
        await see_through(world, fork)

    lived(world, forked_life)
    held(world)
    goes_on_the_same(world, forks[0])


class Snapshotting(Process):
    """A process whose store holds a snapshot of any entry: whoever folds a run begins at one drawn from all."""

    async def snapshot(self, run_id: str, **given: Any) -> Any:
        world = self.world
        own = world.inner._runs[run_id].record
        at = given.get("at") or own.last
        if at <= own.fork_at:
            return None
        number = world.dice.randint(own.fork_at + 1, at)
        bodies = [body for _, body in await world.inner.read(run_id, limit=number)]
        return number, dump_snapshot(folded(self.graph(), run_id, bodies))


async def snapshotted_life(world: World, loop: VirtualLoop) -> None:
    graph = Snapshotting(world, loop).graph()
    run = await admitted(world, graph)
    await see_through(world, run)


@given(any_drawings(), SEEDS)
def test_a_run_whose_process_died_goes_on_from_a_snapshot_of_any_entry(drawing: Drawing, seed: int) -> None:
    """Promises 1 to 4, 9, 10 and 12: the same end, and the same audit, as without snapshots."""
    troubles = Troubles(deaths=6, faults=2, failing=0.1, asking=0.15, breakpoints=0.1)
    sees_it_through(drawing, seed, troubles, snapshotted_life)


# What the snapshots of drawn runs cannot show, each as small as can be.


class Notes(GraphState):
    log: History[Any]
    turns: Incremental[int] = 0
    weight: Incremental[float] = 1000.7
    large: LastValue[str] = ""


class Watched(MemoryRunStore):
    """Notes which snapshots are kept, and from where on logs are read; keeps none when told so."""

    def __init__(self, *, keeps: bool = True) -> None:
        super().__init__()
        self.keeps = keeps
        self.saved: list[int] = []
        self.read_after: list[int] = []

    async def save_snapshot(self, run_id: str, *, number: int, **given: Any) -> None:
        self.saved.append(number)
        if self.keeps:
            await super().save_snapshot(run_id, number=number, **given)

    async def read(self, run_id: str, *, after: int = 0, **given: Any) -> Any:
        self.read_after.append(after)
        return await super().read(run_id, after=after, **given)


async def fold_of(graph: Graph[Any], store: Any, run_id: str, until: int | None = None) -> Schedule:
    shape = Shape(Notes)
    fold = Schedule(graph.plan, shape, run_id, max_iterations=graph.max_node_iterations)
    for number, body in await store.read(run_id, limit=until):
        entry = read_entry(number, body)
        fold.apply(number, entry.at, decode(entry, shape))
    return fold


async def keep_snapshot(graph: Graph[Any], store: Any, run_id: str, at: int | None = None) -> None:
    """Give the store the snapshot that its newest owner might have kept."""
    fold, record = await fold_of(graph, store, run_id, at), await store.look(run_id)
    await store.save_snapshot(run_id, epoch=record.epoch, number=fold.number, body=dump_snapshot(fold))


def turning(store: Any, turns: int, *, large: int = 0, **given: Any) -> Graph[Any]:
    """Turn a wheel beside a branch that waits for a person."""
    graph = given.pop("kind", Graph)(Notes, store=store, **given)

    @graph.node
    async def turn(state: Notes) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"turns": 1, "weight": 0.1, "log": state.turns, "large": f"{state.turns}" * large}

    @graph.node
    async def ask(ctx: Context) -> dict[str, Any]:
        return {"log": await ctx.ask("go?")}

    @graph.node
    async def last(state: Notes) -> dict[str, Any]:
        return {"log": f"{state.turns} {state.weight!r}"}

    graph.add_edge(START, "turn").add_edge(START, "ask")
    graph.add_router_edge("turn", lambda state: "turn" if state.turns < turns else "last", ["turn", "last"])
    return graph.add_edge("ask", "last").add_edge("last", END).compile()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # readers die with their process
@pytest.mark.parametrize("keeps", [True, False])
def test_a_killed_run_with_a_large_field_goes_on_from_the_engine_s_own_snapshot(keeps: bool) -> None:
    """Promises 3 and 12: with what it kept, as without."""
    store, loop = Watched(keeps=keeps), VirtualLoop(1)

    async def until_killed() -> None:
        run = turning(store, 40, large=100_000, kind=on(loop)).start(run_id="r")
        async for event in run.events():
            if event.type == "step_finished" and int(event.id) >= 30:
                loop.kill()
                await asyncio.Event().wait()

    with pytest.raises(Killed):
        loop.live(until_killed())
    assert store.saved, "a field of this size makes the engine keep snapshots"
    store.read_after.clear()
    again = VirtualLoop(2, now=loop.now)

    async def to_the_end() -> list[Any]:
        run = turning(store, 40, large=100_000, kind=on(again)).open("r")
        assert await run.resume() is RunStatus.PAUSED
        await run.answer(run.pauses[0].id, "yes")
        return (await run).log

    weight = 1000.7
    for _ in range(40):
        weight += 0.1
    log = again.live(to_the_end())
    assert (log[:-2], log[-2:]) == ([*range(40)], ["yes", log[-1]])
    assert log[-1].startswith("40 ")
    assert float(log[-1].split()[1]) == pytest.approx(weight)
    assert (store.read_after[0] in store.saved) is keeps


def test_a_state_is_the_same_to_the_last_bit_behind_a_snapshot() -> None:
    """Promise 12: sums of many floats, which come out otherwise when they are added in another order."""

    async def main() -> None:
        store = MemoryRunStore()
        graph = turning(store, 100)
        run = graph.start(run_id="r")
        assert await run.wait() is RunStatus.PAUSED
        for at in (60, 90, None):
            whole = await fold_of(graph, store, "r", at)
            quick = Schedule(graph.plan, whole.shape, "r", max_iterations=100)
            assert load_snapshot(quick, dump_snapshot(whole))
            assert stands(quick) == stands(whole)

    asyncio.run(main())


def test_the_limit_of_iterations_is_that_of_the_log_behind_a_snapshot() -> None:
    """Promises 8 and 12: a graph that allows less today still reads what was done when it allowed more."""

    async def main() -> None:
        store = MemoryRunStore()
        graph = turning(store, 30)
        assert await graph.start(run_id="r").wait() is RunStatus.PAUSED
        await keep_snapshot(graph, store, "r", 15)
        run = turning(store, 30, max_node_iterations=20).open("r")
        assert run.state.turns == 30
        await run.answer(run.pauses[0].id, "yes")
        assert (await run).turns == 30

    asyncio.run(main())


def test_an_item_that_is_none_is_still_an_item_behind_a_snapshot() -> None:
    """Promise 12: not the item of the group around it."""

    def drawn(store: Any) -> Graph[Any]:
        graph, inner = Graph(Notes, store=store), Graph(Notes)

        @inner.node(interrupt="before")
        async def each(item: Any) -> dict[str, Any]:
            return {"log": item}

        inner.add_map_edge(START, "each", END, over=lambda state: [None, "inner"])
        graph.subgraph("sub")(lambda: inner)
        return graph.add_map_edge(START, "sub", END, over=lambda state: ["outer", None]).compile()

    async def main() -> None:
        store = MemoryRunStore()
        assert await drawn(store).start(run_id="r").wait() is RunStatus.PAUSED
        await keep_snapshot(drawn(store), store, "r")
        run = drawn(store).open("r")
        assert await run.resume() is RunStatus.DONE
        assert run.state.log == [None, "inner", None, "inner"]

    asyncio.run(main())


@pytest.mark.parametrize("waits", ["asks", "held"])
def test_no_branch_of_a_fork_is_lost_when_the_state_was_edited_before_it(waits: str) -> None:
    """Promise 6. Found: each branch got a version of its own with the edit in it, and the first forgot where it came
    from; their join lost a branch or counted the edit twice.
    """

    async def main() -> list[Any]:
        graph = Graph(Notes)

        async def a(ctx: Context) -> dict[str, Any]:
            if waits == "asks":
                await ctx.ask("go?")
            return {"log": "a"}

        graph.add_node(a, interrupt="after" if waits == "held" else None).add_edge(START, "a")
        for name in "bc":
            graph.add_node(lambda name=name: {"log": name}, name=name).add_edge("a", name).add_edge(name, END)
        run = graph.start()
        assert await run.wait() is RunStatus.PAUSED
        await run.edit({"log": "edited"})
        await run.answer(run.pauses[0].id, None)
        return (await run).log

    assert asyncio.run(main()) == ["a", "edited", "b", "c"]


def test_a_store_that_cannot_keep_a_snapshot_loses_no_run() -> None:
    """Promise 2: a snapshot is only a cache of the fold; what was committed goes on."""

    class Narrow(MemoryRunStore):
        refused = 0

        async def save_snapshot(self, run_id: str, **given: Any) -> None:
            self.refused += 1
            raise StoreFull("no room for a snapshot")

    async def main() -> None:
        store = Narrow()
        run = turning(store, 20, large=100_000).start()
        assert await run.wait() is RunStatus.PAUSED
        assert store.refused
        await run.answer(run.pauses[0].id, "yes")
        assert (await run).turns == 20

    asyncio.run(main())


@pytest.fixture(scope="module")
def kept() -> tuple[MemoryRunStore, bytes, dict[str, Any]]:
    """A run in the middle of much, its snapshot, and its state."""
    store = MemoryRunStore()

    async def main() -> tuple[bytes, dict[str, Any]]:
        graph = turning(store, 7)
        run = graph.start(run_id="r")
        assert await run.wait() is RunStatus.PAUSED
        await run.edit({"log": "edited"})
        body = dump_snapshot(await fold_of(graph, store, "r"))
        return body, run.state.model_dump()

    return store, *asyncio.run(main())


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_snapshot_is_left_aside(
    kept: tuple[MemoryRunStore, bytes, dict[str, Any]], data: st.DataObject
) -> None:
    """Promise 12: whatever a failing disk makes of it, the log tells what is true."""
    store, whole, state = kept
    at, length = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 8))
    damage = {
        "flipped": whole[:at] + bytes([whole[at] ^ 1 << data.draw(st.integers(0, 7))]) + whole[at + 1 :],
        "lost": whole[:at] + whole[at + length :],
        "short": whole[:at],
        "digits": whole[:at] + whole[at:].replace(b"1", b"2", 1),
        "words": whole[:at] + whole[at:].replace(b"edited", b"edible", 1),
        "number": whole[:at] + whole[at:].replace(b"7", b"99999999999", 1),
    }
    damaged = damage[data.draw(st.sampled_from(sorted(damage)))]

    async def main() -> None:
        record = await store.look("r")
        await store.save_snapshot("r", epoch=record.epoch, number=record.last, body=damaged)
        run = turning(store, 7).open("r")
        assert run.state.model_dump() == state
        assert [pause.payload for pause in run.pauses] == ["go?"]

    asyncio.run(main())
