"""Runs: many at once, one kept by the graph, waiting, the user's own state object, the one synchronous door."""

import asyncio
import contextvars
import threading

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue, RunStatus
from ropewalk.errors import (
    EntryNotFound,
    RunCancelled,
    RunExists,
    RunFailed,
    RunInterrupted,
    RunNotFound,
    RunPaused,
    StoreUnavailable,
)
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Work(GraphState):
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


def working(store=None, **settings):
    graph = Graph(Work, store=store, **settings)

    @graph.node
    async def one(state):
        return {"log": f"{state.word}1", "count": 1}

    @graph.node
    async def two(state):
        return {"log": f"{state.word}2", "count": 1}

    return graph.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)


# -- many runs


def test_many_runs_of_one_graph_go_on_together_and_share_nothing(store):
    """primeGraph mixed the states of two."""

    async def main():
        graph = working(store).compile()
        runs = [graph.start(Work(word=f"w{number}.")) for number in range(100)]
        states = await asyncio.gather(*runs)
        assert [state.log for state in states] == [[f"w{n}.1", f"w{n}.2"] for n in range(100)]
        assert len({run.run_id for run in runs}) == 100

    asyncio.run(main())


def test_runs_wait_for_each_other_only_where_their_nodes_do(store):
    async def main():
        graph = Graph(Work, store=store)
        gates = [asyncio.Event() for _ in range(10)]

        @graph.node
        async def wait(state):
            await gates[state.count].wait()
            return {"log": "through"}

        runs = [graph.start(Work(count=number)) for number in range(10)]
        for number in reversed(range(10)):
            gates[number].set()
            assert await runs[number].wait() == "DONE"

    asyncio.run(main())


def test_start_returns_at_once_and_needs_a_loop():
    async def main():
        run = working().start()
        assert run.status == RunStatus.IDLE
        await run
        assert run.status == "DONE"

    asyncio.run(main())
    with pytest.raises(RuntimeError, match="run_sync"):
        working().start()


def test_a_run_goes_on_when_nobody_holds_it(store):
    async def main():
        done = asyncio.Event()
        graph = Graph(Work, store=store)

        @graph.node
        async def work(state):
            for _ in range(5):
                await asyncio.sleep(0)
            done.set()

        graph.start()
        async with asyncio.timeout(5):
            await done.wait()

    asyncio.run(main())


def test_a_run_can_be_awaited_many_times_and_by_many(store):
    async def main():
        run = working(store).start()
        states = await asyncio.gather(*(as_task(run) for _ in range(5)))
        assert all(state == states[0] for state in states)
        assert await run == states[0]
        assert await run.wait() == "DONE"

    async def as_task(run):
        return await run

    asyncio.run(main())


def test_the_state_of_a_run_is_the_reader_s_own_copy(store):
    async def main():
        run = working(store).start()
        state = await run
        state.log.append("mine")
        assert run.state.log == ["1", "2"]
        assert type(run.state) is Work

    asyncio.run(main())


def test_opening_gives_the_run_wherever_it_was_started():
    async def main():
        store = MemoryRunStore()
        run = working(store).start(run_id="r")
        await run
        again = working(store).open("r")
        assert (again.run_id, again.status, again.state) == ("r", "DONE", run.state)
        assert await again == run.state
        assert await again.history() == await run.history()

    asyncio.run(main())


def test_an_unknown_run_is_named(store):
    with pytest.raises(RunNotFound, match="'nobody'"):
        working(store).open("nobody")


def test_awaiting_a_run_that_did_not_end_well_says_how(store):
    async def main():
        graph = Graph(Work, store=store)

        @graph.node
        async def work(state, ctx):
            if state.word == "ask":
                await ctx.ask("go?")
            if state.word == "fail":
                raise OSError("down")
            await asyncio.Event().wait()

        with pytest.raises(RunPaused):
            await graph.start(Work(word="ask"))
        with pytest.raises(RunFailed):
            await graph.start(Work(word="fail"))
        run = graph.start()
        await run.admitted()
        await run.cancel()
        with pytest.raises(RunCancelled):
            await run

    asyncio.run(main())


def test_a_node_may_start_and_await_runs_of_another_graph_and_of_its_own(store):
    async def main():
        inner = working(store)
        graph = Graph(Work, store=store)

        @graph.node
        async def work(state):
            if state.count:
                return {"log": "deep"}
            one = await inner.start(Work(word="in"))
            two = await graph.start(Work(count=1))
            return {"log": f"{one.log} {two.log}"}

        assert (await graph.start()).log == ["['in1', 'in2'] ['deep']"]

    asyncio.run(main())


def test_context_variables_of_the_starter_reach_the_nodes():
    """langgraph lost them in async nodes on Python 3.10."""
    user = contextvars.ContextVar("user", default="nobody")

    async def main():
        graph = Graph(Work)

        @graph.node
        async def one(state):
            return {"log": user.get()}

        @graph.node
        def two(state):
            return {"log": user.get()}

        graph.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)
        user.set("ann")
        assert (await graph.start()).log == ["ann", "ann"]

    asyncio.run(main())


# -- the synchronous door


def test_run_sync_runs_in_plain_code_and_refuses_a_running_loop(store):
    graph = working(store)
    assert graph.run_sync(Work(word="x")).log == ["x1", "x2"]
    assert graph.run_sync().log == ["1", "2"]

    async def main():
        with pytest.raises(RuntimeError, match=r"graph.start\(state\)"):
            graph.run_sync()

    asyncio.run(main())


def test_run_sync_works_in_many_threads_at_once(store):
    graph = working(store).compile()
    results = []

    def body(number):
        results.append(graph.run_sync(Work(word=f"t{number}.")).log)

    threads = [threading.Thread(target=body, args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [[f"t{n}.1", f"t{n}.2"] for n in range(5)]


def test_run_sync_raises_what_awaiting_raises():
    graph = Graph(Work).add_node(lambda: 1 / 0, name="work")
    with pytest.raises(RunFailed, match="division") as caught:
        graph.run_sync()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# -- one run, kept by the graph (the seeds' way)


def test_execute_returns_the_run_id_and_the_graph_holds_the_run(store):
    async def main():
        state = Work(word="x")
        graph = working(store)
        graph.state = state
        assert graph.chain_status == RunStatus.IDLE
        run_id = await graph.execute()
        assert graph.chain_id == run_id
        assert graph.chain_status == RunStatus.DONE
        assert graph.run.run_id == run_id
        assert graph.state is state
        assert state == Work(log=["x1", "x2"], count=2, word="x")

    asyncio.run(main())


def test_the_user_s_own_state_object_mirrors_the_run_at_every_stop(store):
    async def main():
        state = Work(word="x")
        graph = Graph(state, store=store)
        graph.add_node(lambda: {"log": "a"}, name="a").add_node(lambda: {"log": "b"}, name="b", interrupt="before")
        graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
        await graph.execute()
        assert graph.chain_status == RunStatus.PAUSE == "PAUSED"
        assert state.log == ["a"]
        await graph.resume()
        assert state.log == ["a", "b"]

    asyncio.run(main())


def test_a_second_execute_goes_on_from_the_accumulated_state_with_a_new_id(store):
    async def main():
        state = Work()
        graph = Graph(state, store=store)
        graph.add_node(lambda: {"count": 1}, name="work")
        ids = [await graph.execute() for _ in range(3)]
        assert state.count == 3
        assert len(set(ids)) == 3

    asyncio.run(main())


def test_the_initial_values_are_what_the_object_held_when_execute_was_called(store):
    async def main():
        state = Work()
        graph = Graph(state, store=store)
        graph.add_node(lambda state: {"log": f"saw {state.word}"}, name="work")
        state.word = "changed by hand"
        await graph.execute()
        state.log.clear()
        state.word = "again"
        await graph.execute()
        assert state.log == ["saw again"]

    asyncio.run(main())


def test_a_chain_id_may_be_given_to_the_graph_or_to_execute(store):
    async def main():
        graph = working(store, chain_id="chain-1")
        assert graph.chain_id == "chain-1"
        assert await graph.execute() == "chain-1"
        assert await graph.execute() != "chain-1"
        assert await graph.execute(chain_id="chain-3") == "chain-3"
        with pytest.raises(RunExists):
            await graph.execute(chain_id="chain-3")

    asyncio.run(main())


def test_execute_takes_an_initial_state_by_name_and_in_first_place(store):
    async def main():
        graph = working(store)
        await graph.execute(initial_state=Work(word="a"))
        assert graph.state.log == ["a1", "a2"]
        await graph.execute(Work(word="b"))
        assert graph.state.log == ["b1", "b2"]
        with pytest.raises(TypeError, match="Work"):
            await graph.execute(object())

    asyncio.run(main())


def test_execute_raises_when_the_run_fails_and_keeps_the_state(store):
    async def main():
        graph = Graph(Work, store=store)
        graph.add_node(lambda: {"log": "a"}, name="a").add_node(lambda: 1 / 0, name="b")
        graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
        with pytest.raises(RunFailed, match="division") as caught:
            await graph.execute()
        assert isinstance(caught.value, RuntimeError)
        assert graph.chain_status == RunStatus.FAILED
        assert graph.state.log == ["a"]

    asyncio.run(main())


def test_resume_after_the_end_does_nothing(store):
    """primeGraph set the status to RUNNING and returned."""

    async def main():
        graph = working(store)
        run_id = await graph.execute()
        assert await graph.resume() == run_id
        assert graph.chain_status == RunStatus.DONE
        assert graph.state.log == ["1", "2"]

    asyncio.run(main())


def test_resume_without_a_run_says_so(store):
    async def main():
        with pytest.raises(RunNotFound):
            await working(store).resume()

    asyncio.run(main())


def test_an_execute_that_was_cancelled_by_wait_for_can_be_resumed(store):
    """primeGraph left it RUNNING, with no checkpoint."""

    async def main():
        gate, ended = asyncio.Event(), []
        graph = Graph(Work, store=store)

        @graph.node
        async def one(state):
            return {"log": "one"}

        @graph.node
        async def two(state, ctx):
            try:
                await gate.wait()
            finally:
                ended.append(ctx.attempt)
            return {"log": f"two at attempt {ctx.attempt}"}

        graph.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(graph.execute(), 0.5)
        assert ended == [1], "its code was cancelled and cleaned up"
        assert len(asyncio.all_tasks()) == 1
        assert graph.state.log == ["one"]
        with pytest.raises(RunInterrupted):
            await graph.run
        gate.set()
        await graph.resume()
        assert graph.chain_status == RunStatus.DONE
        assert graph.state.log == ["one", "two at attempt 2"]

    asyncio.run(main())


def test_a_second_execute_leaves_the_first_run_as_it_was(store):
    async def main():
        graph = Graph(Work, store=store)
        graph.add_node(lambda: {"log": "x"}, name="a", interrupt="before")
        first = await graph.execute()
        second = await graph.execute()
        assert first != second
        assert graph.chain_id == second
        await graph.resume()
        assert graph.chain_status == "DONE"
        if store is not None:
            assert graph.open(first).status == "PAUSED"

    asyncio.run(main())


def test_two_executes_at_once_are_two_runs(store):
    """primeGraph: both returned B, with one mixed state."""

    async def main():
        graph = Graph(Work(), store=store)
        together = asyncio.Barrier(2)

        @graph.node
        async def work(state):
            await together.wait()
            return {"count": 1}

        ids = await asyncio.gather(graph.execute(chain_id="A"), graph.execute(chain_id="B"))
        assert ids == ["A", "B"]
        if store is not None:
            assert [graph.open(run_id).state.count for run_id in ids] == [1, 1]

    asyncio.run(main())


def test_the_timeout_of_execute_is_its_first_or_a_named_parameter(store):
    async def main():
        graph = Graph(Work, store=store)

        @graph.node
        async def slow(state):
            await asyncio.Event().wait()

        for arguments, named in (((0.05,), {}), ((), {"timeout": 0.05})):
            with pytest.raises(RunFailed, match=r"execution_timeout of 0\.05 s"):
                await graph.execute(*arguments, **named)
        with pytest.raises(RunFailed, match=r"execution_timeout of 0\.02 s"):
            await graph.resume(timeout=0.02)

    asyncio.run(main())


def test_a_checkpoint_is_loaded_by_another_graph_object():
    async def main():
        store = MemoryRunStore()

        def drawn(state):
            graph = Graph(state, store=store)
            graph.add_node(lambda: {"log": "a"}, name="a").add_node(lambda: {"log": "b"}, name="b", interrupt="before")
            return graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)

        run_id = await drawn(Work(word="w")).execute()
        state = Work()
        graph = drawn(state)
        graph.load_from_checkpoint(run_id)
        assert (graph.chain_id, graph.chain_status) == (run_id, "PAUSED")
        assert state == Work(log=["a"], word="w")
        await graph.resume()
        assert state.log == ["a", "b"]
        with pytest.raises(RunNotFound):
            graph.load_from_checkpoint("nobody")
        by_class = Graph(Work, store=store)
        by_class.add_node(lambda: {"log": "a"}, name="a")
        by_class.add_node(lambda: {"log": "b"}, name="b", interrupt="before")
        by_class.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
        by_class.load_from_checkpoint(run_id)
        assert by_class.state.log == ["a", "b"]

    asyncio.run(main())


def test_an_earlier_checkpoint_is_an_entry_and_going_on_from_it_is_a_fork():
    """Time travel; primeGraph resumed an older checkpoint at the end."""

    async def main():
        store = MemoryRunStore()
        graph = working(store)
        run_id = await graph.execute()
        graph.load_from_checkpoint(run_id, "2")
        assert graph.state.log == ["1"]
        await graph.resume()
        assert graph.chain_status == "DONE"
        assert graph.state.log == ["1", "2"]
        assert graph.chain_id != run_id
        assert graph.open(run_id).status == "DONE"
        with pytest.raises(EntryNotFound):
            graph.load_from_checkpoint(run_id, "99")

    asyncio.run(main())


def test_load_from_checkpoint_works_in_plain_code_and_inside_a_loop(tmp_path):
    graph = working(f"sqlite:///{tmp_path / 'runs.db'}")
    run_id = asyncio.run(graph.execute())
    fresh = working(f"sqlite:///{tmp_path / 'runs.db'}")
    fresh.load_from_checkpoint(run_id)
    assert fresh.state.log == ["1", "2"]

    async def main():
        another = working(f"sqlite:///{tmp_path / 'runs.db'}")
        another.load_from_checkpoint(run_id)
        assert another.state.log == ["1", "2"]
        await another.store.close()

    asyncio.run(main())
    for used in (graph, fresh):
        asyncio.run(used.store.close())


def test_a_graph_goes_on_in_another_loop(store):
    """Each asyncio.run() is a loop of its own: pause in one, go on in the next."""
    graph = Graph(Work(), store=store)
    graph.add_node(lambda: {"log": "a"}, name="a").add_node(lambda: {"log": "b"}, name="b", interrupt="before")
    graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    asyncio.run(graph.execute())
    assert graph.state.log == ["a"]
    asyncio.run(graph.resume())
    assert graph.state.log == ["a", "b"]


def test_a_run_whose_loop_was_closed_goes_on_in_the_next(store):
    graph = Graph(Work(), store=store)
    hang = [True]

    @graph.node
    async def work(state, ctx):
        if hang:
            await asyncio.Event().wait()
        return {"log": f"attempt {ctx.attempt}"}

    async def start_and_leave():
        run = graph.start(run_id="r")
        await run.admitted()
        for _ in range(5):
            await asyncio.sleep(0)
        return run

    run = asyncio.run(start_and_leave())
    hang.clear()

    async def go_on():
        assert await run.resume() == "DONE"
        return run.state

    assert asyncio.run(go_on()).log == ["attempt 2"]


class Noted(GraphState):
    log: History[str]
    value: str = "a"


def noting(**given):
    """`first` waits for its gate, `second` says what it sees."""
    graph = Graph(Noted(), **given)
    graph.gate, graph.begun = asyncio.Event(), asyncio.Event()

    @graph.node
    async def first(state):
        graph.begun.set()
        await graph.gate.wait()
        return {"log": "first"}

    @graph.node
    async def second(state):
        return {"log": f"saw {state.value} and {state.log}"}

    return graph.add_edge(START, "first").add_edge("first", "second").add_edge("second", END)


def test_what_is_written_while_the_graph_executes_is_seen_by_what_starts_later():
    async def main():
        graph = noting(store="memory:")
        going = asyncio.create_task(graph.execute())
        await graph.begun.wait()
        graph.update_state_and_checkpoint({"log": "one"})
        graph.update_state_and_checkpoint({"value": "two"})
        await asyncio.sleep(0)
        graph.update_state_and_checkpoint({"log": "three"})
        while not any("three" in str(entry.data) for entry in await graph.run.history()):
            await asyncio.sleep(0)
        graph.gate.set()
        await going
        assert graph.state.value == "two"
        assert graph.state.log[-1] == "saw two and ['first', 'one', 'three']"
        assert [entry.type for entry in await graph.run.history()].count("state_edited") >= 1

    asyncio.run(main())


@pytest.mark.parametrize("is_async", [True, False])
def test_a_node_may_write_through_its_graph_while_it_runs(is_async):
    async def main():
        graph = Graph(Noted(), store="memory:")

        def write(state):
            graph.update_state_and_checkpoint({"value": "from inside"})

        async def write_async(state):
            write(state)
            await asyncio.sleep(0.01)

        graph.add_node(write_async if is_async else write, name="write")
        graph.add_node(lambda state: {"log": f"saw {state.value}"}, name="look")
        graph.add_edge(START, "write").add_edge("write", "look").add_edge("look", END)
        await graph.execute()
        assert graph.state.log == ["saw from inside"]

    asyncio.run(main())


@pytest.mark.parametrize("replace", [True, False])
def test_an_edit_at_an_earlier_checkpoint_is_the_fork_s(replace):
    async def main():
        graph = noting(store="memory:")
        graph.gate.set()
        parent = await graph.execute()
        graph.load_from_checkpoint(parent, "2")
        edit = graph.set_state_and_checkpoint if replace else graph.update_state_and_checkpoint
        edit({"value": "EDITED"})
        assert graph.state.value == "EDITED"
        await graph.resume()
        assert graph.chain_id != parent
        assert graph.state.log[-1] == "saw EDITED and ['first']"
        assert [entry.type for entry in await graph.run.history()][2:4] == ["run_started", "state_edited"]
        assert "state_edited" not in [entry.type for entry in await graph.open(parent).history()]

    asyncio.run(main())


def test_what_is_written_after_the_end_is_what_the_next_run_begins_with():
    async def main():
        graph = noting(store="memory:")
        graph.gate.set()
        await graph.execute()
        graph.update_state_and_checkpoint({"value": "after"})
        assert graph.state.value == "after"
        await graph.resume()
        assert graph.state.value == "after"
        await graph.execute()
        assert "saw after" in graph.state.log[-1]

    asyncio.run(main())


class RefusesForks(MemoryRunStore):
    """Is away once, when a fork is to be admitted."""

    is_away = True

    async def create(self, run, bodies):
        if run.parent is not None and self.is_away:
            self.is_away = False
            raise StoreUnavailable("The store is away.")
        return await super().create(run, bodies)


def test_a_fork_that_could_not_be_made_is_made_by_the_next_resume_with_its_edits():
    async def main():
        graph = noting(store=RefusesForks())
        graph.gate.set()
        parent = await graph.execute()
        graph.load_from_checkpoint(parent, "2")
        graph.update_state_and_checkpoint({"value": "EDITED"})
        with pytest.raises(StoreUnavailable):
            await graph.resume()
        await graph.resume()
        assert graph.chain_id != parent
        assert graph.state.log[-1] == "saw EDITED and ['first']"

    asyncio.run(main())
