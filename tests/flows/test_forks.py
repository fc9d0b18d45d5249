"""Forks: a new run whose log begins with another's; it asks its own questions and has its own keys."""

import asyncio

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue
from ropewalk.errors import EntryNotFound, RunFailed, UnknownField
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Log(GraphState):
    log: History[str]
    count: Incremental[int] = 0
    word: LastValue[str] = ""


@pytest.fixture(params=["none", "memory", "sqlite"])
def store(request, tmp_path):
    kept = {"none": lambda: None, "memory": MemoryRunStore, "sqlite": lambda: SqliteRunStore(tmp_path / "runs.db")}
    made = kept[request.param]()
    yield made
    if made is not None:
        asyncio.run(made.close())


def chained(store, names="abc", ran=None):
    graph = Graph(Log, store=store)

    def noting(name):
        async def note(state, ctx):
            if ran is not None:
                ran.append(ctx.idempotency_key)
            return {"log": f"{name}{state.word}"}

        return note

    for name in names:
        graph.add_node(noting(name), name=name)
    for one, other in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(one, other)
    return graph


def test_a_fork_keeps_what_was_and_goes_on_from_there(store):
    async def main():
        ran = []
        run = chained(store, ran=ran).start()
        await run
        fork = await run.fork(at=3)
        assert (await fork).log == ["a", "b", "c"]
        assert fork.run_id != run.run_id
        assert len(ran) == 4, "what was finished is not run again"
        assert ran[-1] == f"{fork.run_id}/c#1"
        entries, before = await fork.history(), await run.history()
        assert entries[:3] == before[:3]
        assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6]
        assert (entries[3].type, entries[3].data["fork_of"], entries[3].data["fork_at"]) == (
            "run_started",
            run.run_id,
            3,
        )
        assert (await run.history()) == before, "the parent is as it was"

    asyncio.run(main())


def test_a_fork_at_every_entry_ends_in_the_same_state(store):
    async def main():
        run = chained(store, "abcde").start()
        final = await run
        for number in range(1, len(await run.history()) + 1):
            fork = await run.fork(at=number)
            assert await fork == final, number

    asyncio.run(main())


def test_a_fork_without_a_number_keeps_everything(store):
    async def main():
        run = chained(store).start()
        final = await run
        fork = await run.fork()
        assert await fork == final

    asyncio.run(main())


def test_a_fork_with_updates_takes_another_way(store):
    async def main():
        run = chained(store).start()
        await run
        fork = await run.fork(at=2, updates={"word": "!", "count": 5})
        state = await fork
        assert state.log == ["a", "b!", "c!"]
        assert state.count == 5
        assert run.state.log == ["a", "b", "c"]
        with pytest.raises(UnknownField):
            await run.fork(at=2, updates={"wrod": "!"})

    asyncio.run(main())


@pytest.mark.parametrize("at", [0, -1, 99])
def test_a_fork_at_no_entry_says_which_there_are(store, at):
    async def main():
        run = chained(store).start()
        await run
        with pytest.raises(EntryNotFound, match=f"no entry {at}; it has 1 to 5"):
            await run.fork(at=at)

    asyncio.run(main())


def test_a_fork_asks_again_with_ids_of_its_own(store):
    async def main():
        graph = Graph(Log, store=store)

        @graph.node
        async def ask(ctx):
            one = await ctx.ask("one?")
            two = await ctx.ask("two?")
            return {"log": f"{one} {two}"}

        run = graph.start()
        await run.wait()
        first = run.pauses[0]
        await run.answer(first.id, "1")
        await run.wait()
        fork = await run.fork()
        assert await fork.wait() == "PAUSED"
        assert {pause.id for pause in fork.pauses}.isdisjoint({first.id, *(pause.id for pause in run.pauses)})
        assert [pause.payload for pause in fork.pauses] == ["two?"], "what was answered stays answered"
        await fork.answer(fork.pauses[0].id, "other 2")
        assert (await fork).log == ["1 other 2"]
        await run.answer(run.pauses[0].id, "2")
        assert (await run).log == ["1 2"]
        earlier = await run.fork(at=2)
        assert await earlier.wait() == "PAUSED"
        assert [pause.payload for pause in earlier.pauses] == ["one?"]

    asyncio.run(main())


def test_a_fork_before_a_breakpoint_holds_there_again(store):
    async def main():
        graph = Graph(Log, store=store)
        graph.add_node(lambda: {"log": "a"}, name="a").add_node(lambda: {"log": "b"}, name="b", interrupt="before")
        graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
        run = graph.start()
        await run.wait()
        await run.resume()
        for at in (2, 3, 4):
            fork = await run.fork(at=at)
            assert await fork.wait() == "PAUSED", at
            assert len(fork.pauses) == 1
            assert fork.pauses[0].id != run.pauses
            assert await fork.resume() == "DONE"
            assert fork.state.log == ["a", "b"]

    asyncio.run(main())


def test_a_failed_and_a_cancelled_run_can_be_forked_and_go_on(store):
    async def main():
        well = []
        graph = Graph(Log, store=store)

        @graph.node
        async def work(state):
            if not well:
                raise OSError("down")
            return {"log": "up"}

        run = graph.start()
        with pytest.raises(RunFailed):
            await run
        again = await run.fork()
        assert await again.wait() == "FAILED"
        await run.cancel()
        well.append(True)
        fork = await run.fork()
        assert (await fork).log == ["up"]
        assert run.status == "CANCELLED"

    asyncio.run(main())


def test_kept_steps_of_the_part_that_is_kept_are_not_called_again(store):
    async def main():
        calls = []
        graph = Graph(Log, store=store)

        @graph.node
        async def work(ctx):
            one = await ctx.step("one", lambda: calls.append("one") or "1")
            two = await ctx.step("two", lambda: calls.append("two") or "2")
            return {"log": one + two}

        run = graph.start()
        await run
        assert calls == ["one", "two"]
        fork = await run.fork(at=2)
        assert (await fork).log == ["12"]
        assert calls == ["one", "two", "two"]

    asyncio.run(main())


def test_a_fork_of_a_fork_has_both_beginnings(store):
    async def main():
        run = chained(store).start()
        await run
        one = await run.fork(at=2, updates={"word": "1"})
        await one
        two = await one.fork(at=5, updates={"word": "2"})
        state = await two
        assert state.log == ["a", "b1", "c2"]
        assert [entry.number for entry in await two.history()] == [*range(1, 10)]

    asyncio.run(main())


def test_a_fork_outlives_its_parent(tmp_path):
    async def main():
        for store in (MemoryRunStore(), SqliteRunStore(tmp_path / "runs.db")):
            run = chained(store).start(run_id="parent")
            await run
            fork = await run.fork(at=3)
            await fork
            entries = await fork.history()
            await store.delete("parent")
            again = chained(store).open(fork.run_id)
            assert await again.history() == entries
            assert again.state.log == ["a", "b", "c"]
            await store.close()

    asyncio.run(main())


def test_a_run_under_way_can_be_forked_and_is_not_disturbed(store):
    async def main():
        begun, gate = asyncio.Event(), asyncio.Event()
        graph = Graph(Log, store=store)

        @graph.node
        async def work(state, ctx):
            begun.set()
            await gate.wait()
            return {"log": f"attempt {ctx.attempt}"}

        run = graph.start()
        await begun.wait()
        fork = await run.fork(updates={"word": "fork"})
        gate.set()
        assert (await run).log == ["attempt 1"]
        assert (await fork).log == ["attempt 1"]
        assert (await fork).word == "fork"

    asyncio.run(main())
