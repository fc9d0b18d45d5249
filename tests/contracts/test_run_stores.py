"""Every run store keeps every promise of the contract."""

import pytest

from ropewalk.contracts import RunStore
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing import FaultyRunStore, RunStoreSuite, scripted_faults


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
