"""Plans: what can reach what, by one edge or more."""

import random

import pytest

from ropewalk import END, START, Graph


def plan_of(count, edges):
    """Compile nodes 0..count-1 whose edges are all routers', so that any drawing is allowed."""
    graph = Graph()
    for number in range(count):
        graph.add_node(lambda: None, name=str(number))
    for number in range(count):
        graph.add_edge(START, str(number))
        targets = [str(other) for one, other in edges if one == number]
        graph.add_router_edge(str(number), lambda: END, routes=[*targets, END])
    return graph.plan


def walked(count, edges):
    """Find the same by walking."""
    reach = {number: set() for number in range(count)}
    for start in range(count):
        frontier = [other for one, other in edges if one == start]
        while frontier:
            node = frontier.pop()
            if node not in reach[start]:
                reach[start].add(node)
                frontier += [other for one, other in edges if one == node]
    return reach


def bits(number):
    return {index for index in range(number.bit_length()) if number >> index & 1}


@pytest.mark.parametrize("seed", range(40))
def test_reach_is_what_a_walk_finds(seed):
    dice = random.Random(seed)
    count = dice.randint(1, 12)
    edges = {(dice.randrange(count), dice.randrange(count)) for _ in range(dice.randint(0, 25))}
    plan = plan_of(count, edges)
    expected = walked(count, edges)
    for number in range(count):
        after = {index - 1 for index in bits(plan.after[number + 1]) if index <= count}
        before = {index - 1 for index in bits(plan.before[number + 1]) if index >= 1}
        assert after == expected[number]
        assert before == {other for other in range(count) if number in expected[other]}


def test_a_node_reaches_itself_only_on_a_loop():
    plan = plan_of(3, {(0, 1), (1, 0), (1, 2)})
    assert plan.after[1] >> 1 & 1
    assert not plan.after[3] >> 3 & 1


def test_a_chain_longer_than_the_stack_is_closed():
    plan = plan_of(1_500, {(number, number + 1) for number in range(1_499)})
    assert plan.after[1].bit_count() == 1_500


def test_a_place_with_two_edges_to_one_target_is_no_plain_fork():
    """Found by drawn runs: the target was started once for each edge."""

    def choose() -> str:
        return END

    graph = Graph().add_node(lambda: None, name="a").add_node(choose, name="d")
    graph.add_edge(START, "a").add_edge("a", "d").add_router_edge("a", "d", routes=[END])
    assert graph.plan.forks[1] == ()
    graph.run_sync()
