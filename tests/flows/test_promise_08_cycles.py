"""Promise 8, cycles are allowed, bounded by `max_node_iterations`; the error says which node and how often."""

import asyncio

import pytest

from ropewalk import END, START, Graph, GraphState, Incremental, Send
from ropewalk.errors import RunFailed
from ropewalk.stores.memory import MemoryRunStore


class Count(GraphState):
    n: Incremental[int] = 0


def counting(until, *, limit=100, store=None):
    graph = Graph(Count, max_node_iterations=limit, store=store)

    @graph.node
    async def turn(state):
        return {"n": 1}

    graph.add_edge(START, "turn")
    return graph.add_router_edge("turn", lambda s: END if s.n >= until else "turn", routes=["turn", END])


def test_a_loop_may_go_round_as_often_as_allowed():
    """Promise 8."""
    assert counting(7, limit=7).run_sync().n == 7


def test_one_round_more_fails_with_the_node_and_the_count():
    """Promise 8: primeGraph returned normally, status FAILED."""
    with pytest.raises(RunFailed, match=r"'turn'.*7 times.*max_node_iterations") as caught:
        counting(8, limit=7).run_sync()
    assert caught.value.reason == "too_many_iterations"
    assert caught.value.node == "turn"


def test_a_hundred_and_fifty_rounds_are_done_when_they_are_allowed():
    """Promise 8."""
    assert counting(150, limit=150).run_sync().n == 150


def test_a_run_that_went_round_too_often_goes_on_when_it_may():
    """Promise 8 and 10."""

    async def main():
        store = MemoryRunStore()
        graph = counting(9, limit=5, store=store)
        with pytest.raises(RunFailed):
            await graph.execute()
        assert graph.state.n == 5
        with pytest.raises(RunFailed, match="5 times"):
            await graph.resume()
        await graph.resume(max_node_iterations=9)
        assert graph.chain_status == "DONE"
        assert graph.state.n == 9

    asyncio.run(main())


@pytest.mark.parametrize("how", ["map", "parallel", "sequence", "send", "fork"])
def test_many_branches_are_one_iteration(how):
    """Promise 8: primeGraph failed silently from 101 branches on."""

    async def main():
        graph = Graph(Count, max_node_iterations=1)
        graph.add_node(lambda: {"n": 1}, name="join").add_edge("join", END)
        if how == "fork":
            for number in range(300):
                graph.add_node(lambda: {"n": 1}, name=f"w{number}")
                graph.add_edge(START, f"w{number}").add_edge(f"w{number}", "join")
        else:
            graph.add_node(lambda: None, name="begin").add_edge(START, "begin")

            async def work():
                return {"n": 1}

            graph.add_node(work)
            if how == "map":
                graph.add_map_edge("begin", "work", "join", over=lambda: range(300))
            elif how == "send":
                graph.add_router_edge("begin", lambda: [Send("work", n) for n in range(300)], routes=["work"])
                graph.add_edge("work", "join")
            else:
                graph.add_repeating_edge("begin", "work", "join", repeat=300, parallel=how == "parallel")
        assert (await graph.start()).n == 301

    asyncio.run(main())


def test_the_limit_counts_each_node_for_itself_and_each_entry_of_a_subgraph_afresh():
    """Promise 8."""
    graph = Graph(Count, max_node_iterations=3)

    @graph.subgraph()
    def inner():
        sub = Graph(Count)
        sub.add_node(lambda: {"n": 1}, name="turn").add_edge(START, "turn")
        return sub.add_router_edge("turn", lambda s: END if s.n % 3 == 0 else "turn", routes=["turn", END])

    graph.add_edge(START, "inner")
    graph.add_router_edge("inner", lambda s: END if s.n >= 9 else "inner", routes=["inner", END])
    assert graph.run_sync().n == 9


def test_the_node_of_a_subgraph_is_named_with_its_path():
    """Promise 8."""
    graph = Graph(Count, max_node_iterations=3)

    @graph.subgraph()
    def inner():
        sub = Graph(Count)
        sub.add_node(lambda: {"n": 1}, name="turn").add_edge(START, "turn")
        return sub.add_router_edge("turn", lambda: "turn", routes=["turn", END])

    graph.add_edge(START, "inner").add_edge("inner", END)
    with pytest.raises(RunFailed, match=r"'inner/turn'.*3 times"):
        graph.run_sync()
