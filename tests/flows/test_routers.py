"""Routers: what may choose a way, what may be chosen, and how the choices are found."""

import asyncio
from typing import Literal

import pytest
from pydantic import BaseModel

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue, Send
from ropewalk.errors import GraphInvalid, RunFailed
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore

WAYS = {"low": "b", "high": "c"}


class Log(GraphState):
    log: History[str]
    n: Incremental[int] = 0
    kind: LastValue[str] = "low"


def noting(name):
    async def note(state):
        return {"log": name}

    return note


def forked(router, routes=None, *, state=None, nodes="abc"):
    """`a`, then what ``router`` chooses of `b` and `c`; return the log."""
    graph = Graph(Log)
    for name in nodes:
        graph.add_node(noting(name), name=name)
    graph.add_edge(START, "a")
    graph.add_router_edge("a", router, routes)
    for name in nodes[1:]:
        graph.add_edge(name, END)
    return graph, graph.run_sync(state).log


def routes_of(graph):
    (router,) = graph.plan.by_name["a"].routers
    return sorted(router.routes), router.open


def by_literal(state) -> Literal["b", "c"]:
    return WAYS[state.kind]


def by_source(state):
    if state.kind == "low":
        return "b"
    return "c"


def by_ternary(state):
    return "b" if state.kind == "low" else "c"


def by_lookup(state):
    return WAYS[state.kind]


async def by_async(state):
    await asyncio.sleep(0)
    return "b" if state.kind == "low" else "c"


def to_the_end(state):
    if state.kind == "high":
        return "c"
    return END


def by_match(state):
    match state.kind:
        case "low":
            return "b"
        case _:
            return "c"


class ByObject:
    def __call__(self, state):
        return "b" if state.kind == "low" else "c"


class ByMethod:
    def choose(self, state):
        return "b"


def test_routes_are_read_from_a_literal_return_type():
    graph, log = forked(by_literal)
    assert log == ["a", "b"]
    assert routes_of(graph) == (["b", "c"], False)


@pytest.mark.parametrize("router", [by_source, by_ternary, by_async, by_match, ByObject()])
def test_routes_are_found_in_the_source(router):
    graph, log = forked(router)
    assert log == ["a", "b"]
    assert routes_of(graph) == (["b", "c"], False)
    assert forked(router, state=Log(kind="high"))[1] == ["a", "c"]


def test_end_is_a_route():
    graph = Graph(Log)
    for name in "ac":
        graph.add_node(noting(name), name=name)
    graph.add_edge(START, "a").add_router_edge("a", to_the_end).add_edge("c", END)
    assert graph.run_sync().log == ["a"]
    assert routes_of(graph) == ([END, "c"], False)


@pytest.mark.parametrize("router", [by_lookup, lambda state: WAYS[state.kind]])
def test_routes_that_cannot_be_found_are_checked_when_it_happens(router):
    graph, log = forked(router)
    assert log == ["a", "b"]
    assert routes_of(graph)[1] is True
    WAYS["odd"] = "z"
    try:
        with pytest.raises(RunFailed, match=r"'a' chose 'z'"):
            forked(router, state=Log(kind="odd"))
    finally:
        del WAYS["odd"]


def test_routes_may_be_declared():
    graph, log = forked(by_lookup, ["b", "c"])
    assert log == ["a", "b"]
    assert routes_of(graph) == (["b", "c"], False)


def test_a_method_and_a_function_without_source_may_route():
    assert forked(ByMethod().choose, nodes="ab")[1] == ["a", "b"]
    namespace = {}
    exec("def route(state):\n    return 'b'", namespace)
    assert forked(namespace["route"])[1] == ["a", "b"]


def test_string_literals_of_inner_functions_are_no_routes():
    """primeGraph took them for routes."""

    def router(state):
        def label():
            return "not a node"

        return "b" if label() else "c"

    assert routes_of(forked(router)[0]) == (["b", "c"], False)


def test_a_router_may_take_nothing():
    assert forked(lambda: "c")[1] == ["a", "c"]


def test_a_router_may_choose_several_in_any_collection():
    for chosen in (["b", "c"], ("c", "b"), {"b", "c"}):
        assert forked(lambda chosen=chosen: chosen)[1] == ["a", "b", "c"]


def test_an_empty_choice_ends_the_branch():
    assert forked(lambda: [])[1] == ["a"]


def test_start_may_have_a_router():
    graph = Graph(Log)
    for name in "ab":
        graph.add_node(noting(name), name=name).add_edge(name, END)
    graph.add_router_edge(START, lambda state: "a" if state.kind == "low" else "b", routes=["a", "b"])
    assert graph.run_sync(Log(kind="low")).log == ["a"]
    assert graph.run_sync(Log(kind="high")).log == ["b"]


def test_a_node_may_route_by_what_it_returns():
    """Seed 000: the router is a node, and its string is the way."""
    graph = Graph(Log)
    for name in "abc":
        graph.add_node(noting(name), name=name)

    @graph.node
    def route(state):
        state.log.append("routing")
        if state.kind == "low":
            return "b"
        return "c"

    graph.add_edge(START, "a").add_router_edge("a", "route").add_edge("b", END).add_edge("c", END)
    assert graph.run_sync().log == ["a", "routing", "b"]


def test_the_targets_of_a_router_may_be_declared_after_it():
    """primeGraph wanted them before."""
    graph = Graph(Log).add_node(noting("a"), name="a").add_edge(START, "a")
    graph.add_router_edge("a", by_source)
    for name in "bc":
        graph.add_node(noting(name), name=name).add_edge(name, END)
    assert graph.run_sync().log == ["a", "b"]


def test_a_node_may_have_a_router_and_plain_edges():
    graph = Graph(Log)
    for name in "abcd":
        graph.add_node(noting(name), name=name)
    graph.add_edge(START, "a").add_edge("a", "d").add_router_edge("a", by_source)
    for name in "bcd":
        graph.add_edge(name, END)
    assert sorted(graph.run_sync().log) == ["a", "b", "d"]


def test_a_node_may_have_two_routers():
    graph = Graph(Log)
    for name in "abcd":
        graph.add_node(noting(name), name=name)
    graph.add_edge(START, "a").add_router_edge("a", by_source)
    graph.add_router_edge("a", lambda: ["c", "d"], routes=["c", "d"])
    for name in "bcd":
        graph.add_edge(name, END)
    assert graph.run_sync().log == ["a", "b", "c", "d"]


def test_an_unknown_route_that_is_found_in_the_source_is_a_compile_error():
    def router(state):
        return "b" if state.kind == "low" else "cc"

    with pytest.raises(GraphInvalid, match=r"(?s)'cc': no node has this name.*Did you mean 'c'"):
        forked(router)


# -- Sends


class Job(BaseModel):
    name: str
    weight: float = 1.0


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def sending(store, hang=None):
    graph = Graph(Log, store=store)

    @graph.node
    async def plan(state):
        return {"log": "plan"}

    @graph.node
    async def work(state, item: Job, index):
        assert type(item) is Job
        if hang is not None:
            hang.set()
            await asyncio.Event().wait()
        return {"log": f"{index}: {item.name} {item.weight}", "n": 1}

    @graph.node
    async def join(state):
        return {"log": f"join {state.n}"}

    def route(state):
        return [Send("work", Job(name=name, weight=0.5)) for name in ("x", "y", "z")]

    graph.add_edge(START, "plan").add_router_edge("plan", route, routes=["work"])
    return graph.add_edge("work", "join").add_edge("join", END)


def test_sends_run_a_node_once_an_item_and_join_once():
    assert sending(None).run_sync().log == ["plan", "0: x 0.5", "1: y 0.5", "2: z 0.5", "join 3"]


def test_items_typed_with_a_pydantic_model_survive_a_restart(store):
    async def main():
        hanging = asyncio.Event()
        run = sending(store, hanging).start(run_id="r")
        await hanging.wait()
        await run.let_go()
        again = sending(store).open("r")
        assert await again.resume() == "DONE"
        assert again.state.log == ["plan", "0: x 0.5", "1: y 0.5", "2: z 0.5", "join 3"]

    asyncio.run(main())


def test_an_item_of_a_wrong_type_is_refused_when_it_is_sent():
    graph = Graph(Log)
    graph.add_node(noting("a"), name="a")

    @graph.node
    async def work(item: Job):
        return {}

    graph.add_edge(START, "a").add_edge("work", END)
    graph.add_router_edge("a", lambda: Send("work", {"nme": "x"}), routes=["work"])
    with pytest.raises(RunFailed, match=r"item for 'work'"):
        graph.run_sync()


def test_one_send_is_a_group_of_one():
    graph = Graph(Log)

    @graph.node
    async def work(item, index):
        return {"log": f"{item} {index}"}

    graph.add_router_edge(START, lambda: Send("work", 7), routes=["work"]).add_edge("work", END)
    assert graph.run_sync().log == ["7 0"]


def test_sends_may_go_to_a_subgraph():
    graph = Graph(Log)

    @graph.subgraph()
    def sub():
        inner = Graph(Log)
        inner.add_node(lambda ctx: {"log": f"in {ctx.item}"}, name="one")
        inner.add_node(lambda ctx: {"log": f"still {ctx.item}"}, name="two")
        return inner.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)

    graph.add_router_edge(START, lambda: [Send("sub", "x"), Send("sub", "y")], routes=["sub"]).add_edge("sub", END)
    assert graph.run_sync().log == ["in x", "still x", "in y", "still y"]


def test_a_loop_may_go_through_sends():
    graph = Graph(Log)

    @graph.node
    async def work(item):
        return {"log": f"{item}", "n": 1}

    graph.add_node(noting("gather"), name="gather").add_edge("work", "gather")
    graph.add_router_edge(START, lambda: [Send("work", 0), Send("work", 1)], routes=["work"])
    graph.add_router_edge(
        "gather", lambda s: [Send("work", s.n), Send("work", s.n + 1)] if s.n < 6 else END, routes=["work", END]
    )
    assert graph.run_sync().log == ["0", "1", "gather", "2", "3", "gather", "4", "5", "gather"]


def test_what_an_earlier_router_chose_is_in_the_log_and_not_chosen_again(store):
    async def main():
        asked = []
        graph = Graph(Log, store=store)

        def choose(state):
            asked.append(1)
            return "b" if len(asked) == 1 else "c"

        for name in "abc":
            graph.add_node(noting(name), name=name, interrupt="before" if name == "b" else None)
        graph.add_edge(START, "a").add_router_edge("a", choose, routes=["b", "c"]).add_edge("b", END).add_edge("c", END)
        run = graph.start(run_id="r")
        assert await run.wait() == "PAUSED"
        await run.resume()
        assert run.state.log == ["a", "b"]
        assert asked == [1]

    asyncio.run(main())
