"""Edits of the state from outside: through the buffers or past them, seen by steps that start later."""

import asyncio

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue
from ropewalk.errors import RunFinished
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Doc(GraphState):
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


def pausing(store, state=Doc):
    graph = Graph(state, store=store)

    @graph.node
    async def a(state):
        return {"log": "a", "count": 1}

    @graph.node(interrupt="before")
    async def b(state):
        return {"log": f"b saw {state.log} {state.count} {state.word}"}

    return graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)


def test_an_update_goes_through_the_buffers_and_later_steps_see_it(store):
    async def main():
        graph = pausing(store)
        await graph.execute()
        graph.update_state_and_checkpoint({"log": "edited", "count": 5, "word": "w"})
        assert graph.state == Doc(log=["a", "edited"], count=6, word="w")
        await graph.resume()
        assert graph.state.log == ["a", "edited", "b saw ['a', 'edited'] 6 w"]
        types = [entry.type for entry in await graph.run.history()]
        assert "state_edited" in types

    asyncio.run(main())


def test_a_set_replaces_fields_past_their_buffers(store):
    async def main():
        graph = pausing(store)
        await graph.execute()
        graph.set_state_and_checkpoint({"log": ["new"], "count": 100})
        await graph.resume()
        assert graph.state.log == ["new", "b saw ['new'] 100 "]

    asyncio.run(main())


def test_a_whole_state_may_be_set(store):
    """primeGraph's checkpoint of it could not be resumed."""

    async def main():
        graph = pausing(store)
        await graph.execute()
        graph.set_state_and_checkpoint(Doc(log=["whole"], count=7, word="x"))
        await graph.resume()
        assert graph.state == Doc(log=["whole", "b saw ['whole'] 7 x"], count=7, word="x")

        class Other(GraphState):
            pass

        with pytest.raises(TypeError, match="instance of"):
            graph.set_state_and_checkpoint(Other())

    asyncio.run(main())


def test_edits_outside_of_a_running_loop_are_committed_at_once(tmp_path):
    """The seeds call them from plain code, between two asyncio.run()."""
    for store in (MemoryRunStore(), SqliteRunStore(tmp_path / "runs.db")):
        state = Doc()
        graph = pausing(store, state)
        run_id = asyncio.run(graph.execute())
        graph.update_state_and_checkpoint({"log": "edited"})
        assert state.log == ["a", "edited"]
        assert pausing(store).open(run_id).state.log == ["a", "edited"]
        asyncio.run(graph.resume())
        assert state.log[:2] == ["a", "edited"]
        assert graph.chain_status == "DONE"
        asyncio.run(store.close())


def test_edits_inside_a_running_loop_are_queued_and_the_next_await_commits_them(store):
    async def main():
        state = Doc()
        graph = pausing(store, state)
        await graph.execute()
        graph.update_state_and_checkpoint({"log": "one"})
        graph.update_state_and_checkpoint({"log": "two"})
        assert state.log == ["a", "one", "two"]
        before = len(await graph.run.history())
        await graph.resume()
        assert state.log[:3] == ["a", "one", "two"]
        types = [entry.type for entry in await graph.run.history()]
        assert types.count("state_edited") == 2
        assert before >= 4

    asyncio.run(main())


def test_edits_without_a_run_change_the_graph_s_own_state(store):
    async def main():
        state = Doc()
        graph = pausing(store, state)
        graph.update_state_and_checkpoint({"log": "before", "count": 2})
        graph.update_state_and_checkpoint({"count": 2})
        assert state == Doc(log=["before"], count=4)
        graph.set_state_and_checkpoint({"count": 1})
        assert state.count == 1
        await graph.execute()
        assert state.log == ["before", "a"]

    asyncio.run(main())


def test_edits_after_the_run_is_done_are_the_start_of_the_next(store):
    """Seed 000's chatbot: execute, update, execute."""

    async def main():
        graph = Graph(Doc(), store=store)
        graph.add_node(lambda state: {"log": f"heard {state.word}"}, name="hear")
        await graph.execute()
        graph.update_state_and_checkpoint({"word": "hello"})
        await graph.execute()
        assert graph.state.log == ["heard ", "heard hello"]

    asyncio.run(main())


def test_an_edit_is_seen_by_every_branch_that_starts_later_and_by_none_that_is_in_flight(store):
    async def main():
        begun, gate = asyncio.Event(), asyncio.Event()
        graph = Graph(Doc, store=store)

        @graph.node
        async def slow(state):
            begun.set()
            await gate.wait()
            return {"log": f"slow saw {state.log}"}

        @graph.node
        async def after(state):
            return {"log": f"after saw {state.log}"}

        graph.add_edge(START, "slow").add_edge("slow", "after").add_edge("after", END)
        run = graph.start()
        await begun.wait()
        await run.edit({"log": "edit"}, by="ann")
        assert run.state.log == ["edit"]
        gate.set()
        state = await run
        assert state.log[0] in ("edit", "slow saw []")
        assert "slow saw []" in state.log
        assert "edit" in state.log
        assert state.log[-1].startswith("after saw")
        assert "edit" in state.log[-1]
        edited = next(entry for entry in await run.history() if entry.type == "state_edited")
        assert edited.data["by"] == "ann"

    asyncio.run(main())


def test_an_edit_counts_once_however_many_branches_hold_it(store):
    async def main():
        graph = Graph(Doc, store=store)

        async def work(state):
            return {"count": 1}

        for name in ("x", "y"):
            graph.add_node(work, name=name, interrupt="before").add_edge(START, name).add_edge(name, "join")
        graph.add_node(lambda state: {"log": f"join saw {state.count}"}, name="join", interrupt="before")
        graph.add_edge("join", END)
        run = graph.start()
        await run.wait()
        await run.edit({"count": 10})
        assert await run.resume() == "PAUSED"
        await run.edit({"count": 100})
        assert await run.resume() == "DONE"
        assert run.state.count == 112
        assert run.state.log == ["join saw 112"]

    asyncio.run(main())


def test_a_finished_run_takes_no_edit(store):
    async def main():
        graph = Graph(Doc, store=store).add_node(lambda: None, name="a")
        run = graph.start()
        await run
        with pytest.raises(RunFinished, match="Fork"):
            await run.edit({"log": "x"})

    asyncio.run(main())


def test_an_edit_of_a_failed_run_may_be_the_fix(store):
    async def main():
        graph = Graph(Doc, store=store)

        @graph.node
        async def work(state):
            if not state.word:
                raise ValueError("no word")
            return {"log": state.word}

        run = graph.start()
        assert await run.wait() == "FAILED"
        await run.edit({"word": "now"})
        assert run.status == "FAILED"
        assert await run.resume() == "DONE"
        assert run.state.log == ["now"]

    asyncio.run(main())


def test_an_answered_node_sees_its_original_input_and_later_ones_the_edit(store):
    """An answered node runs again on its original input."""

    async def main():
        graph = Graph(Doc, store=store)

        @graph.node
        async def ask(state, ctx):
            answer = await ctx.ask("go?")
            return {"log": f"{answer} {state.count}"}

        @graph.node
        async def after(state):
            return {"log": f"after {state.count}"}

        graph.add_edge(START, "ask").add_edge("ask", "after").add_edge("after", END)
        run = graph.start()
        await run.wait()
        await run.edit({"count": 5})
        await run.answer(run.pauses[0].id, "yes")
        assert (await run).log == ["yes 0", "after 5"]

    asyncio.run(main())


def test_an_edit_while_a_run_is_paused_is_seen_by_all_that_has_not_started(store):
    """Edits are seen by steps that start later: a node that a breakpoint kept from starting is one of them."""

    async def main():
        graph = Graph(Doc, store=store)
        graph.add_node(lambda: {"log": "a"}, name="a")
        graph.add_node(lambda state: {"log": f"held saw {state.count}"}, name="held", interrupt="before")
        graph.add_node(lambda state: {"log": f"other saw {state.count}"}, name="other")
        graph.add_edge(START, "a")
        for name in ("held", "other"):
            graph.add_edge("a", name).add_edge(name, END)
        run = graph.start()
        assert await run.wait() == "PAUSED"
        assert run.state.log == ["a"]
        await run.edit({"count": 5})
        assert await run.resume() == "DONE"
        assert run.state.log == ["a", "held saw 5", "other saw 5"]

    asyncio.run(main())
