"""The store that fails on purpose fails where it was told to, and the same way each time."""

import asyncio

import pytest

from ropewalk.errors import RunTaken, StoreUnavailable
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.testing import Fault, FaultyRunStore, scripted_faults, seeded_faults
from ropewalk.testing.store_checks import admit, log, write


def test_a_script_says_which_write_fails_and_on_which_side_of_the_commit():
    async def scenario():
        script = [Fault.NONE, Fault.BEFORE, Fault.AFTER, Fault.LATE]
        store = FaultyRunStore(MemoryRunStore(), scripted_faults(script, then=Fault.BEFORE))
        await admit(store, "r")
        with pytest.raises(StoreUnavailable, match="before anything was written"):
            await write(store, "r", b"lost", after=1)
        with pytest.raises(StoreUnavailable, match="after everything was written"):
            await write(store, "r", b"written", after=1)
        with pytest.raises(RunTaken):
            await write(store, "r", b"again", after=1)
        with pytest.raises(StoreUnavailable):
            await store.claim("r")
        assert await log(store, "r") == [b"started", b"written"]
        assert [fault for _, fault in store.met] == [*script, Fault.BEFORE]
        assert [call for call, _ in store.met] == ["create", "append", "append", "append", "claim"]

    asyncio.run(scenario())


def test_a_late_write_lets_others_go_first():
    async def scenario():
        store = FaultyRunStore(MemoryRunStore(), scripted_faults([Fault.NONE, Fault.LATE]))
        await admit(store, "r")
        late = asyncio.ensure_future(write(store, "r", b"late", after=1))
        await asyncio.sleep(0)
        await write(store, "r", b"first", after=1)
        with pytest.raises(RunTaken):
            await late
        assert await log(store, "r") == [b"started", b"first"]

    asyncio.run(scenario())


def test_the_same_seed_meets_the_same_faults():
    def met(seed):
        decide = seeded_faults(seed, before=0.2, after=0.2, late=0.2)
        return [decide("append") for _ in range(200)]

    assert met(1) == met(1) != met(2)
    assert set(met(1)) == set(Fault)
    assert set(map(seeded_faults(3), ["append"] * 50)) == {Fault.NONE}
