"""Checks of a run store: many may believe they own a run, one can write to it."""

import asyncio

from ropewalk.contracts import RunStore
from ropewalk.errors import RunNotFound, RunTaken
from ropewalk.testing.store_checks import OpensStore, admit, log, refused, with_store, write


class OwnerChecks(OpensStore):
    """Fenced."""

    @with_store
    async def test_a_claim_raises_the_epoch_and_returns_the_record(self, store: RunStore) -> None:
        await admit(store, "r", [b"a", b"b"])
        record = await store.claim("r")
        assert (record.epoch, record.last) == (2, 2)
        assert record == await store.look("r")
        assert (await store.claim("r")).epoch == 3
        assert await log(store, "r") == [b"a", b"b"]

    @with_store
    async def test_the_old_owner_is_refused_and_the_new_one_goes_on(self, store: RunStore) -> None:
        await admit(store, "r")
        other = await self.open_again(store)
        claimed = await other.claim("r")
        before = await store.look("r")
        with refused(RunTaken):
            await write(store, "r", b"too late", after=1, status="DONE")
        assert await store.look("r") == before
        await write(other, "r", b"mine", after=1, epoch=claimed.epoch)
        with refused(RunTaken):
            await write(store, "r", b"too late", after=2)
        assert await log(store, "r") == [b"started", b"mine"]
        await other.close()

    @with_store
    async def test_an_epoch_that_nobody_was_given_is_refused(self, store: RunStore) -> None:
        await admit(store, "r")
        for epoch in (0, 2, 99):
            with refused(RunTaken):
                await write(store, "r", b"x", after=1, epoch=epoch)
        assert await log(store, "r") == [b"started"]

    @with_store
    async def test_of_many_appends_behind_the_same_entry_one_wins(self, store: RunStore) -> None:
        await admit(store, "r")
        other = await self.open_again(store)
        tries = [write((store, other)[i % 2], "r", b"%d" % i, after=1) for i in range(20)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert results.count(None) == 1
        assert sum(isinstance(result, RunTaken) for result in results) == 19
        assert await log(store, "r") == [b"started", b"%d" % results.index(None)]
        await other.close()

    @with_store
    async def test_claims_at_the_same_time_get_different_epochs(self, store: RunStore) -> None:
        await admit(store, "r")
        other = await self.open_again(store)
        claims = await asyncio.gather(*[(store, other)[i % 2].claim("r") for i in range(20)])
        assert sorted(claim.epoch for claim in claims) == [*range(2, 22)]
        for claim in claims:
            if claim.epoch < 21:
                with refused(RunTaken):
                    await write(store, "r", b"x", after=1, epoch=claim.epoch)
        await write(store, "r", b"x", after=1, epoch=21)
        await other.close()

    @with_store
    async def test_owners_who_take_a_run_from_each_other_leave_one_dense_log(self, store: RunStore) -> None:
        await admit(store, "r", [])
        other = await self.open_again(store)
        acknowledged: list[bytes] = []

        async def drive(mine: RunStore, name: bytes) -> None:
            for turn in range(8):
                owned = await mine.claim("r")
                for i in range(4):
                    body = b"%s.%d.%d" % (name, turn, i)
                    try:
                        await write(mine, "r", body, after=owned.last + i, epoch=owned.epoch)
                    except RunTaken:
                        break
                    acknowledged.append(body)
                    await asyncio.sleep(0)

        await asyncio.gather(drive(store, b"a"), drive(other, b"b"), drive(store, b"c"))
        assert sorted(await log(store, "r")) == sorted(acknowledged)
        await other.close()

    @with_store
    async def test_a_deleted_run_is_not_found_by_its_owner(self, store: RunStore) -> None:
        await admit(store, "r")
        other = await self.open_again(store)
        await other.delete("r")
        with refused(RunNotFound):
            await write(store, "r", b"x", after=1)
        with refused(RunNotFound):
            await store.look("r")
        with refused(RunNotFound):
            await store.delete("r")
        await other.close()

    @with_store
    async def test_an_id_of_a_deleted_run_may_be_used_again(self, store: RunStore) -> None:
        other = await self.open_again(store)
        await admit(store, "r", [b"old"] * 5)
        await write(store, "r", b"old", after=5)
        await store.save_snapshot("r", epoch=1, number=5, body=b"old")
        await other.delete("r")
        await admit(other, "another", [b"another"])
        await admit(other, "r", [b"new"])
        with refused(RunTaken):
            await write(store, "r", b"x", after=6)
        await write(store, "r", b"newer", after=1)
        assert await log(store, "r") == [b"new", b"newer"]
        assert await log(store, "another") == [b"another"]
        assert await store.snapshot("r") is None
        await other.close()
