"""How a session stands is told alike by every store: by those that tell it in one go, and by those asked one by one."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from ropewalk.contracts import TellsOfSessions
from ropewalk.runtime import open_store
from ropewalk.server.standing import session_stands
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.testing.store_checks import admit, write


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/runs.db"


@asynccontextmanager
async def opened(url):
    store = MemoryRunStore() if url == "memory:" else open_store(url)
    try:
        yield store
    finally:
        await store.close()


async def told(store, session="s", owner="ann", most=100):
    stands = await session_stands(store, owner=owner, session=session, most=most)
    newest = stands.newest and stands.newest.run_id
    return newest, stands.last_turn, [one.run_id for one in stands.running], stands.running_of_owner


def test_a_session_that_nobody_has_begun_is_empty(url):
    async def scenario():
        async with opened(url) as store:
            assert await told(store) == (None, 0, [], 0)  # there are no tables yet
            await admit(store, "elsewhere", owner="ann", session="t", turn=1)
            await admit(store, "of none", owner="ann")
            await admit(store, "hers", owner="eve", session="s", turn=3)
            await admit(store, "nobody's", session="s", turn=4)
            assert await told(store) == (None, 0, [], 2)

    asyncio.run(scenario())


def test_the_newest_the_last_turn_and_what_is_running_are_told_of_one_owner(url):
    async def scenario():
        async with opened(url) as store:
            for at, (run_id, turn) in enumerate([("a", 1), ("b", 2), ("c", 3), ("without", None)], 1):
                await admit(store, run_id, owner="ann", session="s", turn=turn, at=float(at))
            await admit(store, "hers", owner="eve", session="s", turn=9, at=9.0)
            await admit(store, "elsewhere", owner="ann", session="t", turn=1, at=9.0)
            assert await told(store) == ("without", 3, ["without", "c", "b", "a"], 5)
            for run_id, status in (("a", "DONE"), ("c", "CANCELLED"), ("without", "PAUSED")):
                await write(store, run_id, b"2", after=1, status=status)
            assert await told(store) == ("without", 3, ["b"], 2)
            newest = (await session_stands(store, owner="ann", session="s", most=9)).newest
            assert newest == await store.look("without")

    asyncio.run(scenario())


def test_the_runs_of_the_owner_are_counted_no_further_than_is_asked(url):
    async def scenario():
        async with opened(url) as store:
            for turn in range(1, 6):
                await admit(store, f"r{turn}", owner="ann", session="s", turn=turn, at=float(turn))
            told_of = [(await told(store, most=most))[3] for most in (0, 3, 5, 8)]
            assert told_of == [0, 3, 5, 5]
            assert (await told(store, most=2))[2] == ["r5", "r4", "r3", "r2", "r1"]

    asyncio.run(scenario())


def test_postgresql_tells_it_in_one_go(postgres_url):
    async def scenario():
        async with opened(postgres_url) as store:
            assert isinstance(store, TellsOfSessions)

    asyncio.run(scenario())
