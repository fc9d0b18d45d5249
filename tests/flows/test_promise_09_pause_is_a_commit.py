"""Promise 9, pause is a commit: a paused run holds nothing; each pause is answered by its own id, each once."""

import asyncio
import gc
import threading
import weakref

import pytest

from ropewalk import END, START, Graph, GraphState, History, LastValue
from ropewalk.core.engine import Engine
from ropewalk.errors import AlreadyAnswered, NotStorable, PauseNotFound, RunFailed, RunFinished, RunPaused
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Review(GraphState):
    log: History[str]
    topic: LastValue[str] = ""


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def asking(store, count=1):
    """``count`` branches that ask, side by side, then a join."""
    graph = Graph(Review, store=store)
    graph.add_node(lambda: {"log": "join"}, name="join").add_edge("join", END)

    def branch(name):
        async def ask(state, ctx):
            return {"log": f"{name}: {await ctx.ask({'who': name, 'topic': state.topic})}"}

        return ask

    for number in range(count):
        graph.add_node(branch(f"q{number}"), name=f"q{number}")
        graph.add_edge(START, f"q{number}").add_edge(f"q{number}", "join")
    return graph


def our_threads() -> set[str]:
    """Return the names of Ropewalk's own threads, but for the one that SQLite begins at its first read; the test runner
    has others, which come and go.
    """
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith("ropewalk") and not name.endswith("-reader")}


def test_a_thousand_paused_runs_hold_no_task_no_thread_and_no_memory_of_the_engine(store):
    """Promise 9."""

    async def main():
        graph = asking(store).compile()
        await graph.start().wait()
        threads = our_threads()
        runs = [graph.start(Review(topic=str(number)), run_id=f"r{number}") for number in range(1000)]
        assert {await run.wait() for run in runs} == {"PAUSED"}
        await asyncio.sleep(0)  # what ended with the last run may tell those who waited for it
        assert len(asyncio.all_tasks()) == 1
        assert our_threads() <= threads
        handles = [weakref.ref(run) for run in runs]
        runs.clear()
        gc.collect()
        assert not any(handle() for handle in handles)
        assert sum(isinstance(thing, Engine) for thing in gc.get_objects()) <= 1
        run = graph.open("r417")
        (pause,) = run.pauses
        assert pause.payload == {"who": "q0", "topic": "417"}
        await run.answer(pause.id, "yes")
        assert (await run).log == ["q0: yes", "join"]

    asyncio.run(main())


def test_a_paused_run_outlives_its_loop_its_graph_and_its_store(tmp_path):
    """Promise 9: for days."""
    file = tmp_path / "runs.db"

    async def pause():
        store = SqliteRunStore(file)
        run = asking(store).start(Review(topic="x"), run_id="r")
        with pytest.raises(RunPaused, match=r"question 'p_[0-9a-f]+' at 'q0'.*answer"):
            await run
        await store.close()
        return run.pauses

    async def go_on():
        store = SqliteRunStore(file)
        run = asking(store).open("r")
        pauses = run.pauses
        assert run.status == "PAUSED"
        await run.answer(pauses[0].id, "yes")
        state = await run
        await store.close()
        return pauses, state

    before = asyncio.run(pause())
    after, state = asyncio.run(go_on())
    assert before == after
    assert state.log == ["q0: yes", "join"]


def test_all_pauses_are_visible_at_once_and_answered_in_any_order(store):
    """Promise 9: each by its own id; the merge does not depend on the order of the answers."""

    async def main():
        for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
            run = asking(store, 3).start()
            assert await run.wait() == "PAUSED"
            pauses = run.pauses
            assert [(pause.kind, pause.node) for pause in pauses] == [("question", f"q{n}") for n in range(3)]
            assert len({pause.id for pause in pauses}) == 3
            for left, number in zip((2, 1, 0), order, strict=True):
                await run.answer(pauses[number].id, f"yes {number}")
                status = await run.wait()
                assert len(run.pauses) == left
                assert status == ("PAUSED" if left else "DONE")
            assert run.state.log == ["q0: yes 0", "q1: yes 1", "q2: yes 2", "join"]

    asyncio.run(main())


def test_pause_ids_are_the_same_in_every_process_and_different_in_every_run(store):
    """Promise 9."""

    async def main():
        run = asking(store, 2).start(run_id="r")
        await run.wait()
        other = asking(store, 2).start(run_id="s")
        await other.wait()
        assert asking(store, 2).open("r").pauses == run.pauses
        assert not {pause.id for pause in run.pauses} & {pause.id for pause in other.pauses}

    asyncio.run(main())


def test_a_second_answer_is_told_who_was_first(store):
    """Promise 9: while the run is paused, when it is done, and from another process."""

    async def main():
        run = asking(store, 2).start(run_id="r")
        await run.wait()
        one, two = run.pauses
        await run.answer(one.id, "yes", by="ann")
        with pytest.raises(AlreadyAnswered, match=r"answered first by ann at 2\d\d\d-") as caught:
            await run.answer(one.id, "no", by="bob")
        assert caught.value.by == "ann"
        await run.wait()
        with pytest.raises(AlreadyAnswered, match="ann"):
            await asking(store, 2).open("r").answer(one.id, "no")
        await run.answer(two.id, "yes")
        assert (await run).log == ["q0: yes", "q1: yes", "join"]
        with pytest.raises(AlreadyAnswered, match="ann"):
            await asking(store, 2).open("r").answer(one.id, "no")
        with pytest.raises(AlreadyAnswered, match="somebody without a name"):
            await run.answer(two.id, "no")

    asyncio.run(main())


def test_many_who_answer_at_once_give_one_answer(store):
    """Promise 9: one is taken, and all others are told."""

    async def main():
        run = asking(store).start(run_id="r")
        await run.wait()
        (pause,) = run.pauses
        answers = (run.answer(pause.id, str(number), by=str(number)) for number in range(10))
        results = await asyncio.gather(*answers, return_exceptions=True)
        first = results.index(None)
        assert sum(result is None for result in results) == 1
        assert all(isinstance(result, AlreadyAnswered) for result in results if result is not None)
        assert {result.by for result in results if result is not None} == {str(first)}
        assert (await run).log == [f"q0: {first}", "join"]

    asyncio.run(main())


def test_an_unknown_pause_is_named_with_those_that_are_open(store):
    """Promise 9 and 14."""

    async def main():
        run = asking(store).start()
        await run.wait()
        (pause,) = run.pauses
        with pytest.raises(PauseNotFound, match=f"Did you mean '{pause.id}'"):
            await run.answer(pause.id[:-1] + "?", "yes")
        assert run.status == "PAUSED"

    asyncio.run(main())


def test_a_payload_or_answer_that_cannot_be_stored_is_refused_and_changes_nothing(store):
    """Promise 9 and 15."""

    async def main():
        run = asking(store).start()
        await run.wait()
        (pause,) = run.pauses
        for value in (object(), {1, 2}, float):
            with pytest.raises(NotStorable):
                await run.answer(pause.id, value)
        assert run.status == "PAUSED"
        await run.answer(pause.id, "yes")
        assert (await run).log == ["q0: yes", "join"]

        graph = Graph(Review, store=store)

        @graph.node
        async def ask(ctx):
            await ctx.ask(object())

        with pytest.raises(RunFailed, match="question of 'ask'"):
            await graph.start()

    asyncio.run(main())


def test_a_cancelled_run_takes_no_answer(store):
    """Promise 9 and 11."""

    async def main():
        run = asking(store).start()
        await run.wait()
        (pause,) = run.pauses
        await run.cancel()
        with pytest.raises(RunFinished, match="CANCELLED"):
            await run.answer(pause.id, "yes")

    asyncio.run(main())


def test_questions_in_a_loop_have_an_id_a_round(store):
    """Promise 9: langgraph matches them by position."""

    async def main():
        graph = Graph(Review, store=store)

        @graph.node
        async def ask(state, ctx):
            return {"log": await ctx.ask(f"round {len(state.log)}")}

        graph.add_edge(START, "ask")
        graph.add_router_edge("ask", lambda s: END if s.log[-1] == "stop" else "ask", routes=["ask", END])
        run = graph.start()
        ids = []
        for word in ("a", "b", "stop"):
            await run.wait()
            (pause,) = run.pauses
            assert pause.payload == f"round {len(ids)}"
            ids.append(pause.id)
            await run.answer(pause.id, word)
        assert (await run).log == ["a", "b", "stop"]
        assert len(set(ids)) == 3

    asyncio.run(main())


def test_code_before_a_question_runs_again_but_its_kept_steps_do_not(store):
    """Promise 9 and 4."""

    async def main():
        graph = Graph(Review, store=store)
        lines, calls = [], []

        async def fetch():
            calls.append("fetch")
            return "draft"

        @graph.node
        async def ask(state, ctx):
            lines.append("first line")
            draft = await ctx.step("fetch", fetch)
            one = await ctx.ask(f"{draft} one?")
            two = await ctx.ask(f"{draft} two?")
            return {"log": f"{one} {two}"}

        run = graph.start()
        for word in ("yes", "no"):
            await run.wait()
            await run.answer(run.pauses[0].id, word)
        assert (await run).log == ["yes no"]
        assert lines == ["first line"] * 3
        assert calls == ["fetch"]

    asyncio.run(main())


def test_several_questions_of_one_node_are_open_together(store):
    """Promise 9."""

    async def main():
        graph = Graph(Review, store=store)

        @graph.node
        async def ask(state, ctx):
            both = await asyncio.gather(ctx.ask("one?", name="one"), ctx.ask("two?", name="two"))
            return {"log": " ".join(both)}

        run = graph.start()
        await run.wait()
        assert sorted(pause.payload for pause in run.pauses) == ["one?", "two?"]
        by_payload = {pause.payload: pause.id for pause in run.pauses}
        await run.answer(by_payload["two?"], "b")
        assert await run.wait() == "PAUSED"
        assert [pause.payload for pause in run.pauses] == ["one?"]
        await run.answer(by_payload["one?"], "a")
        assert (await run).log == ["a b"]

    asyncio.run(main())


def test_an_approval_is_a_pause_of_its_own_kind(store):
    """Promise 9: `pause.kind` is breakpoint, question or approval."""

    async def main():
        graph = Graph(Review, store=store)

        @graph.node(interrupt="before")
        async def ask(state, ctx):
            return {"log": str(await ctx.ask("sure?", kind="approval"))}

        run = graph.start()
        assert await run.wait() == "PAUSED"
        assert [pause.kind for pause in run.pauses] == ["breakpoint"]
        assert await run.resume() == "PAUSED"
        assert [(pause.kind, pause.payload) for pause in run.pauses] == [("approval", "sure?")]
        assert await run.resume() == "PAUSED", "resume releases breakpoints, it answers no question"
        await run.answer(run.pauses[0].id, True)
        assert (await run).log == ["True"]

    asyncio.run(main())


def test_a_pause_is_a_commit(store):
    """Promise 9: what was finished before it is in the log, and so is the question."""

    async def main():
        run = asking(store, 2).start()
        await run.wait()
        types = [entry.type for entry in await run.history()]
        assert types == ["run_started", "paused", "paused", "run_paused"]

    asyncio.run(main())
