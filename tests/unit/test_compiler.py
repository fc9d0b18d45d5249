"""The compiler: every mistake is found before anything runs, all of them in one error, each with a hint."""

import datetime
import functools
from typing import Any

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue, Send
from ropewalk.core.plan import Plan
from ropewalk.errors import GraphInvalid


class Doc(GraphState):
    log: History[str]
    kind: LastValue[str] = ""


def drawn(nodes, edges):
    """Draw nodes and edges (``<`` is START, ``>`` is END)."""
    graph = Graph(Doc, name="doc")
    for name in nodes.split():
        graph.add_node(lambda: None, name=name)
    for edge in edges.split():
        one, _, other = edge.partition("-")
        graph.add_edge(START if one == "<" else one, END if other == ">" else other)
    return graph


def problems(graph):
    with pytest.raises(GraphInvalid) as caught:
        graph.compile()
    return caught.value.problems


def with_node(fn, **settings):
    return Graph(Doc).add_node(fn, name="work", **settings)


def a_generator(state):
    yield {}


class Tallied(GraphState):
    votes: Incremental[dict[str, int]] = {}
    names: Incremental[set[str] | None] = None
    words: Incremental[list[str]] = []
    spent: Incremental[datetime.timedelta | None] = None
    whatever: Incremental[Any] = 0


def to_b(state):
    return "b" if state.kind else END


def sends_to_b(state):
    return [Send("b", 1)] if state.kind else END


def with_subgraph(fn, name="sub"):
    inner = with_node(fn)
    graph = drawn("", "")
    graph.subgraph(name)(lambda: inner)
    return graph


MISTAKES = {
    "an edge to an unknown node": (
        lambda: drawn("load sort", "<-load load-srot sort->"),
        "The edge load -> srot names 'srot': no node has this name.",
        "Did you mean 'sort'?",
    ),
    "an edge from an unknown node": (
        lambda: drawn("load", "<-load loda-> load->"),
        "The edge loda -> END names 'loda'",
        "Did you mean 'load'?",
    ),
    "a declared route to nowhere": (
        lambda: drawn("a b", "<-a b->").add_router_edge("a", lambda: "b", routes=["b", "bb"]),
        "The router edge from a names 'bb'",
        "Did you mean 'b'?",
    ),
    "a router node that is not there": (
        lambda: drawn("a b", "<-a b->").add_router_edge("a", "route"),
        "The router edge from a names 'route'",
        "Known: a, b.",
    ),
    "a repeat of an unknown node": (
        lambda: drawn("a b", "<-a b->").add_repeating_edge("a", "work", "b", repeat=2),
        "The repeating edge a -> work -> b names 'work'",
        "Known: a, b.",
    ),
    "a map over an unknown node": (
        lambda: drawn("a b", "<-a b->").add_map_edge("a", "work", "b", over=lambda: []),
        "The map edge a -> work -> b names 'work'",
        "Known: a, b.",
    ),
    "a node that is never reached": (
        lambda: drawn("a b", "<-a a-> b->"),
        "Node 'b' is never reached: no way from START leads to it.",
        "Lead an edge to it",
    ),
    "a dead end": (
        lambda: drawn("a b", "<-a a-b"),
        "Node 'b' is a dead end: no edge leaves it.",
        "add_edge('b', END)",
    ),
    "no edge from START": (
        lambda: drawn("a b", "a-b b->"),
        "No edge leaves START",
        "add_edge(START, 'a')",
    ),
    "a cycle of plain edges": (
        lambda: drawn("a b c", "<-a a-b b-c c-b b->"),
        "The cycle b -> c -> b has no router on it, so it would never end.",
        "Let a router decide",
    ),
    "a node that follows itself": (
        lambda: drawn("a", "<-a a-a a->"),
        "The cycle a -> a has no router",
        "Let a router decide",
    ),
    "a cycle with no way out": (
        lambda: drawn("a b", "<-a a-b").add_router_edge("b", lambda: "a", routes=["a"]),
        "is on a cycle with no way out: END cannot be reached from it.",
        "Let a router on the cycle return END",
    ),
    "two nodes of one name": (
        lambda: drawn("a a", "<-a a->"),
        "Two nodes are called 'a'.",
        "@graph.node(name='...')",
    ),
    "a name with a meaning": (lambda: drawn("a/b", "<-a/b a/b->"), "'a/b' cannot be a node's name", "Leave them out"),
    "a node called END": (lambda: Graph(Doc).add_node(lambda: None, name=END), "START or END", "another name"),
    "an edge from END": (
        lambda: drawn("a", "<-a a->").add_edge(END, "a"),
        "An edge leaves END",
        "END only ends them",
    ),
    "an edge to START": (
        lambda: drawn("a", "<-a a->").add_edge("a", START),
        "An edge leads to START",
        "START only begins edges",
    ),
    "an edge drawn twice": (
        lambda: drawn("a b", "<-a a-b a-b b->"),
        "The edge a -> b is drawn twice.",
        "Draw it once.",
    ),
    "a parameter that nobody fills": (
        lambda: with_node(lambda state, client: None),
        "Node 'work' takes 'client', which nobody fills.",
        "functools.partial",
    ),
    "a positional parameter": (
        lambda: with_node(lambda x, /: None),
        "Node 'work' takes 'x', which nobody fills.",
        "state, ctx, item and index",
    ),
    "an item that nobody hands it": (
        lambda: with_node(lambda item: None),
        "Node 'work' takes 'item', which nobody fills: no map edge, repeat or Send leads to it.",
        "add_map_edge(..., 'work', ..., over=...)",
    ),
    "an index that nobody hands it": (
        lambda: (
            drawn("a", "<-a").add_node(lambda *, index: None, name="b").add_router_edge("a", to_b).add_edge("b", END)
        ),
        "Node 'b' takes 'index', which nobody fills",
        "drop the parameter",
    ),
    "an item inside a subgraph that nobody hands it": (
        lambda: with_subgraph(lambda item: None).add_edge(START, "sub").add_edge("sub", END),
        "In subgraph 'sub': Node 'work' takes 'item', which nobody fills",
        "drop the parameter",
    ),
    "a generator": (lambda: with_node(a_generator), "Node 'work' is a generator", "ctx.emit(Token(...))"),
    "an unknown interrupt": (
        lambda: with_node(lambda: None, interrupt="befor"),
        "interrupt='befor'",
        "'before', 'after'",
    ),
    "a timeout of nothing": (lambda: with_node(lambda: None, timeout=0), "timeout=0", "seconds, above 0"),
    "a timeout of text": (lambda: with_node(lambda: None, timeout="3"), "timeout='3'", "seconds, above 0"),
    "metadata of another kind": (
        lambda: with_node(lambda: None, metadata=5),
        "Node 'work' has metadata=5.",
        "a dict",
    ),
    "half a repeat": (
        lambda: drawn("a b w", "<-a b->").add_repeating_edge("a", "w", "b", repeat=2.5),
        "Node 'w' repeats 2.5 times.",
        "at least 1",
    ),
    "repeats of text": (
        lambda: drawn("a b w", "<-a b->").add_repeating_edge("a", "w", "b", repeat="3"),
        "Node 'w' repeats '3' times.",
        "at least 1",
    ),
    "a route that is no text": (
        lambda: drawn("a b", "<-a b->").add_router_edge("a", lambda state: "b", routes=["b", 5]),
        "The router edge from a names 5, which is no text.",
        "Known: a, b.",
    ),
    "a route that cannot be looked up": (
        lambda: drawn("a b", "<-a b->").add_router_edge("a", lambda state: "b", routes=["b", ["b"]]),
        "The router edge from a names ['b'], which is no text.",
        "Known: a, b.",
    ),
    "a sum of what has no +": (
        lambda: Graph(Tallied).add_node(lambda: None, name="work"),
        "Field 'votes' is an Incremental of dict, which has no +.",
        "votes: Reduced[dict, merge]",
    ),
    "no repeats": (
        lambda: drawn("a b w", "<-a b->").add_repeating_edge("a", "w", "b", repeat=0),
        "Node 'w' repeats 0 times.",
        "at least 1",
    ),
    "names for other repeats": (
        lambda: drawn("a b w", "<-a b->").add_repeating_edge("a", "w", "b", repeat=3, repeat_names=["x", "y"]),
        "2 repeat_names are given for 3 repeats of 'w'.",
        "one name a repeat",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_with_a_hint(mistake):
    draw, message, hint = MISTAKES[mistake]
    found = [problem for problem in problems(draw()) if message in problem.message]
    assert found, f"{message!r} is not in {problems(draw())}"
    assert hint in found[0].hint


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_problem_has_a_hint_and_stands_in_the_error_s_text(mistake):
    with pytest.raises(GraphInvalid) as caught:
        MISTAKES[mistake][0]().compile()
    for problem in caught.value.problems:
        assert problem.hint
        assert problem.message in str(caught.value)
        assert problem.hint in str(caught.value)


def test_all_mistakes_come_in_one_error():
    graph = Graph(Doc, name="many")

    @graph.node(interrupt="never")
    def load(state, client):
        return None

    @graph.node(timeout=-1)
    def sort(state, other):
        return None

    graph.add_node(lambda: None, name="a[0]")
    graph.add_edge(START, "laod").add_edge("load", "srot").add_edge(END, "load")
    graph.add_repeating_edge("load", "sort", "load", repeat=-1)
    with pytest.raises(GraphInvalid, match=r"Graph 'many' has \d+ mistakes") as caught:
        graph.compile()
    text = str(caught.value)
    for part in ("never", "timeout=-1", "a[0]", "laod", "srot", "leaves END", "repeats -1", "'client'", "'other'"):
        assert part in text, part
    assert len(caught.value.problems) >= 9


def takes_item(graph):
    return graph.add_node(lambda item, index: None, name="b")


HANDED = {
    "a map": lambda: takes_item(drawn("a c", "<-a c->")).add_map_edge("a", "b", "c", over=lambda: [1]),
    "a repeat": lambda: takes_item(drawn("a c", "<-a c->")).add_repeating_edge("a", "b", "c", repeat=2),
    "a map and an edge": lambda: (
        takes_item(drawn("a c", "<-a <-b b->")).add_map_edge("a", "b", "c", over=lambda: [1]).add_edge("c", END)
    ),
    "a router that sends": lambda: takes_item(drawn("a", "<-a b->")).add_router_edge("a", sends_to_b),
    "a router whose routes are declared": lambda: takes_item(drawn("a", "<-a b->")).add_router_edge(
        "a", lambda state: [Send("b", 1)], routes=["b"]
    ),
    "a router that nobody can read": lambda: takes_item(drawn("a", "<-a b->")).add_router_edge(
        "a", functools.partial(getattr, "kind")
    ),
    "a node that routes": lambda: (
        takes_item(drawn("a", "<-a b->")).add_node(sends_to_b, name="r").add_router_edge("a", "r")
    ),
    "a map around the subgraph": lambda: (
        with_subgraph(lambda item: None)
        .add_node(lambda: None, name="c")
        .add_map_edge(START, "sub", "c", over=lambda: [1])
        .add_edge("c", END)
    ),
    "nobody, but there is a default": lambda: with_node(lambda item=None, index=0: None),
}


@pytest.mark.parametrize("graph", HANDED.values(), ids=HANDED)
def test_an_item_that_somebody_may_hand_over_is_no_mistake(graph):
    graph().compile()


def test_an_edge_that_leads_nowhere_known_may_have_been_meant_to_hand_the_item():
    graph = takes_item(drawn("a c", "<-a c-> <-b b->")).add_map_edge("a", "somewhere", "c", over=lambda: [1])
    assert ["somewhere" in problem.message for problem in problems(graph)] == [True]


def test_only_sums_that_cannot_be_made_are_problems():
    named = [problem.message for problem in problems(Graph(Tallied).add_node(lambda: None, name="work"))]
    assert [message.split("'")[1] for message in named] == ["votes", "names"]


def test_a_graph_without_a_node_says_so():
    with pytest.raises(GraphInvalid, match="START"):
        Graph(Doc).compile()


def test_a_wrong_graph_can_be_mended_and_compiled():
    graph = drawn("a b", "<-a a-b")
    assert problems(graph)
    assert graph.add_edge("b", END).compile().is_compiled


def test_a_chain_of_ten_thousand_nodes_compiles():
    """primeGraph: a RecursionError from a thousand on."""
    names = [f"n{number}" for number in range(10_000)]
    graph = Graph(Doc)
    for name in names:
        graph.add_node(lambda: None, name=name)
    for one, other in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(one, other)
    assert len(graph.plan.places) == 10_002


def digest(*, interrupt=None, order=("b", "c"), router=False, repeat=2):
    graph = drawn("a b c d w", "<-a d->")
    graph.drawing.nodes.pop("a")
    graph.add_node(lambda: None, name="a", interrupt=interrupt)
    for name in order:
        graph.add_edge("a", name).add_edge(name, "d")
    graph.add_repeating_edge("a", "w", "d", repeat=repeat)
    if router:
        graph.add_router_edge("a", lambda: "d", routes=["d"])
    return graph.plan.digest


def test_the_digest_tells_one_drawing_from_another_and_is_the_same_for_the_same():
    assert digest() == digest()
    others = [digest(interrupt="before"), digest(order=("c", "b")), digest(router=True), digest(repeat=3)]
    assert len({digest(), *others}) == 5


def test_a_plan_begins_with_start_and_ends_with_end():
    plan = drawn("a b", "<-a a-b b->").plan
    assert isinstance(plan, Plan)
    assert [place.name for place in plan.places] == [START, "a", "b", END]
    assert [place.kind for place in plan.places] == ["start", "node", "node", "end"]
    assert [place.index for place in plan.places] == [0, 1, 2, 3]
