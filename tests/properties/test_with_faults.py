"""Whatever fails, asks, pauses or dies, a run ends as the reference says, and breaks no promise on the way."""

import asyncio
import random
from typing import Any

from hypothesis import given, note, reject
from hypothesis import strategies as st
from tests.properties.drawings import Drawing
from tests.properties.graphs import any_drawings
from tests.properties.reference import Reference, TooLarge
from tests.properties.user import admitted, audit, audit_stream, follow, lived, see_through
from tests.properties.virtual import VirtualLoop
from tests.properties.world import Process, Troubles, World

from ropewalk.errors import RunCancelled, RunFinished, StoreUnavailable

SEEDS = st.integers(0, 2**32)


def world_of(drawing: Drawing, seed: int, troubles: Troubles, **settings: Any) -> World:
    try:
        expected = Reference(drawing, most=60)
    except TooLarge:
        reject()
    settings["max_concurrency"] = random.Random(seed).choice((None, None, 1, 2))
    return World(drawing, seed, troubles, expected, settings)


def held(world: World) -> None:
    if world.wrongs:
        for entry in world.entries():
            note(f"{entry.number:4} {entry.at:9.2f} {entry.type} {entry.node} {entry.data}")
    assert not world.wrongs, "\n".join(world.wrongs[:5])


async def one_life(world: World, loop: VirtualLoop) -> None:
    graph = Process(world, loop).graph()
    await see_through(world, await admitted(world, graph))


def sees_it_through(drawing: Drawing, seed: int, troubles: Troubles, life: Any = one_life, **settings: Any) -> World:
    world = world_of(drawing, seed, troubles, **settings)
    lived(world, life)
    if not world.wrongs:
        audit(world)
    held(world)
    return world


@given(any_drawings(), SEEDS)
def test_nodes_that_fail_are_retried_and_a_failed_run_goes_on(drawing: Drawing, seed: int) -> None:
    """Promise 10."""
    sees_it_through(drawing, seed, Troubles(failing=0.3, timeouts=0.1))


@given(any_drawings(), SEEDS)
def test_every_pause_is_seen_at_once_and_answered_once(drawing: Drawing, seed: int) -> None:
    """Promise 9."""
    sees_it_through(drawing, seed, Troubles(asking=0.3, breakpoints=random.Random(seed).choice((0.0, 0.2))))


@given(any_drawings(), SEEDS)
def test_a_run_goes_on_after_its_process_died(drawing: Drawing, seed: int) -> None:
    """Promises 1 to 4."""
    sees_it_through(drawing, seed, Troubles(deaths=4))


@given(any_drawings(), SEEDS)
def test_a_run_survives_a_store_that_fails(drawing: Drawing, seed: int) -> None:
    """Promise 2."""
    sees_it_through(drawing, seed, Troubles(faults=4))


ALL = Troubles(deaths=3, faults=3, failing=0.15, asking=0.15, breakpoints=0.1, timeouts=0.05)


@given(any_drawings(), SEEDS)
def test_a_run_survives_all_of_it_at_once(drawing: Drawing, seed: int) -> None:
    """Promises 1 to 12."""
    sees_it_through(drawing, seed, ALL)


async def two_lives(world: World, loop: VirtualLoop) -> None:
    dice = random.Random(world.seed)
    first, second = Process(world, loop, "first").graph(), Process(world, loop, "second").graph()
    run = await admitted(world, first)

    async def takes_over() -> bool:
        await asyncio.sleep(dice.random() * 40)
        return await see_through(world, second.open("r"), rival=True)

    through = await asyncio.gather(see_through(world, run, rival=True), takes_over())
    owners = world.inner._runs["r"].record.epoch
    if not through[1] and owners < 3:
        world.wrong("promise 5: who took the run lost it, and nobody else wanted it")


@given(any_drawings(), SEEDS)
def test_of_two_owners_only_one_can_append(drawing: Drawing, seed: int) -> None:
    """Promise 5."""
    sees_it_through(drawing, seed, Troubles(failing=0.1, asking=0.1, breakpoints=0.05), two_lives)


async def cancelled_life(world: World, loop: VirtualLoop) -> None:
    dice = random.Random(world.seed)
    graph = Process(world, loop).graph()
    run = await admitted(world, graph)
    through = asyncio.create_task(see_through(world, run))
    await asyncio.sleep(dice.random() * 40)
    try:
        await run.cancel("enough")
    except RunFinished:
        await through
        return
    log = len(world.entries())
    if world.running:
        world.wrong(f"promise 11: cancelled, and {world.running} still run")
    if [entry.type for entry in world.entries()].count("run_done"):
        world.wrong("promise 11: a run that was done is cancelled")
    await through
    await asyncio.sleep(100_000)
    if world.running or len(world.entries()) != log or world.entries()[-1].type != "run_cancelled":
        world.wrong(f"promise 11: after cancel() had returned came {world.entries()[log - 1 :]}")
    for forbidden in (run.resume(), run.edit({"edits": 1}), run.cancel()):
        try:
            await forbidden
            world.wrong("promise 11: a cancelled run takes orders")
        except RunFinished:
            pass
    try:
        await run
        world.wrong("promise 11: a cancelled run gives a state")
    except RunCancelled:
        pass


@given(any_drawings(), SEEDS)
def test_cancel_ends_everything(drawing: Drawing, seed: int) -> None:
    """Promise 11."""
    world = world_of(drawing, seed, Troubles(failing=0.1, asking=0.2, breakpoints=0.05, timeouts=0.1))
    lived(world, cancelled_life)
    held(world)


@given(any_drawings(), SEEDS)
def test_a_timeout_ends_everything_and_counts_no_pause(drawing: Drawing, seed: int) -> None:
    """Promise 11."""
    limit = 60.0
    world = sees_it_through(drawing, seed, Troubles(asking=0.2, breakpoints=0.1), execution_timeout=limit)
    active, last, going = 0.0, 0.0, True
    for entry in world.entries():
        if entry.type == "reset" and entry.data["explicit"]:
            active = 0.0
        elif entry.type != "answered" or going:
            active += entry.at - last
        if entry.data.get("code") == "run_timeout" and not limit - 1 <= active <= limit + 20:
            world.wrong(f"promise 11: timed out after {active} s under way, the limit is {limit}")
        going = not entry.type.startswith("run_") or entry.type == "run_started"
        last = entry.at
    held(world)


async def edited_life(world: World, loop: VirtualLoop) -> None:
    dice = random.Random(world.seed)
    graph = Process(world, loop).graph()
    run = await admitted(world, graph)
    through = asyncio.create_task(see_through(world, run))
    for _ in range(dice.randint(1, 4)):
        await asyncio.sleep(dice.random() * 30)
        try:
            await run.edit({"edits": 1})
        except (RunFinished, StoreUnavailable):
            break
    await through


@given(any_drawings(), SEEDS)
def test_edits_are_seen_by_what_starts_later(drawing: Drawing, seed: int) -> None:
    troubles = Troubles(deaths=1, faults=1, failing=0.1, asking=0.1, breakpoints=0.1)
    sees_it_through(drawing, seed, troubles, edited_life)


@given(any_drawings(), SEEDS, st.data())
def test_a_fork_of_any_entry_ends_as_its_parent_does(drawing: Drawing, seed: int, data: st.DataObject) -> None:
    world = sees_it_through(drawing, seed, Troubles(failing=0.1, asking=0.15, breakpoints=0.1))
    at = data.draw(st.integers(1, len(world.entries())))
    log = list(world.inner._runs["r"].entries)
    forks: list[str] = []

    async def forked_life(world: World, loop: VirtualLoop) -> None:
        graph = Process(world, loop).graph()
        fork = await graph.open("r").fork(at=at)
        forks.append(fork.run_id)
        await see_through(world, fork)

    lived(world, forked_life)
    if not world.wrongs:
        audit(world, forks[0])
    if world.inner._runs["r"].entries != log:
        world.wrong("a fork changed its parent's log")
    held(world)


@given(any_drawings(), SEEDS)
def test_a_reader_who_comes_and_goes_misses_nothing(drawing: Drawing, seed: int) -> None:
    """Promise 13."""
    seen: list[str] = []

    async def followed_life(world: World, loop: VirtualLoop) -> None:
        graph = Process(world, loop).graph()
        run = await admitted(world, graph)
        await asyncio.gather(follow(world, run, seen), see_through(world, run))

    world = sees_it_through(drawing, seed, Troubles(faults=2, failing=0.1, asking=0.1, breakpoints=0.1), followed_life)
    audit_stream(world, seen)
    held(world)
