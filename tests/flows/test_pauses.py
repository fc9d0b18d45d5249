"""Breakpoints: steps in flight finish, nothing new starts, the run is PAUSED; `resume()` releases them."""

import asyncio

import pytest

from ropewalk import END, START, Graph, GraphState, History, LastValue
from ropewalk.errors import GraphInvalid, RunPaused
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Log(GraphState):
    log: History[str]
    word: LastValue[str] = ""


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def noting(name):
    async def note(state):
        return {"log": name}

    return note


def drawn(nodes, edges, store=None):
    """Draw nodes (``b:before`` is a breakpoint) and edges (``<`` is START, ``>`` is END)."""
    graph = Graph(Log, store=store)
    for node in nodes.split():
        name, _, interrupt = node.partition(":")
        graph.add_node(noting(name), name=name, interrupt=interrupt or None)
    for edge in edges.split():
        one, _, other = edge.partition("-")
        graph.add_edge(START if one == "<" else one, END if other == ">" else other)
    return graph


async def stops(graph, *, elsewhere=False):
    """Run and resume to the end; return what had run at each stop, and the final log.

    ``elsewhere`` draws the graph again for each resume, as another process would.
    """
    run = graph.start(run_id="r")
    seen = []
    status = await run.wait()
    while status == "PAUSED":
        seen.append("".join(sorted(run.state.log)))
        assert len(seen) < 20
        if elsewhere:
            await run.let_go()
            graph = elsewhere()
            run = graph.open("r")
        status = await run.resume()
    assert status == "DONE"
    return [*seen, "".join(run.state.log)]


CASES = [
    ("a b:before c", "<-a a-b b-c c->", ["a", "abc"]),
    ("a b:after c", "<-a a-b b-c c->", ["ab", "abc"]),
    ("a b:before c d:before e", "<-a a-b b-c c-d d-e e->", ["a", "abc", "abcde"]),
    ("a b:after c d:before e", "<-a a-b b-c c-d d-e e->", ["ab", "abc", "abcde"]),
    ("a b:before c:after d:before", "<-a a-b b-c c-d d->", ["a", "abc", "abc", "abcd"]),
    ("a:before b:before", "<-a a-b b->", ["", "a", "ab"]),
    ("a b:after", "<-a a-b b->", ["ab", "ab"]),
    ("a x:before y j", "<-a a-x a-y x-j y-j j->", ["a", "axyj"]),
    ("a x y:after j", "<-a a-x a-y x-j y-j j->", ["axy", "axyj"]),
    ("a x:before y:before j", "<-a a-x a-y x-j y-j j->", ["a", "axyj"]),
    ("a x:before y:after j:before", "<-a a-x a-y x-j y-j j->", ["a", "axy", "axy", "axyj"]),
]


@pytest.mark.parametrize(("nodes", "edges", "expected"), CASES)
def test_breakpoints_hold_where_they_are_drawn_every_time(store, nodes, edges, expected):
    """primeGraph skipped every later `before` after a resume, and got diamonds wrong."""
    assert asyncio.run(stops(drawn(nodes, edges, store))) == expected


@pytest.mark.parametrize(("nodes", "edges", "expected"), CASES)
def test_breakpoints_hold_the_same_when_every_stretch_is_driven_by_another_process(store, nodes, edges, expected):
    def draw():
        return drawn(nodes, edges, store)

    assert asyncio.run(stops(draw(), elsewhere=draw)) == expected


def test_steps_in_flight_finish_and_nothing_new_starts(store):
    async def main():
        begun, gate = asyncio.Event(), asyncio.Event()
        ran = []
        graph = Graph(Log, store=store)

        @graph.node
        async def slow(state):
            begun.set()
            await gate.wait()
            return {"log": "slow"}

        @graph.node
        async def after_slow(state):
            ran.append("after_slow")
            return {"log": "after_slow"}

        @graph.node
        async def quick(state):
            await begun.wait()
            return {"log": "quick"}

        graph.add_node(noting("held"), name="held", interrupt="before")
        graph.add_edge(START, "slow").add_edge("slow", "after_slow").add_edge("after_slow", END)
        graph.add_edge(START, "quick").add_edge("quick", "held").add_edge("held", END)
        run = graph.start()
        async for event in run.events():
            if event.type == "paused":
                assert run.status == "RUNNING"
                gate.set()
        assert run.status == "PAUSED"
        assert run.state.log == ["slow", "quick"]
        assert ran == []
        assert await run.resume() == "DONE"
        assert run.state.log == ["slow", "after_slow", "quick", "held"]

    asyncio.run(main())


def test_a_breakpoint_in_a_loop_holds_every_round(store):
    async def main():
        graph = drawn("a b:before", "<-a a-b", store)
        graph.add_router_edge("b", lambda s: "a" if s.log.count("b") < 3 else END, routes=["a", END])
        assert await stops(graph) == ["a", "aab", "aaabb", "ababab"]

    asyncio.run(main())


def test_a_breakpoint_before_a_map_holds_once_and_after_it_when_all_items_are_done(store):
    async def main():
        for interrupt, expected in (("before", ["", "012e"]), ("after", ["012", "012e"])):
            graph = Graph(Log, store=store)

            async def work(item):
                return {"log": str(item)}

            graph.add_node(work, name="work", interrupt=interrupt).add_node(noting("e"), name="e").add_edge("e", END)
            graph.add_map_edge(START, "work", "e", over=lambda: range(3))
            run = graph.start()
            seen = []
            while await run.wait() == "PAUSED":
                seen.append("".join(run.state.log))
                assert len(run.pauses) == 1
                await run.resume()
            assert [*seen, "".join(run.state.log)] == expected

    asyncio.run(main())


def test_a_breakpoint_after_a_node_comes_before_its_router_chooses(store):
    async def main():
        graph = drawn("a:after b c", "<-a b-> c->", store)
        graph.add_router_edge("a", lambda state: state.word or "b", routes=["b", "c"])
        run = graph.start()
        await run.wait()
        await run.edit({"word": "c"})
        assert await run.resume() == "DONE"
        assert run.state.log == ["a", "c"]

    asyncio.run(main())


def test_a_breakpoint_is_a_pause_with_id_kind_node_and_payload(store):
    async def main():
        run = drawn("a b:before", "<-a a-b b->", store).start()
        with pytest.raises(RunPaused, match=r"breakpoint 'p_\w+' at 'b'") as caught:
            await run
        (pause,) = run.pauses
        assert caught.value.pauses == (pause,)
        assert (pause.kind, pause.node, pause.payload) == ("breakpoint", "b", {"when": "before"})
        assert pause.id.startswith("p_")

    asyncio.run(main())


def test_one_of_several_breakpoints_may_be_released_by_its_id(store):
    async def main():
        run = drawn("x:before y:before j", "<-x <-y x-j y-j j->", store).start()
        await run.wait()
        assert [pause.node for pause in run.pauses] == ["x", "y"]
        await run.answer(run.pauses[1].id)
        assert await run.wait() == "PAUSED"
        assert [pause.node for pause in run.pauses] == ["x"]
        assert await run.resume() == "DONE"
        assert run.state.log == ["x", "y", "j"]

    asyncio.run(main())


def test_a_breakpoint_waits_while_a_question_is_open_and_the_other_way_round(store):
    async def main():
        graph = drawn("held:before", "<-held held->", store)

        @graph.node
        async def ask(ctx):
            return {"log": await ctx.ask("go?")}

        graph.add_edge(START, "ask").add_edge("ask", END)
        run = graph.start()
        assert await run.wait() == "PAUSED"
        kinds = sorted(pause.kind for pause in run.pauses)
        assert kinds in (["breakpoint"], ["breakpoint", "question"]), "a breakpoint lets nothing new start"
        assert await run.resume() == "PAUSED"
        assert [pause.kind for pause in run.pauses] == ["question"]
        await run.answer(run.pauses[0].id, "yes")
        assert (await run).log == ["held", "yes"]

    asyncio.run(main())


def test_an_unknown_interrupt_is_a_compile_error():
    with pytest.raises(GraphInvalid, match="interrupt='befor'"):
        drawn("a:befor", "<-a a->").compile()
