"""Checks of a run store: snapshots may be forgotten, and never tell of another owner's or run's fold."""

from ropewalk.contracts import RunStore
from ropewalk.errors import RunNotFound
from ropewalk.testing.store_checks import OpensStore, admit, refused, with_store, write


class SnapshotChecks(OpensStore):
    """save_snapshot and snapshot."""

    @with_store
    async def test_the_newest_snapshot_is_kept(self, store: RunStore) -> None:
        await admit(store, "r", [b"x"] * 10)
        assert await store.snapshot("r") is None
        for number in (1, 3, 7):
            await store.save_snapshot("r", epoch=1, number=number, body=b"fold of %d" % number)
            assert await store.snapshot("r") == (number, b"fold of %d" % number)

    @with_store
    async def test_a_snapshot_is_looked_for_at_or_before_an_entry(self, store: RunStore) -> None:
        await admit(store, "r", [b"x"] * 10)
        for number in (2, 5, 8):
            await store.save_snapshot("r", epoch=1, number=number, body=b"%d" % number)
        assert await store.snapshot("r", at=8) == (8, b"8")
        assert await store.snapshot("r", at=99) == (8, b"8")
        assert await store.snapshot("r", at=7) in ((5, b"5"), (2, b"2"), None)
        assert await store.snapshot("r", at=4) in ((2, b"2"), None)
        assert await store.snapshot("r", at=1) is None

    @with_store
    async def test_an_older_snapshot_does_not_hide_a_newer(self, store: RunStore) -> None:
        await admit(store, "r", [b"x"] * 10)
        for number in (6, 2, 4, 1):
            await store.save_snapshot("r", epoch=1, number=number, body=b"%d" % number)
        assert await store.snapshot("r") == (6, b"6")

    @with_store
    async def test_a_snapshot_of_a_former_owner_is_ignored(self, store: RunStore) -> None:
        await admit(store, "r", [b"x"] * 5)
        await store.save_snapshot("r", epoch=1, number=3, body=b"first owner's")
        await store.claim("r")
        await store.save_snapshot("r", epoch=1, number=5, body=b"too late")
        assert await store.snapshot("r") == (3, b"first owner's")
        await store.save_snapshot("r", epoch=2, number=5, body=b"second owner's")
        assert await store.snapshot("r") == (5, b"second owner's")

    @with_store
    async def test_a_snapshot_of_entries_that_are_not_there_is_ignored(self, store: RunStore) -> None:
        await admit(store, "r", [b"x"] * 5)
        await store.save_snapshot("r", epoch=1, number=6, body=b"of an append that failed")
        await write(store, "r", b"another sixth", after=5)
        assert await store.snapshot("r") is None

    @with_store
    async def test_a_fork_has_no_snapshot_of_its_parent(self, store: RunStore) -> None:
        await admit(store, "p", [b"x"] * 5)
        await store.save_snapshot("p", epoch=1, number=3, body=b"parent's")
        await admit(store, "f", [], parent="p", fork_at=4)
        await store.copy("p", "copy")
        assert await store.snapshot("f") is None
        await store.delete("p")
        assert await store.snapshot("f") is None
        await store.save_snapshot("f", epoch=1, number=4, body=b"fork's")
        assert await store.snapshot("f") == (4, b"fork's")

    @with_store
    async def test_the_same_snapshot_may_be_saved_again(self, store: RunStore) -> None:
        await admit(store, "r", [b"x"])
        await store.save_snapshot("r", epoch=1, number=1, body=b"once")
        await store.save_snapshot("r", epoch=1, number=1, body=b"twice")
        assert await store.snapshot("r") == (1, b"twice")

    @with_store
    async def test_an_unknown_run_has_no_snapshots(self, store: RunStore) -> None:
        with refused(RunNotFound):
            await store.snapshot("nobody")
        with refused(RunNotFound):
            await store.save_snapshot("nobody", epoch=1, number=1, body=b"")
