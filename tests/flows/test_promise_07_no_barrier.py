"""Promise 7, no barrier: a node starts as soon as every live branch that can still reach it has arrived."""

import asyncio

from ropewalk import END, START, Graph, GraphState, History, Incremental, Send


class Log(GraphState):
    log: History[str]
    rounds: Incremental[int] = 0


def noting(name):
    async def note(state):
        return {"log": name}

    return note


def drawn(names, edges):
    """Draw nodes that only note their names; an edge is two letters, ``<`` is START and ``>`` is END."""
    graph = Graph(Log)
    for name in names.split():
        graph.add_node(noting(name), name=name)
    for edge in edges.split():
        one, _, other = edge.partition("-")
        graph.add_edge(START if one == "<" else one, END if other == ">" else other)
    return graph


def log_of(graph):
    async def main():
        return (await graph.start()).log

    return asyncio.run(main())


def test_a_slow_sibling_does_not_hold_what_follows_a_quick_one():
    """Promise 7: langgraph starts `after_fast` when `slow` has ended; here `slow` ends when `after_fast` has."""

    async def main():
        graph = Graph(Log)
        after_fast_ended = asyncio.Event()
        graph.add_node(noting("fast"), name="fast")

        @graph.node
        async def after_fast(state):
            after_fast_ended.set()
            return {"log": "after_fast"}

        @graph.node
        async def slow(state):
            await after_fast_ended.wait()
            return {"log": "slow"}

        graph.add_node(noting("join"), name="join")
        graph.add_edge(START, "fast").add_edge(START, "slow").add_edge("fast", "after_fast")
        graph.add_edge("after_fast", "join").add_edge("slow", "join").add_edge("join", END)
        async with asyncio.timeout(3):
            assert (await graph.start()).log == ["fast", "after_fast", "slow", "join"]

    asyncio.run(main())


def test_a_join_runs_once_after_its_last_branch():
    """Promise 7: branches of uneven length."""
    assert log_of(drawn("a b b2 b3 c j", "<-a a-b b-b2 b2-b3 b3-j a-c c-j j->")) == [*"ab", "b2", "b3", "c", "j"]


def test_a_skipping_edge_waits_for_the_long_way():
    """Promise 7."""
    assert log_of(drawn("a b c d", "<-a a-b b-c c-d a-d d->")) == [*"abcd"]


def test_three_leaves_join_that_hang_at_different_depths():
    """Promise 7: a->{b,c}, b->{b1,b2}, all->d; primeGraph failed 30 times out of 30."""
    log = log_of(drawn("a b c b1 b2 d", "<-a a-b a-c b-b1 b-b2 b1-d b2-d c-d d->"))
    assert sorted(log) == ["a", "b", "b1", "b2", "c", "d"]
    assert log[-1] == "d"


def test_branches_of_uneven_length_that_meet_at_end_all_run_to_their_ends():
    """Promise 7: primeGraph lost `slow2` in 18 of 30 runs."""
    assert log_of(drawn("fast slow slow2 slow3", "<-fast <-slow slow-slow2 slow2-slow3 fast-> slow3->")) == [
        "fast",
        "slow",
        "slow2",
        "slow3",
    ]


def test_a_branch_that_a_router_did_not_choose_is_not_waited_for():
    """Promise 7."""
    graph = drawn("a b c j", "<-a b-j c-j j->")
    graph.add_router_edge("a", lambda: "b", routes=["b", "c"])
    assert log_of(graph) == ["a", "b", "j"]


def test_a_chosen_branch_further_up_is_waited_for():
    """Promise 7: of two routers one goes straight to the join, the other the long way."""
    graph = drawn("a b b2 c j", "<-a <-c b-b2 b2-j j->")
    graph.add_router_edge("a", lambda: "b", routes=["b", "j"])
    graph.add_router_edge("c", lambda: "j", routes=["b", "j"])
    assert log_of(graph) == ["a", "b", "b2", "c", "j"]


def test_several_chosen_branches_join_once():
    """Promise 7."""
    graph = drawn("a b c d j", "<-a b-j c-j d-j j->")
    graph.add_router_edge("a", lambda: ["b", "d"], routes=["b", "c", "d"])
    assert log_of(graph) == ["a", "b", "d", "j"]


def test_end_reached_by_one_branch_does_not_stop_the_others():
    """Promise 7."""
    graph = drawn("a b c", "<-a <-b b-c a-> c->")
    assert log_of(graph) == ["a", "b", "c"]
    routed = drawn("a b c", "<-a <-b b-c c->").add_router_edge("a", lambda: END, routes=[END])
    assert log_of(routed) == ["b", "c", "a"]


def test_a_join_behind_a_loop_waits_until_the_loop_is_over():
    """Promise 7: reach counts loops."""
    graph = Graph(Log)

    @graph.node
    async def turn(state):
        return {"log": "turn", "rounds": 1}

    for name in ("side", "join"):
        graph.add_node(noting(name), name=name)
    graph.add_edge(START, "turn").add_edge(START, "side").add_edge("side", "join").add_edge("join", END)
    graph.add_router_edge("turn", lambda s: "turn" if s.rounds < 4 else "join", routes=["turn", "join"])
    assert log_of(graph) == ["side"] + ["turn"] * 4 + ["join"]


def test_a_fork_and_join_inside_a_loop_joins_once_a_round():
    """Promise 7."""
    graph = drawn("a b c", "<-a a-b a-c")

    @graph.node
    async def join(state):
        return {"log": "join", "rounds": 1}

    graph.add_edge("b", "join").add_edge("c", "join")
    graph.add_router_edge("join", lambda s: "a" if s.rounds < 3 else END, routes=["a", END])
    assert log_of(graph) == ["a", "b", "c", "join"] * 3


def test_where_waiting_nodes_can_only_reach_each_other_the_one_declared_first_starts():
    """Promise 7."""
    graph = Graph(Log)
    for name in ("begin", "p", "q"):
        graph.add_node(noting(name), name=name)

    def from_p(state):
        return "q" if state.log.count("p") < 2 else END

    def from_q(state):
        return "p" if state.log.count("q") < 2 else END

    graph.add_edge(START, "begin").add_edge("begin", "q").add_edge("begin", "p")
    graph.add_router_edge("p", from_p, routes=["q", END]).add_router_edge("q", from_q, routes=["p", END])
    assert log_of(graph) == ["begin", "p", "q", "p"]


def test_a_failed_branch_does_not_let_the_join_start_without_it():
    """Promise 7 and 10."""

    async def main():
        graph = drawn("good join", "<-good good-join join->")

        @graph.node
        async def bad(state):
            raise OSError("down")

        graph.add_edge(START, "bad").add_edge("bad", "join")
        run = graph.start()
        assert await run.wait() == "FAILED"
        assert run.state.log == ["good"]

    asyncio.run(main())


def test_a_branch_that_waits_for_a_person_holds_only_what_it_can_reach():
    """Promise 7 and 9: the others go on until nothing can."""

    async def main():
        graph = drawn("a a2 a3 join", "<-a a-a2 a2-a3 a3-join join->")

        @graph.node
        async def ask(state, ctx):
            return {"log": await ctx.ask("go?")}

        graph.add_edge(START, "ask").add_edge("ask", "join")
        run = graph.start()
        assert await run.wait() == "PAUSED"
        assert run.state.log == ["a", "a2", "a3"]
        await run.answer(run.pauses[0].id, "yes")
        assert (await run).log == ["a", "a2", "a3", "yes", "join"]

    asyncio.run(main())


def test_sends_to_several_nodes_join_where_all_of_them_lead():
    """Promise 7."""

    async def main():
        graph = drawn("join", "join->")

        @graph.node
        async def one(state, item):
            return {"log": f"one {item}"}

        @graph.node
        async def two(state, item):
            return {"log": f"two {item}"}

        def route(state):
            return [Send("two", 1), Send("one", 2), Send("two", 3)]

        graph.add_router_edge(START, route, routes=["one", "two"])
        graph.add_edge("one", "join").add_edge("two", "join")
        state = await graph.start()
        assert state.log == ["one 2", "two 1", "two 3", "join"]

    asyncio.run(main())


def test_a_slow_router_holds_only_its_own_branch():
    """Promise 7: the router of one branch waits for what the other branch does."""

    async def main():
        gate = asyncio.Event()
        graph = drawn("a b s1", "<-a b-> <-s1")

        async def route(state):
            await gate.wait()
            return "b"

        @graph.node
        async def s2(state):
            gate.set()
            return {"log": "s2"}

        graph.add_router_edge("a", route, routes=["b"]).add_edge("s1", "s2").add_edge("s2", END)
        async with asyncio.timeout(3):
            state = await graph.start()
        assert sorted(state.log) == ["a", "b", "s1", "s2"]

    asyncio.run(main())
