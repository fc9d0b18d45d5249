"""Subgraphs: nested to any depth, with routers, loops, breakpoints and questions inside; one state, one log."""

import asyncio

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue
from ropewalk.errors import GraphInvalid
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Log(GraphState):
    log: History[str]
    n: Incremental[int] = 0
    kind: LastValue[str] = "x"


@pytest.fixture(params=["none", "memory", "sqlite"])
def store(request, tmp_path):
    kept = {"none": lambda: None, "memory": MemoryRunStore, "sqlite": lambda: SqliteRunStore(tmp_path / "runs.db")}
    made = kept[request.param]()
    yield made
    if made is not None:
        asyncio.run(made.close())


def noting(name):
    async def note(state):
        return {"log": name, "n": 1}

    return note


def chain(graph, *names, nodes=()):
    """Add the nodes that are not there yet, and edges from START through all of them to END."""
    for name in names:
        if name not in nodes:
            graph.add_node(noting(name), name=name)
    for one, other in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(one, other)
    return graph


def test_a_subgraph_runs_as_one_node_and_shares_state_and_log(store):
    async def main():
        graph = Graph(Log, store=store)

        @graph.subgraph()
        def sub():
            return chain(Graph(Log), "one", "two")

        run = chain(graph, "a", "sub", "b", nodes=["sub"]).start()
        assert (await run).log == ["a", "one", "two", "b"]
        nodes = [entry.node for entry in await run.history() if entry.type == "step_finished"]
        assert nodes == ["a", "sub/one", "sub/two", "b"]

    asyncio.run(main())


def test_subgraphs_nest_to_any_depth():
    def nested(depth):
        graph = Graph(Log)
        if depth:
            graph.subgraph(name="sub")(lambda: nested(depth - 1))
            return chain(graph, f"in{depth}", "sub", f"out{depth}", nodes=["sub"])
        return chain(graph, "core")

    graph = nested(20)
    expected = [f"in{depth}" for depth in range(20, 0, -1)] + ["core"] + [f"out{depth}" for depth in range(1, 21)]
    assert graph.run_sync().log == expected


def with_router(kind):
    """A subgraph that routes by `kind`, with a loop inside."""
    graph = Graph(Log)

    @graph.subgraph()
    def sub():
        inner = Graph(Log)
        for name in ("begin", "left", "right"):
            inner.add_node(noting(name), name=name)

        @inner.node
        async def decide(state):
            return "left" if state.kind == "x" else "right"

        inner.add_edge(START, "begin").add_router_edge("begin", "decide")
        inner.add_router_edge("left", lambda s: "left" if s.log.count("left") < 3 else END, routes=["left", END])
        return inner.add_edge("right", END)

    return chain(graph, "a", "sub", "b", nodes=["sub"]).run_sync(Log(kind=kind)).log


def test_a_subgraph_may_hold_routers_and_loops():
    """primeGraph refused them at compile."""
    assert with_router("x") == ["a", "begin", "left", "left", "left", "b"]
    assert with_router("y") == ["a", "begin", "right", "b"]


def test_a_subgraph_may_be_the_target_of_a_router_and_have_several_successors():
    """primeGraph: a compile error, and a lost successor."""
    graph = Graph(Log)

    @graph.subgraph()
    def sub():
        return chain(Graph(Log), "one")

    for name in ("a", "b", "c", "other"):
        graph.add_node(noting(name), name=name)
    graph.add_edge(START, "a").add_router_edge("a", lambda: "sub", routes=["sub", "other"])
    graph.add_edge("sub", "b").add_edge("sub", "c").add_edge("b", END).add_edge("c", END).add_edge("other", END)
    assert graph.run_sync().log == ["a", "one", "b", "c"]


def test_the_exit_edge_of_a_subgraph_may_be_drawn_before_its_entry():
    """primeGraph dropped it."""
    graph = Graph(Log)

    @graph.subgraph()
    def sub():
        return chain(Graph(Log), "one")

    graph.add_node(noting("b"), name="b")
    graph.add_edge("b", END).add_edge("sub", "b").add_edge(START, "sub")
    assert graph.run_sync().log == ["one", "b"]


def test_the_end_of_a_subgraph_ends_only_itself_once_all_its_branches_are_there():
    graph = Graph(Log)

    @graph.subgraph()
    def sub():
        inner = Graph(Log)
        for name in ("quick", "slow", "slower"):
            inner.add_node(noting(name), name=name)
        inner.add_edge(START, "quick").add_edge("quick", END)
        return inner.add_edge(START, "slow").add_edge("slow", "slower").add_edge("slower", END)

    assert chain(graph, "a", "sub", "b", nodes=["sub"]).run_sync().log == ["a", "quick", "slow", "slower", "b"]


def test_two_subgraphs_side_by_side_join_in_declared_order():
    graph = Graph(Log)
    for side in ("left", "right"):
        graph.subgraph(name=side)(lambda side=side: chain(Graph(Log), f"{side} 1", f"{side} 2"))
        graph.add_edge(START, side)
    graph.add_node(noting("join"), name="join").add_edge("left", "join").add_edge("right", "join").add_edge("join", END)
    assert graph.run_sync().log == ["left 1", "left 2", "right 1", "right 2", "join"]


def test_a_subgraph_in_a_loop_starts_afresh_each_time():
    graph = Graph(Log)

    @graph.subgraph()
    def sub():
        return chain(Graph(Log), "one", "two")

    graph.add_edge(START, "sub").add_router_edge("sub", lambda s: "sub" if s.n < 6 else END, routes=["sub", END])

    async def main():
        run = graph.start()
        assert (await run).log == ["one", "two"] * 3
        steps = [entry.data["step"] for entry in await run.history() if entry.type == "step_finished"]
        assert steps == [f"sub#{n}/{name}#1" for n in (1, 2, 3) for name in ("one", "two")]

    asyncio.run(main())


@pytest.mark.parametrize("interrupt", ["before", "after"])
def test_a_breakpoint_on_the_subgraph_itself_holds(store, interrupt):
    """primeGraph ignored it."""

    async def main():
        graph = Graph(Log, store=store)

        @graph.subgraph(interrupt=interrupt)
        def sub():
            return chain(Graph(Log), "one", "two")

        run = chain(graph, "a", "sub", "b", nodes=["sub"]).start()
        assert await run.wait() == "PAUSED"
        assert run.state.log == (["a"] if interrupt == "before" else ["a", "one", "two"])
        assert [(pause.kind, pause.node) for pause in run.pauses] == [("breakpoint", "sub")]
        assert await run.resume() == "DONE"
        assert run.state.log == ["a", "one", "two", "b"]

    asyncio.run(main())


def test_breakpoints_and_questions_inside_a_subgraph_are_named_with_its_path(store):
    async def main():
        graph = Graph(Log, store=store)

        @graph.subgraph()
        def outer():
            middle = Graph(Log)

            @middle.subgraph()
            def inner():
                deep = Graph(Log)
                deep.add_node(noting("held"), name="held", interrupt="before")

                @deep.node
                async def ask(ctx):
                    return {"log": await ctx.ask("go?")}

                return chain(deep, "held", "ask", nodes=["held", "ask"])

            return chain(middle, "m", "inner", nodes=["inner"])

        run = chain(graph, "a", "outer", "b", nodes=["outer"]).start()
        assert await run.wait() == "PAUSED"
        assert [(pause.kind, pause.node) for pause in run.pauses] == [("breakpoint", "outer/inner/held")]
        assert await run.resume() == "PAUSED"
        assert [(pause.kind, pause.node) for pause in run.pauses] == [("question", "outer/inner/ask")]
        await run.answer(run.pauses[0].id, "yes")
        assert (await run).log == ["a", "m", "held", "yes", "b"]

    asyncio.run(main())


def test_a_resumed_subgraph_goes_on_where_it_was():
    """langgraph #8458: asked to go on at c, it ran a, b, c."""

    async def main():
        ran = []
        store = MemoryRunStore()

        def drawn():
            graph = Graph(Log, store=store)

            @graph.subgraph()
            def sub():
                inner = Graph(Log)
                for name in "abc":
                    inner.add_node(
                        lambda name=name: ran.append(name), name=name, interrupt="before" if name == "c" else None
                    )
                return chain(inner, "a", "b", "c", nodes="abc")

            return chain(graph, "sub", nodes=["sub"])

        run = drawn().start(run_id="r")
        assert await run.wait() == "PAUSED"
        assert ran == ["a", "b"]
        again = drawn().open("r")
        assert await again.resume() == "DONE"
        assert ran == ["a", "b", "c"]

    asyncio.run(main())


def test_a_subgraph_of_one_node_needs_no_edges():
    graph = Graph(Log)

    @graph.subgraph()
    def sub():
        return Graph(Log).add_node(noting("only"), name="only")

    assert chain(graph, "sub", nodes=["sub"]).run_sync().log == ["only"]


def test_nodes_in_different_subgraphs_may_have_one_name():
    graph = Graph(Log)
    for side in ("left", "right"):
        graph.subgraph(name=side)(lambda side=side: chain(Graph(Log), "work"))
    assert chain(graph, "left", "right", "work", nodes=["left", "right"]).run_sync().log == ["work"] * 3


def test_a_subgraph_may_declare_a_part_of_the_state():
    class Part(GraphState):
        log: History[str]

    class Whole(Part):
        more: LastValue[str] = ""

    graph = Graph(Whole)

    @graph.subgraph()
    def sub():
        inner = Graph(Part)

        @inner.node
        async def work(state: Part):
            state.log.append("part")
            return {}

        return inner

    assert chain(graph, "sub", nodes=["sub"]).run_sync().log == ["part"]


def test_a_subgraph_whose_state_has_fields_of_its_own_is_a_compile_error():
    """primeGraph: a KeyError at run time."""

    class Other(GraphState):
        log: History[str]
        secret: LastValue[str] = ""

    graph = Graph(Log)
    graph.subgraph(name="sub")(lambda: Graph(Other).add_node(noting("x"), name="x"))
    with pytest.raises(GraphInvalid, match=r"'sub'.*Other.*secret"):
        chain(graph, "sub", nodes=["sub"]).compile()


def test_mistakes_inside_a_subgraph_are_told_with_its_name():
    graph = Graph(Log)
    graph.subgraph(name="sub")(lambda: Graph(Log).add_node(noting("x"), name="x").add_edge(START, "y"))
    with pytest.raises(GraphInvalid, match=r"In subgraph 'sub': .*'y'"):
        chain(graph, "sub", nodes=["sub"]).compile()


def test_a_function_that_draws_no_graph_is_refused_at_once():
    with pytest.raises(TypeError, match=r"'sub' returned None.*Return the Graph"):
        Graph(Log).subgraph(name="sub")(lambda: None)


def test_a_drawing_may_be_a_subgraph_and_a_graph_of_its_own():
    inner = chain(Graph(Log), "one")
    assert inner.run_sync().log == ["one"]
    graph = Graph(Log)
    graph.subgraph(name="sub")(lambda: inner)
    assert chain(graph, "sub", nodes=["sub"]).run_sync().log == ["one"]
