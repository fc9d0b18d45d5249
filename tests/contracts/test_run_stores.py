"""Every run store keeps every promise of the contract."""

import asyncio

import pytest

from ropewalk.contracts import RunStore
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.queued_here import QueuedHere
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing import FaultyRunStore, RunStoreSuite, scripted_faults
from ropewalk.testing.store_checks import admit


class TestMemoryRunStore(RunStoreSuite):
    async def open_store(self) -> RunStore:
        return MemoryRunStore()


class TestSqliteRunStore(RunStoreSuite):
    durability = "full"

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.path = tmp_path / "not yet" / "runs.db"

    async def open_store(self) -> RunStore:
        return SqliteRunStore(self.path, durability=self.durability)

    async def open_again(self, store: RunStore) -> RunStore:
        return SqliteRunStore(self.path, durability=self.durability)


class TestSqliteRunStoreNormal(TestSqliteRunStore):
    durability = "normal"


class TestFaultyRunStoreWithoutFaults(RunStoreSuite):
    async def open_store(self) -> RunStore:
        return FaultyRunStore(MemoryRunStore(), scripted_faults([]))


class TestQueuedHereOverMemory(RunStoreSuite):
    async def open_store(self) -> RunStore:
        return QueuedHere(MemoryRunStore())


class TestQueuedHereOverSqlite(TestSqliteRunStore):
    durability = "normal"

    async def open_store(self) -> RunStore:
        return QueuedHere(await super().open_store())

    async def open_again(self, store: RunStore) -> RunStore:
        return QueuedHere(await super().open_again(store))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_our_stores_keep_the_newest_two_snapshots_of_a_run(tmp_path, kind):
    async def scenario():
        store = MemoryRunStore() if kind == "memory" else SqliteRunStore(tmp_path / "runs.db")
        await admit(store, "r", [b"x"] * 9)
        await admit(store, "s", [b"x"] * 9)
        await store.save_snapshot("s", epoch=1, number=1, body=b"another run's")
        for number in (2, 4, 6, 8, 1):
            await store.save_snapshot("r", epoch=1, number=number, body=b"%d" % number)
        assert await store.snapshot("r") == (8, b"8")
        assert await store.snapshot("r", at=7) == (6, b"6")
        assert await store.snapshot("r", at=5) is None
        assert await store.snapshot("s") == (1, b"another run's")
        await store.close()

    asyncio.run(scenario())
