"""Checks of a run store: what was written is there, whole, numbered without gaps, and nothing else."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from ropewalk.contracts import RunRecord, RunStore
from ropewalk.errors import RunExists, RunNotFound, RunTaken
from ropewalk.testing.store_checks import OpensStore, admit, log, new_run, refused, with_store, write

EVERY_BYTE = bytes(range(256))


class LogChecks(OpensStore):
    """Durable on return, dense, bytes only."""

    @with_store
    async def test_a_new_run_has_its_first_entries_and_epoch_one(self, store: RunStore) -> None:
        assert await store.create(new_run(), [b"started", b"input"]) == 1
        assert await store.read("r") == [(1, b"started"), (2, b"input")]
        assert await store.look("r") == RunRecord(
            run_id="r", graph="g", plan="p1", status="RUNNING", epoch=1, last=2, created=100.0, updated=100.0
        )

    @with_store
    async def test_a_run_may_begin_with_no_entry(self, store: RunStore) -> None:
        await admit(store, "r", [])
        assert (await store.look("r")).last == 0
        await write(store, "r", b"first", after=0)
        assert await store.read("r") == [(1, b"first")]

    @with_store
    async def test_a_run_is_admitted_once(self, store: RunStore) -> None:
        await admit(store, "r", [b"first"])
        with refused(RunExists):
            await store.create(new_run(graph="other"), [b"second"])
        assert await log(store, "r") == [b"first"]
        assert (await store.look("r")).graph == "g"

    @with_store
    async def test_of_many_who_admit_the_same_run_one_wins(self, store: RunStore) -> None:
        tries = [store.create(new_run(), [b"%d" % i]) for i in range(10)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert results.count(1) == 1
        assert sum(isinstance(result, RunExists) for result in results) == 9
        assert await log(store, "r") == [b"%d" % results.index(1)]

    @with_store
    async def test_appends_count_on(self, store: RunStore) -> None:
        await admit(store, "r")
        await write(store, "r", b"a", b"b", after=1, at=101.0)
        await write(store, "r", b"c", after=3, status="DONE", at=102.5)
        assert await log(store, "r") == [b"started", b"a", b"b", b"c"]
        record = await store.look("r")
        assert (record.last, record.status, record.created, record.updated) == (4, "DONE", 100.0, 102.5)

    @with_store
    async def test_an_append_without_entries_changes_the_status(self, store: RunStore) -> None:
        await admit(store, "r")
        await write(store, "r", after=1, status="PAUSED", at=105.0)
        record = await store.look("r")
        assert (record.last, record.status, record.updated) == (1, "PAUSED", 105.0)
        await write(store, "r", b"next", after=1)
        assert await log(store, "r") == [b"started", b"next"]

    @with_store
    async def test_an_append_that_does_not_follow_the_newest_entry_is_refused(self, store: RunStore) -> None:
        await admit(store, "r", [b"a", b"b"])
        before = await store.look("r")
        for after in (0, 1, 3, 99):
            with refused(RunTaken):
                await write(store, "r", b"lost", after=after, status="DONE", at=200.0)
        assert await store.look("r") == before
        assert await log(store, "r") == [b"a", b"b"]

    @with_store
    async def test_a_run_that_was_never_admitted_is_not_found(self, store: RunStore) -> None:
        with refused(RunNotFound):
            await store.look("nobody")
        with refused(RunNotFound):
            await store.read("nobody")
        with refused(RunNotFound):
            await store.claim("nobody")
        with refused(RunNotFound):
            await write(store, "nobody", b"x", after=0)
        with refused(RunNotFound):
            await store.delete("nobody")

    @with_store
    async def test_a_body_is_any_bytes(self, store: RunStore) -> None:
        bodies = [b"", b"\x00", EVERY_BYTE, "snö".encode(), EVERY_BYTE * 4096]
        await admit(store, "r", bodies[:2])
        await write(store, "r", *bodies[2:], after=2)
        assert await log(store, "r") == bodies

    @with_store
    async def test_names_come_back_as_they_were_told(self, store: RunStore) -> None:
        run_id = "A.z_0:9@-" + "x" * 191
        await admit(store, run_id, graph="Grüße 'quoted\" %s ; --", plan="f" * 64, status="WAITING FOR ÅSA")
        record = await store.look(run_id)
        assert (record.run_id, record.graph, record.plan) == (run_id, "Grüße 'quoted\" %s ; --", "f" * 64)
        assert record.status == "WAITING FOR ÅSA"

    @with_store
    async def test_a_log_is_read_in_parts(self, store: RunStore) -> None:
        await admit(store, "r", [b"%d" % i for i in range(1, 11)])
        assert await store.read("r", after=8) == [(9, b"9"), (10, b"10")]
        assert await store.read("r", after=3, limit=2) == [(4, b"4"), (5, b"5")]
        assert await store.read("r", limit=1) == [(1, b"1")]
        assert await store.read("r", limit=0) == []
        assert await store.read("r", after=10) == []
        assert await store.read("r", after=99, limit=5) == []
        assert len(await store.read("r", limit=99)) == 10

    @with_store
    async def test_what_was_acknowledged_is_there_for_whoever_opens_the_medium(self, store: RunStore) -> None:
        await admit(store, "r", [b"a"])
        other = await self.open_again(store)
        assert await log(other, "r") == [b"a"]
        for i in range(20):
            await write(store, "r", b"%d" % i, after=i + 1)
            assert (await other.read("r", after=i + 1)) == [(i + 2, b"%d" % i)]
        await other.close()

    @with_store
    async def test_readers_see_the_entries_of_a_call_together_or_not_at_all(self, store: RunStore) -> None:
        await admit(store, "r", [])
        other = await self.open_again(store)
        done = asyncio.Event()

        async def write_in_threes() -> None:
            for i in range(60):
                await write(store, "r", b"a", b"b", b"c", after=3 * i)
            done.set()

        async def look_on() -> None:
            while not done.is_set():
                assert len(await log(other, "r")) % 3 == 0
                assert (await other.look("r")).last % 3 == 0
                await asyncio.sleep(0)  # a store in memory never waits by itself

        await asyncio.gather(write_in_threes(), look_on(), look_on())
        assert await log(other, "r") == [b"a", b"b", b"c"] * 60
        await other.close()

    @with_store
    async def test_a_hundred_runs_are_written_at_once(self, store: RunStore) -> None:
        async def one(run_id: str) -> None:
            await admit(store, run_id, [])
            for i in range(10):
                await write(store, run_id, b"%s %d" % (run_id.encode(), i), after=i)

        await asyncio.gather(*[one(f"run{i}") for i in range(100)])
        for i in range(100):
            assert await log(store, f"run{i}") == [b"run%d %d" % (i, n) for n in range(10)]

    @with_store
    async def test_a_refused_call_harms_nobody_else(self, store: RunStore) -> None:
        await asyncio.gather(*[admit(store, f"run{i}") for i in range(50)])
        calls: list[Coroutine[Any, Any, object]] = []
        for i in range(50):
            wrong = i % 3
            calls.append(write(store, "nobody" if wrong == 2 else f"run{i}", b"x", after=1 if wrong != 1 else 7))
        results = await asyncio.gather(*calls, return_exceptions=True)
        expected = [type(None), RunTaken, RunNotFound]
        assert [type(result) for result in results] == [expected[i % 3] for i in range(50)]
        for i in range(50):
            assert await log(store, f"run{i}") == ([b"started", b"x"] if i % 3 == 0 else [b"started"])

    @with_store
    async def test_an_append_whose_caller_was_cancelled_is_written_whole_or_not_at_all(self, store: RunStore) -> None:
        await asyncio.gather(*[admit(store, f"run{i}") for i in range(60)])
        tasks = [asyncio.ensure_future(write(store, f"run{i}", b"a", b"b", after=1)) for i in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1::2] == [None] * 30
        for i in range(60):
            await store.claim(f"run{i}")  # what is still under way can no longer be written
            written = await log(store, f"run{i}")
            assert written in ([b"started"], [b"started", b"a", b"b"])
            assert results[i] is not None or len(written) == 3
            await write(store, f"run{i}", b"next", after=len(written), epoch=2)
