"""Checks of a store: forks begin with their parent's entries whatever becomes of it, copies stand alone."""

import asyncio

from ropewalk.contracts import RunStore
from ropewalk.errors import RunExists, RunNotFound, RunTaken
from ropewalk.testing.store_checks import OpensStore, admit, log, new_run, refused, with_store, write


def _bodies(name: str, first: int, last: int) -> list[bytes]:
    return [f"{name}{number}".encode() for number in range(first, last + 1)]


async def _family(store: RunStore) -> dict[str, list[bytes]]:
    """Admit a run, forks of it, forks of those; return what each log must be."""
    a, b, c, d, e, f = (_bodies(name, 1, 9) for name in "abcdef")
    await admit(store, "a", a[:6])
    await admit(store, "b", b[4:6], parent="a", fork_at=4)
    await admit(store, "c", c[5:6], parent="b", fork_at=5)
    await admit(store, "d", d[3:7], parent="c", fork_at=3)
    await admit(store, "e", e[6:7], parent="a", fork_at=6)
    await write(store, "a", a[6], after=6)
    await admit(store, "f", f[6:9], parent="c", fork_at=6)
    return {
        "a": a[:7],
        "b": a[:4] + b[4:6],
        "c": a[:4] + b[4:5] + c[5:6],
        "d": a[:3] + d[3:7],
        "e": a[:6] + e[6:7],
        "f": a[:4] + b[4:5] + c[5:6] + f[6:9],
    }


class ForkChecks(OpensStore):
    """create with a parent, copy, delete."""

    @with_store
    async def test_a_fork_begins_with_its_parents_entries_and_counts_on(self, store: RunStore) -> None:
        await admit(store, "p", _bodies("p", 1, 5), status="DONE", at=50.0)
        await admit(store, "f", [b"forked"], parent="p", fork_at=3, graph="h", at=60.0)
        await write(store, "f", b"own", after=4)
        await store.claim("p")
        await write(store, "p", b"p6", after=5, epoch=2)
        assert await store.read("f") == [(1, b"p1"), (2, b"p2"), (3, b"p3"), (4, b"forked"), (5, b"own")]
        assert await log(store, "p") == _bodies("p", 1, 6)
        record = await store.look("f")
        assert (record.parent, record.fork_at, record.last, record.epoch) == ("p", 3, 5, 1)
        assert (record.graph, record.status, record.created) == ("h", "RUNNING", 60.0)

    @with_store
    async def test_a_fork_is_read_in_parts_across_the_seam(self, store: RunStore) -> None:
        logs = await _family(store)
        for run_id, bodies in logs.items():
            numbered = [*enumerate(bodies, 1)]
            for after in range(len(bodies) + 2):
                assert await store.read(run_id, after=after) == numbered[after:]
                assert await store.read(run_id, after=after, limit=2) == numbered[after : after + 2]

    @with_store
    async def test_a_fork_at_nothing_shares_nothing(self, store: RunStore) -> None:
        await admit(store, "p", [b"p1"])
        await admit(store, "f", [b"f1"], parent="p", fork_at=0)
        await store.delete("p")
        assert await log(store, "f") == [b"f1"]

    @with_store
    async def test_a_fork_needs_a_parent_that_reaches_so_far(self, store: RunStore) -> None:
        await admit(store, "p", _bodies("p", 1, 2))
        with refused(RunNotFound):
            await store.create(new_run("f", parent="nobody", fork_at=1), [b"x"])
        with refused(RunNotFound):
            await store.create(new_run("f", parent="p", fork_at=3), [b"x"])
        with refused(RunNotFound):
            await store.look("f")
        await admit(store, "f", [b"x"], parent="p", fork_at=2)
        with refused(RunExists):
            await store.create(new_run("f", parent="p", fork_at=1), [b"x"])

    @with_store
    async def test_a_fork_has_an_owner_of_its_own(self, store: RunStore) -> None:
        await admit(store, "p", _bodies("p", 1, 3))
        await store.claim("p")
        await admit(store, "f", [], parent="p", fork_at=2)
        await store.claim("p")
        await write(store, "f", b"f3", after=2)
        with refused(RunTaken):
            await write(store, "f", b"x", after=3, epoch=3)
        assert await log(store, "f") == [b"p1", b"p2", b"f3"]

    @with_store
    async def test_forks_of_forks_keep_their_logs_whoever_is_deleted(self, store: RunStore) -> None:
        for order in ("abcdef", "cbaedf", "fedcba", "bacfde"):
            logs = await _family(store)
            other = await self.open_again(store)
            for gone in order:
                await store.delete(gone)
                del logs[gone]
                for run_id, bodies in logs.items():
                    assert await log(other, run_id) == bodies, (order, gone, run_id)
            if other is not store:
                await other.close()

    @with_store
    async def test_a_fork_goes_on_after_its_parent_was_deleted(self, store: RunStore) -> None:
        logs = await _family(store)
        before = await store.look("c")
        await store.delete("b")
        assert await store.look("c") == before
        await write(store, "c", b"more", after=6)
        await admit(store, "g", [b"g6"], parent="c", fork_at=5)
        await admit(store, "b", [b"a new run under the old name"])
        assert await log(store, "c") == [*logs["c"], b"more"]
        assert await log(store, "g") == [*logs["c"][:5], b"g6"]

    @with_store
    async def test_a_long_line_of_forks_is_read_through(self, store: RunStore) -> None:
        await admit(store, "0", [b"0"])
        for i in range(1, 60):
            await admit(store, str(i), [b"%d" % i], parent=str(i - 1), fork_at=i)
        assert await log(store, "59") == [b"%d" % i for i in range(60)]
        assert await store.read("59", after=30, limit=3) == [(31, b"30"), (32, b"31"), (33, b"32")]
        await asyncio.gather(*[store.delete(str(i)) for i in range(59)])
        assert await log(store, "59") == [b"%d" % i for i in range(60)]

    @with_store
    async def test_a_copy_stands_alone(self, store: RunStore) -> None:
        logs = await _family(store)
        await store.claim("f")
        source = await store.look("f")
        await store.copy("f", "copy")
        record = await store.look("copy")
        assert (record.epoch, record.parent, record.fork_at, record.last) == (1, None, 0, source.last)
        assert (record.graph, record.plan, record.status) == (source.graph, source.plan, source.status)
        await write(store, "copy", b"own", after=record.last)
        for gone in "abcdef":
            assert await log(store, gone) == logs[gone]
            await store.delete(gone)
        assert await log(store, "copy") == [*logs["f"], b"own"]

    @with_store
    async def test_a_copy_needs_a_run_and_a_free_id(self, store: RunStore) -> None:
        await admit(store, "r", [b"r"])
        await admit(store, "s", [b"s"])
        with refused(RunNotFound):
            await store.copy("nobody", "new")
        with refused(RunExists):
            await store.copy("r", "s")
        with refused(RunExists):
            await store.copy("r", "r")
        with refused(RunNotFound):
            await store.look("new")
        assert await log(store, "s") == [b"s"]
