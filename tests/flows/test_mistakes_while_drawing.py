"""What a newcomer mistypes is told where it is typed: what was given, what is taken, what to write."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ropewalk import END, START, Graph, GraphState, Retry


class Sheet(GraphState):
    word: str = ""


def load() -> None: ...


def test_a_function_in_place_of_a_nodes_name_is_told_with_its_name() -> None:
    graph: Any = Graph(Sheet).add_node(load)
    for draw in (
        lambda: graph.add_edge(START, load),
        lambda: graph.add_edge(load, END),
        lambda: graph.add_router_edge(load, lambda: END),
        lambda: graph.add_repeating_edge(START, load, END),
        lambda: graph.add_map_edge(START, load, END, over=list),
    ):
        with pytest.raises(TypeError, match=r"takes the names of nodes, not <function load .*Write 'load'"):
            draw()
    with pytest.raises(TypeError, match="START or END, not None"):
        graph.add_edge(START, None)


def test_what_cannot_be_called_is_no_node() -> None:
    graph: Any = Graph(Sheet)
    with pytest.raises(TypeError, match="A node is a function, not 'load'"):
        graph.add_node("load")
    with pytest.raises(TypeError, match=r"takes a name, not 3\. Write @graph\.node\(name="):
        graph.node(3)
    with pytest.raises(TypeError, match=r"@graph\.subgraph takes a name, not 3"):
        graph.subgraph(3)


def test_what_cannot_be_called_is_no_router_and_has_no_items() -> None:
    graph: Any = Graph(Sheet).add_node(load)
    with pytest.raises(TypeError, match="A router is a function of the state or the name of a node, not None"):
        graph.add_router_edge("load", None)
    with pytest.raises(TypeError, match=r"over= is a function of the state, not \['a'\]\. Write over=lambda"):
        graph.add_map_edge(START, "load", END, over=["a"])


def test_retry_takes_a_policy_and_no_number() -> None:
    graph: Any = Graph(Sheet)
    with pytest.raises(TypeError, match=r"retry takes a Retry, not 3\. Write retry=Retry\(attempts=3\)"):
        graph.add_node(load, retry=3)
    graph.add_node(load, retry=Retry(3))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("execution_timeout", 0),
        ("execution_timeout", "5"),
        ("max_node_iterations", 0),
        ("max_node_iterations", 2.5),
        ("max_concurrency", 0),
        ("max_concurrency", True),
    ],
)
def test_a_limit_is_above_zero(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{setting} is .*above 0; not {value!r}"):
        Graph(Sheet, **{setting: value})


def test_the_timeout_of_a_run_is_above_zero() -> None:
    with pytest.raises(ValueError, match="timeout is seconds, above 0; not 0"):
        Graph(Sheet).add_node(load).run_sync(timeout=0)


def test_a_path_is_no_store_yet_its_url_is() -> None:
    store: Any = Path("runs.db")
    with pytest.raises(TypeError, match=r"store=.sqlite:///runs\.db"):
        Graph(Sheet, store=store)


def test_a_state_that_is_none_is_told_with_how_to_make_one() -> None:
    graph: Any = Graph(Sheet).add_node(load)
    for given in ({"word": "x"}, Sheet, GraphState()):
        with pytest.raises(TypeError, match=r"must be an instance of Sheet.*Pass Sheet\(\.\.\.\)"):
            graph.run_sync(given)


def test_the_number_of_a_checkpoint_is_a_number() -> None:
    graph = Graph(Sheet, store="memory:").add_node(load)
    run_id = asyncio.run(graph.execute())
    with pytest.raises(ValueError, match=r"number of an entry \('12'\), not 'last'"):
        graph.load_from_checkpoint(run_id, "last")


def test_one_route_need_not_be_a_list() -> None:
    graph = Graph(Sheet).add_node(load).add_node(load, name="save")
    graph.add_edge(START, "load").add_router_edge("load", lambda: "save", routes="save").add_edge("save", END)
    assert set(graph.compile().plan.by_name["load"].routers[0].routes) == {"save"}


def test_the_subgraph_decorator_needs_no_parentheses() -> None:
    graph = Graph(Sheet)

    @graph.subgraph
    def inner() -> Graph[Sheet]:
        return Graph(Sheet).add_node(load)

    graph.add_edge(START, "inner").add_edge("inner", END)
    graph.run_sync()
    assert callable(inner)
    assert graph.plan.by_name["inner"].kind == "subgraph"
