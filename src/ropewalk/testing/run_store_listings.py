"""Checks of a run store: runs are listed newest first and pruned by age; what cannot be meant is refused."""

import asyncio
import time
from datetime import timedelta
from typing import Any

from ropewalk.contracts import RunStore
from ropewalk.errors import RunNotFound
from ropewalk.testing.store_checks import OpensStore, admit, log, refused, with_store, write

HOUR = timedelta(hours=1)
FINAL = ("DONE", "FAILED", "CANCELLED")
WRONG_STATUSES: tuple[tuple[Any, type[Exception], str], ...] = (
    ("DONE", TypeError, "['DONE']"),
    ("done", TypeError, "['DONE']"),
    (5, TypeError, "5"),
    (["done"], ValueError, "'DONE'"),
    (["DONE", "DNE"], ValueError, "'DONE'"),
    ([None], ValueError, "None"),
)
"""With the error that each is, and what it must name."""


async def _thirty(store: RunStore) -> list[str]:
    """Admit runs of two graphs and three statuses, several at the same time; return the ids, newest first."""
    order: list[tuple[float, str]] = []
    for i in range(30):
        at = 100.0 + i % 7
        run_id = f"run{i * 7 % 30:02}"
        order.append((at, run_id))
        await admit(store, run_id, graph="gh"[i % 2], status=("RUNNING", "PAUSED", "DONE")[i % 3], at=at)
    return [run_id for _, run_id in sorted(order, reverse=True)]


class ListingChecks(OpensStore):
    """runs and prune."""

    @with_store
    async def test_runs_are_listed_newest_first(self, store: RunStore) -> None:
        assert await store.runs() == []
        newest_first = await _thirty(store)
        listed = await store.runs()
        assert [record.run_id for record in listed] == newest_first
        assert listed == [await store.look(run_id) for run_id in newest_first]

    @with_store
    async def test_runs_are_listed_by_graph_and_status(self, store: RunStore) -> None:
        records = [await store.look(run_id) for run_id in await _thirty(store)]
        for graph in (None, "g", "h", "unknown"):
            for statuses in (None, (), ("DONE",), ("PAUSED", "RUNNING"), ("DONE", "DONE", "CANCELLED")):
                expected = [
                    record
                    for record in records
                    if graph in (None, record.graph) and (statuses is None or record.status in statuses)
                ]
                assert await store.runs(graph=graph, statuses=statuses) == expected, (graph, statuses)

    @with_store
    async def test_a_run_keeps_its_owner_and_session(self, store: RunStore) -> None:
        await admit(store, "r", owner="ann", session="s1")
        await admit(store, "nobody")
        record = await store.look("r")
        assert (record.owner, record.session) == ("ann", "s1")
        nobody = await store.look("nobody")
        assert (nobody.owner, nobody.session) == (None, None)
        await write(store, "r", b"x", after=1)
        claimed = await store.claim("r")
        assert (claimed.owner, claimed.session) == ("ann", "s1")
        await store.copy("r", "copied")
        copied = await store.look("copied")
        assert (copied.owner, copied.session) == ("ann", "s1")
        await admit(store, "f", parent="r", fork_at=1, owner="bob")
        assert (await store.look("f")).owner == "bob"

    @with_store
    async def test_runs_are_listed_by_owner_and_session(self, store: RunStore) -> None:
        for i in range(36):
            owner, session = ("ann", "bob", None)[i % 3], ("s1", "s2", None, "s3")[i % 4]
            status, at = ("RUNNING", "DONE")[i // 3 % 2], 100.0 + i % 5
            await admit(store, f"run{i:02}", graph="gh"[i % 2], status=status, at=at, owner=owner, session=session)
        records = await store.runs()
        for owner in (None, "ann", "bob", "unknown"):
            for session in (None, "s1", "s3", "unknown"):
                for graph in (None, "g"):
                    for statuses in (None, ("RUNNING",), ("DONE", "RUNNING"), ()):
                        expected = [
                            record
                            for record in records
                            if owner in (None, record.owner)
                            and session in (None, record.session)
                            and graph in (None, record.graph)
                            and (statuses is None or record.status in statuses)
                        ]
                        asked = (owner, session, graph, statuses)
                        found = await store.runs(owner=owner, session=session, graph=graph, statuses=statuses)
                        assert found == expected, asked
                        after = expected[1].run_id if len(expected) > 2 else None
                        page = await store.runs(
                            owner=owner, session=session, graph=graph, statuses=statuses, after=after, limit=2
                        )
                        assert page == expected[2 if after else 0 :][:2], asked

    @with_store
    async def test_a_listing_follows_changes(self, store: RunStore) -> None:
        await admit(store, "r", at=100.0)
        await admit(store, "s", at=101.0)
        await write(store, "r", b"x", after=1, status="DONE", at=150.0)
        assert [record.run_id for record in await store.runs(statuses=["DONE"])] == ["r"]
        assert [record.run_id for record in await store.runs(statuses=["RUNNING"])] == ["s"]
        assert [record.run_id for record in await store.runs()] == ["s", "r"]
        await store.delete("r")
        assert await store.runs(statuses=["DONE"]) == []

    @with_store
    async def test_pages_visit_every_run_once(self, store: RunStore) -> None:
        newest_first = await _thirty(store)
        for statuses in (None, ("RUNNING", "PAUSED", "DONE")):
            seen: list[str] = []
            while page := await store.runs(statuses=statuses, after=seen[-1] if seen else None, limit=7):
                assert len(page) <= 7
                seen += [record.run_id for record in page]
            assert seen == newest_first
        assert await store.runs(limit=0) == []

    @with_store
    async def test_a_page_may_come_behind_a_run_that_the_filter_leaves_out(self, store: RunStore) -> None:
        newest_first = await _thirty(store)
        records = [await store.look(run_id) for run_id in newest_first]
        behind = await store.runs(statuses=["DONE"], after=newest_first[9])
        assert behind == [record for record in records[10:] if record.status == "DONE"]
        with refused(RunNotFound):
            await store.runs(after="nobody")

    @with_store
    async def test_runs_of_a_status_that_no_run_has_are_not_asked_for(self, store: RunStore) -> None:
        await admit(store, "r", status="DONE")
        for statuses, error, named in WRONG_STATUSES:
            with refused(error, named):
                await store.runs(statuses=statuses)

    @with_store
    async def test_prune_deletes_old_runs_that_are_over(self, store: RunStore) -> None:
        now = time.time()
        for status in (*FINAL, "RUNNING", "PAUSED"):
            await admit(store, f"old-{status}", status=status, at=now - 7200)
            await admit(store, f"new-{status}", status=status, at=now - 60)
        assert await store.prune(HOUR) == 3
        left = {record.run_id for record in await store.runs()}
        assert left == {
            "old-RUNNING",
            "old-PAUSED",
            *(f"new-{status}" for status in (*FINAL, "RUNNING", "PAUSED")),
        }
        assert await store.prune(HOUR) == 0

    @with_store
    async def test_prune_deletes_unfinished_runs_only_when_told(self, store: RunStore) -> None:
        for status in ("DONE", "PAUSED", "RUNNING"):
            await admit(store, status, status=status, at=time.time() - 7200)
        assert await store.prune(HOUR, []) == 0
        assert await store.prune(HOUR, ["PAUSED"]) == 1
        assert {record.run_id for record in await store.runs()} == {"DONE", "RUNNING"}

    @with_store
    async def test_prune_refuses_what_cannot_be_meant_and_deletes_nothing(self, store: RunStore) -> None:
        await admit(store, "r", status="DONE", at=time.time() - 7200)
        for statuses, error, named in WRONG_STATUSES:
            with refused(error, named):
                await store.prune(HOUR, statuses)
        with refused(ValueError, "-1 day"):
            await store.prune(timedelta(days=-1))
        wrong_ages: tuple[Any, ...] = (5, "30 days", None)
        for older_than in wrong_ages:
            with refused(TypeError, "timedelta"):
                await store.prune(older_than)
        assert await log(store, "r") == [b"started"]
        assert await store.prune(HOUR, ("DONE", "DONE")) == 1

    @with_store
    async def test_prune_goes_by_the_last_change(self, store: RunStore) -> None:
        await admit(store, "r", at=time.time() - 7200)
        await write(store, "r", b"x", after=1, status="DONE", at=time.time())
        assert await store.prune(HOUR) == 0
        assert await log(store, "r") == [b"started", b"x"]

    @with_store
    async def test_forks_outlive_a_pruned_parent(self, store: RunStore) -> None:
        now = time.time()
        await admit(store, "p", [b"1", b"2", b"3"], status="DONE", at=now - 7200)
        await admit(store, "f", [b"f3"], status="DONE", at=now - 7000, parent="p", fork_at=2)
        await admit(store, "young", [b"y4"], at=now, parent="p", fork_at=3)
        await admit(store, "old", [], status="DONE", at=now - 7200, parent="young", fork_at=4)
        assert await store.prune(HOUR) == 3
        assert await log(store, "young") == [b"1", b"2", b"3", b"y4"]

    @with_store
    async def test_many_runs_are_pruned_while_others_are_written(self, store: RunStore) -> None:
        long_ago = time.time() - 7200
        await asyncio.gather(*[admit(store, f"old{i}", [b"x"] * 20, status="DONE", at=long_ago) for i in range(500)])
        await admit(store, "r", [])

        async def go_on() -> None:
            for i in range(30):
                await write(store, "r", b"%d" % i, after=i)

        pruned, _ = await asyncio.gather(store.prune(HOUR), go_on())
        assert pruned == 500
        assert [record.run_id for record in await store.runs()] == ["r"]
        assert len(await log(store, "r")) == 30
