"""Checks of a run store: turns order the runs of a session, and each is given once."""

import asyncio

from ropewalk.contracts import RunStore
from ropewalk.errors import RunExists, TurnTaken
from ropewalk.testing.store_checks import OpensStore, admit, new_run, refused, with_store, write


async def _takes_turns(store: RunStore, name: str, count: int) -> list[int]:
    """Admit runs one after the other, each with the turn that is next as this creator sees it; return the turns."""
    taken: list[int] = []
    while len(taken) < count:
        turn = await store.last_turn(owner="ann", session="s") + 1
        try:
            await admit(store, f"{name}{len(taken)}", owner="ann", session="s", turn=turn)
        except TurnTaken:
            continue
        taken.append(turn)
    return taken


class TurnChecks(OpensStore):
    """turn, last_turn and whose_turn."""

    @with_store
    async def test_a_run_keeps_its_turn(self, store: RunStore) -> None:
        await admit(store, "first", session="s", turn=1)
        await admit(store, "without", session="s")
        assert (await store.look("first")).turn == 1
        assert (await store.look("without")).turn is None
        assert (await store.claim("first")).turn == 1
        assert {record.run_id: record.turn for record in await store.runs(session="s")} == {"first": 1, "without": None}

    @with_store
    async def test_a_turn_is_given_once_in_a_session_of_an_owner(self, store: RunStore) -> None:
        for owner in (None, "", "ann"):
            await admit(store, f"r{owner}", owner=owner, session="s", turn=1)
        await admit(store, "of another session", owner="ann", session="t", turn=1)
        await admit(store, "next", owner="ann", session="s", turn=2)
        for owner in (None, "", "ann"):
            with refused(TurnTaken, "turn 1 "):
                await store.create(new_run("late", owner=owner, session="s", turn=1), [b"x"])
        assert len(await store.runs()) == 5
        await admit(store, "late", owner="ann", session="s", turn=3)

    @with_store
    async def test_an_id_that_is_there_is_told_before_a_turn_that_is_taken(self, store: RunStore) -> None:
        await admit(store, "r", session="s", turn=1)
        with refused(RunExists):
            await store.create(new_run("r", session="s", turn=1), [])

    @with_store
    async def test_the_last_turn_is_told_by_owner_and_session(self, store: RunStore) -> None:
        assert await store.last_turn(owner="ann", session="s") == 0
        for i, owner in enumerate(("ann", "bob", None, "ann", "ann"), 1):
            turn = await store.last_turn(owner=owner, session="s") + 1
            await admit(store, f"r{i}", owner=owner, session="s", turn=turn, status="DONE")
        await admit(store, "without", owner="ann", session="s")
        told = [await store.last_turn(owner=owner, session="s") for owner in ("ann", "bob", None, "cy", "")]
        assert told == [3, 1, 1, 0, 0]
        assert await store.last_turn(owner="ann", session="t") == 0
        await store.delete("r1")
        assert await store.last_turn(owner="ann", session="s") == 3

    @with_store
    async def test_whose_turn_it_is_is_the_first_that_is_running(self, store: RunStore) -> None:
        async def first(owner: str | None = "ann") -> str | None:
            record = await store.whose_turn(owner=owner, session="s")
            return None if record is None else record.run_id

        assert await first() is None
        await admit(store, "without", owner="ann", session="s", at=1.0)
        await admit(store, "ended", owner="ann", session="s", turn=1, status="DONE")
        assert await first() is None
        for turn, run_id in ((3, "third"), (2, "second"), (4, "fourth")):
            await admit(store, run_id, owner="ann", session="s", turn=turn)
        await admit(store, "bobs", owner="bob", session="s", turn=1)
        await admit(store, "nobodys", session="s", turn=9)
        assert [await first(owner) for owner in ("ann", "bob", None, "cy")] == ["second", "bobs", "nobodys", None]
        assert await store.whose_turn(owner="ann", session="s") == await store.look("second")
        await write(store, "second", b"asked", after=1, status="PAUSED")
        assert await first() == "third"
        await store.delete("third")
        assert await first() == "fourth"
        await write(store, "second", b"answered", after=2)
        assert await first() == "second"

    @with_store
    async def test_copies_and_forks_have_no_turn_unless_it_is_theirs(self, store: RunStore) -> None:
        await admit(store, "r", session="s", turn=1)
        await store.copy("r", "copied")
        await admit(store, "fork", parent="r", fork_at=1, session="s")
        await admit(store, "next", parent="r", fork_at=1, session="s", turn=2)
        turns = [(await store.look(run_id)).turn for run_id in ("copied", "fork", "next")]
        assert turns == [None, None, 2]
        with refused(TurnTaken):
            await store.create(new_run("late", parent="r", fork_at=1, session="s", turn=2), [])

    @with_store
    async def test_a_turn_without_a_session_or_below_one_is_refused(self, store: RunStore) -> None:
        with refused(ValueError, "session"):
            await store.create(new_run("r", turn=1), [])
        with refused(ValueError, "0"):
            await store.create(new_run("r", session="s", turn=0), [])
        assert await store.runs() == []

    @with_store
    async def test_creators_who_race_for_a_turn_get_one_each(self, store: RunStore) -> None:
        other = await self.open_again(store)
        try:
            runs = [new_run(f"run{i}", owner="ann", session="s", turn=1 + i // 10) for i in range(40)]
            told = await asyncio.gather(
                *[(store, other)[i % 2].create(run, [b"%d" % i]) for i, run in enumerate(runs)],
                return_exceptions=True,
            )
            assert all(outcome == 1 or isinstance(outcome, TurnTaken) for outcome in told), told
            admitted = [run for run, outcome in zip(runs, told, strict=True) if outcome == 1]
            assert sorted(run.turn or 0 for run in admitted) == [1, 2, 3, 4]
            assert {record.run_id for record in await store.runs()} == {run.run_id for run in admitted}
        finally:
            if other is not store:
                await other.close()

    @with_store
    async def test_creators_who_try_again_fill_the_order_without_gaps(self, store: RunStore) -> None:
        other = await self.open_again(store)
        try:
            creators = [_takes_turns((store, other)[i % 2], "abcd"[i], 5) for i in range(4)]
            taken = await asyncio.gather(*creators)
            assert sorted(turn for turns in taken for turn in turns) == [*range(1, 21)]
            assert all(turns == sorted(turns) for turns in taken)
        finally:
            if other is not store:
                await other.close()
