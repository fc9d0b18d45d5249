"""Promise 6, deterministic merge: a branch sees its causal past, a join merges in declared order."""

import asyncio
import itertools
import operator
from typing import Any

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue, Reduced, Send, merge_by_id


def longer(old, new):
    return f"{old}+{new}"


class Rope(GraphState):
    log: History[str]
    winner: LastValue[str] = ""
    total: Incremental[int] = 0
    text: Incremental[str] = ""
    laid: Reduced[str, longer] = ""
    seen: LastValue[dict[str, list[str]]] = {}


def noting(name):
    async def note(state):
        return {"log": name, "winner": name, "total": 1, "text": name, "laid": name}

    return note


def in_order(graph, order):
    """Make the nodes in ``order`` end one after the other, however they were started; others end at once."""
    done = {name: asyncio.Event() for name in order}

    def gated(name):
        async def node(state):
            position = order.index(name)
            if position:
                await done[order[position - 1]].wait()
            done[name].set()
            return await noting(name)(state)

        return node

    for name in order:
        graph.add_node(gated(name), name=name)
    return graph


@pytest.mark.parametrize("order", [*itertools.permutations("bcde")])
def test_a_join_merges_its_branches_in_declared_order_whatever_their_timing(order):
    """Promise 6: a hundred different timings, one state."""

    async def main():
        graph = Graph(Rope)
        graph.add_node(noting("a"), name="a").add_node(noting("f"), name="f")
        in_order(graph, order)
        graph.add_edge(START, "a")
        for name in "bcde":
            graph.add_edge("a", name).add_edge(name, "f")
        graph.add_edge("f", END)
        state = await graph.start()
        assert state.log == [*"abcdef"]
        assert state.text == "abcdef"
        assert state.laid == "+a+b+c+d+e+f"
        assert state.total == 6

    asyncio.run(main())


@pytest.mark.parametrize("order", [*itertools.permutations("bcd")])
def test_the_order_is_that_of_the_edges_into_the_join(order):
    """Promise 6: not of the nodes, not of the edges out of the fork."""

    async def main():
        graph = in_order(Graph(Rope), order)
        graph.add_node(noting("f"), name="f")
        graph.add_edge(START, "b").add_edge(START, "c").add_edge(START, "d")
        graph.add_edge("d", "f").add_edge("b", "f").add_edge("c", "f").add_edge("f", END)
        state = await graph.start()
        assert state.log == [*"dbcf"]

    asyncio.run(main())


@pytest.mark.parametrize("order", [*itertools.permutations("bcd")])
def test_the_last_value_is_that_of_the_last_declared_branch(order):
    """Promise 6: not of the one that finished last."""

    async def main():
        graph = in_order(Graph(Rope), order)
        graph.add_edge(START, "b").add_edge(START, "c").add_edge(START, "d")
        graph.add_edge("b", END).add_edge("c", END).add_edge("d", END)
        assert (await graph.start()).winner == "d"

    asyncio.run(main())


def test_a_branch_never_sees_what_a_sibling_has_finished():
    """Promise 6: only what ran before it on its own path."""

    async def main():
        graph = Graph(Rope)
        quick_done = asyncio.Event()

        @graph.node
        async def quick(state):
            return {"log": "quick", "winner": "quick"}

        @graph.node
        async def after_quick(state):
            quick_done.set()
            return {"log": f"after_quick saw {state.log}"}

        @graph.node
        async def slow(state):
            await quick_done.wait()
            return {"log": "slow"}

        @graph.node
        async def after_slow(state):
            return {"log": f"after_slow saw {state.log}"}

        graph.add_node(noting("join"), name="join")
        graph.add_edge(START, "quick").add_edge("quick", "after_quick").add_edge("after_quick", "join")
        graph.add_edge(START, "slow").add_edge("slow", "after_slow").add_edge("after_slow", "join")
        graph.add_edge("join", END)
        state = await graph.start()
        assert state.log == ["quick", "after_quick saw ['quick']", "slow", "after_slow saw ['slow']", "join"]

    asyncio.run(main())


def test_the_handle_shows_the_union_of_all_that_is_committed():
    """Promise 6: `run.state` is not one branch's view."""

    async def main():
        graph = Graph(Rope)
        gate, reached = asyncio.Event(), asyncio.Event()
        graph.add_node(noting("quick"), name="quick")

        @graph.node
        async def hold(state):
            reached.set()
            await gate.wait()

        @graph.node
        async def slow(state):
            await gate.wait()

        graph.add_edge(START, "slow").add_edge(START, "quick").add_edge("quick", "hold")
        graph.add_edge("slow", END).add_edge("hold", END)
        run = graph.start()
        await reached.wait()
        assert run.state.log == ["quick"]
        gate.set()
        await run

    asyncio.run(main())


@pytest.mark.parametrize("order", [*itertools.permutations(["a1", "a2", "b1", "b2"], 4)][::3])
def test_nested_forks_and_joins_merge_the_same_way_whatever_the_timing(order):
    """Promise 6: the nested diamond, in which primeGraph was wrong 30 times out of 30."""

    async def main():
        graph = in_order(Graph(Rope), order)
        for name in ("a", "b", "ja", "jb", "end"):
            graph.add_node(noting(name), name=name)
        graph.add_edge(START, "a").add_edge(START, "b")
        for side in "ab":
            for number in "12":
                graph.add_edge(side, side + number).add_edge(side + number, "j" + side)
            graph.add_edge("j" + side, "end")
        graph.add_edge("end", END)
        state = await graph.start()
        assert state.log == ["a", "a1", "a2", "ja", "b", "b1", "b2", "jb", "end"]

    asyncio.run(main())


@pytest.mark.parametrize("order", [*itertools.permutations("wxyz")][::5])
def test_a_butterfly_counts_no_step_twice(order):
    """Promise 6: two joins over the same two branches, and a join over both joins."""

    async def main():
        graph = in_order(Graph(Rope), order)
        graph.add_node(noting("end"), name="end")
        graph.add_edge(START, "w").add_edge(START, "x")
        graph.add_edge("w", "y").add_edge("x", "y").add_edge("w", "z").add_edge("x", "z")
        graph.add_edge("y", "end").add_edge("z", "end").add_edge("end", END)
        positions = [order.index(name) for name in "wxyz"]
        if max(positions[:2]) > min(positions[2:]):
            return  # y and z cannot end before w and x have
        state = await graph.start()
        assert state.log == ["w", "x", "y", "z", "end"]
        assert state.total == 5

    asyncio.run(main())


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))][::4])
def test_items_of_a_map_and_of_sends_join_in_item_order(order):
    """Promise 6."""

    async def main():
        for kind in ("map", "send"):
            done = {number: asyncio.Event() for number in order}

            async def work(state, item, done=done):
                position = order.index(item)
                if position:
                    await done[order[position - 1]].wait()
                done[item].set()
                return {"log": str(item), "winner": str(item)}

            graph = Graph(Rope).add_node(work).add_node(noting("end"), name="end")
            if kind == "map":
                graph.add_map_edge(START, "work", "end", over=lambda: range(4))
            else:
                graph.add_router_edge(START, lambda: [Send("work", n) for n in range(4)], routes=["work"])
                graph.add_edge("work", "end")
            graph.add_edge("end", END)
            state = await graph.start()
            assert state.log == ["0", "1", "2", "3", "end"], kind

    asyncio.run(main())


def test_two_branches_that_change_one_list_in_place_both_keep_their_items():
    """Promise 6: two parallel steps that append to one history."""

    async def main():
        for order in itertools.permutations("ab"):
            done = {name: asyncio.Event() for name in order}
            graph = Graph(Rope).add_node(noting("start"), name="start").add_node(noting("end"), name="end")
            graph.add_edge(START, "start").add_edge("end", END)

            def appending(name, order=order, done=done):
                async def node(rope: Rope):
                    if order[0] != name:
                        await done[order[0]].wait()
                    rope.log.append(f"{name}1")
                    rope.log.append(f"{name}2")
                    rope.total += 10
                    done[name].set()

                return node

            for name in "ab":
                graph.add_node(appending(name), name=name).add_edge("start", name).add_edge(name, "end")
            state = await graph.start()
            assert state.log == ["start", "a1", "a2", "b1", "b2", "end"]
            assert state.total == 22

    asyncio.run(main())


def by_length(old, new):
    return max(old, new, key=len)


class Kept(GraphState):
    messages: Reduced[list[dict[str, Any]], merge_by_id] = [{"id": "0", "text": "old"}]
    seen: Reduced[dict[str, int], lambda old, new: old | new] = {}
    longest: Reduced[str, by_length] = ""
    numbers: Reduced[list[int], operator.add] = []


def test_branches_that_change_reduced_fields_in_place_both_count():
    """Promise 6: what the reducer makes the change of is merged like what a node returns."""

    def one(state):
        state.messages.append({"id": "1", "text": "one"})
        state.seen["one"] = 1
        state.longest = "longest"
        state.numbers.append(1)

    def two(state):
        state.messages.append({"id": "2", "text": "two"})
        state.messages[0]["text"] = "new"
        state.seen["two"] = 2
        state.longest = "short"
        state.numbers += [2, 3]

    graph = Graph(Kept).add_node(one, name="one").add_node(two, name="two")
    graph.add_edge(START, "one").add_edge(START, "two").add_edge("one", END).add_edge("two", END)
    state = graph.run_sync()
    assert [message["text"] for message in state.messages] == ["new", "one", "two"]
    assert state.seen == {"one": 1, "two": 2}
    assert state.longest == "longest"
    assert state.numbers == [1, 2, 3]


def test_what_a_reducer_cannot_make_a_change_of_replaces():
    def shorten(state):
        del state.messages[0]
        state.numbers[0] = 9

    graph = Graph(Kept).add_node(shorten, name="shorten").add_edge(START, "shorten").add_edge("shorten", END)
    state = graph.run_sync(Kept(numbers=[1, 2]))
    assert state.messages == []
    assert state.numbers == [9, 2]
