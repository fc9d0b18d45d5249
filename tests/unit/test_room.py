"""How many runs may be under way: exact, whoever comes when, and nobody waits where there is room."""

import asyncio

import pytest

from ropewalk.errors import LimitReached
from ropewalk.server.room import Room, RunLimits, Seen
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.testing.store_checks import new_run


class SlowStore(MemoryRunStore):
    """A memory store whose calls take turns of the loop, as those of a store with a thread do."""

    turns = 0

    async def runs(self, **asked):
        found = await super().runs(**asked)
        await self.others_first()
        return found

    async def create(self, run, bodies):
        await self.others_first()
        return await super().create(run, bodies)

    async def others_first(self):
        self.turns = (self.turns * 7 + 3) % 11
        for _ in range(self.turns):
            await asyncio.sleep(0)


async def come(room, store, limits, n):
    async with room.for_one_of("Ann", limits):
        await store.create(new_run(f"run{n}", owner="Ann"), [b"x"])


@pytest.mark.parametrize("there", [0, 3, 10])
@pytest.mark.parametrize("coming", [1, 8, 40])
def test_exactly_as_many_get_in_as_there_is_room_for(there, coming):
    async def scenario():
        store, limits = SlowStore(), RunLimits(runs_per_user=10)
        room = Room(store, lambda: 0)
        for n in range(there):
            await store.create(new_run(f"there{n}", owner="Ann"), [b"x"])
        told = await asyncio.gather(*[come(room, store, limits, n) for n in range(coming)], return_exceptions=True)
        assert [one for one in told if one is not None and not isinstance(one, LimitReached)] == []
        got_in = sum(one is None for one in told)
        assert got_in == min(coming, 10 - there)
        assert len(await store.runs(owner="Ann")) == there + got_in

    asyncio.run(scenario())


def test_nobody_waits_for_another_where_there_is_room_for_both():
    async def scenario():
        store, limits = SlowStore(), RunLimits(runs_per_user=10)
        room, inside = Room(store, lambda: 0), asyncio.Barrier(5)

        async def meet():
            async with room.for_one_of("Ann", limits):
                await inside.wait()

        async with asyncio.timeout(5):
            await asyncio.gather(*[meet() for _ in range(5)])

    asyncio.run(scenario())


def test_one_who_fails_or_leaves_takes_no_room():
    async def scenario():
        store, limits = SlowStore(), RunLimits(runs_per_user=1)
        room = Room(store, lambda: 0)

        async def fail():
            async with room.for_one_of("Ann", limits):
                raise KeyError("anything")

        async def leave():
            async with room.for_one_of("Ann", limits):
                await asyncio.Event().wait()

        with pytest.raises(KeyError):
            await fail()
        leaving = asyncio.create_task(leave())
        for _ in range(20):
            await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
        await come(room, store, limits, 1)
        with pytest.raises(LimitReached):
            await come(room, store, limits, 2)

    asyncio.run(scenario())


def test_a_process_drives_no_more_runs_than_it_may():
    driven = 9
    room = Room(MemoryRunStore(), lambda: driven)
    room.check(RunLimits(runs=10))
    driven = 10
    with pytest.raises(LimitReached):
        room.check(RunLimits(runs=10))


@pytest.mark.parametrize("there", [0, 3, 10])
@pytest.mark.parametrize("coming", [1, 8, 40])
def test_exactly_as_many_get_in_when_they_have_seen_the_store_before_they_come(there, coming):
    async def look_and_come(room, store, limits, n):
        mark = room.mark("Ann")
        running = len(await store.runs(owner="Ann", statuses=("RUNNING",), limit=10))
        await store.others_first()  # what it has seen grows old
        async with room.for_one_of("Ann", limits, Seen(mark=mark, running=running)):
            await store.create(new_run(f"run{n}", owner="Ann"), [b"x"])

    async def scenario():
        store, limits = SlowStore(), RunLimits(runs_per_user=10)
        room = Room(store, lambda: 0)
        for n in range(there):
            await store.create(new_run(f"there{n}", owner="Ann"), [b"x"])
        asked = [(look_and_come if n % 3 else come)(room, store, limits, n) for n in range(coming)]
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert [one for one in told if one is not None and not isinstance(one, LimitReached)] == []
        assert sum(one is None for one in told) == min(coming, 10 - there)

    asyncio.run(scenario())


@pytest.mark.parametrize("one_by_one", [False, True])
def test_who_went_in_since_the_store_was_seen_is_counted(one_by_one):
    async def scenario():
        store, limits = MemoryRunStore(), RunLimits(runs_per_user=1)
        room = Room(store, lambda: 0)
        full = Seen(mark=room.mark("Ann"), running=1)
        async with room.for_one_of("Ann", limits, full if one_by_one else None):
            seen = Seen(mark=room.mark("Ann"), running=0)
            await store.create(new_run("first", owner="Ann"), [b"x"])
        with pytest.raises(LimitReached):
            async with room.for_one_of("Ann", limits, seen):
                pytest.fail("there was no room")

    asyncio.run(scenario())
