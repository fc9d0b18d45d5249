"""What a picture of a run shows, against graphs whose course is known."""

import asyncio
from typing import Any, Literal

from ropewalk import END, START, Context, Graph, GraphState, History, Run, Send
from ropewalk.core.drawing.progress import Progress, path_of, progress_of
from ropewalk.runtime import Picture, unfinished_steps


class Log(GraphState):
    log: History[str]
    turns: int = 0


def add(graph: Graph[Any], *names: str, **options: Any) -> None:
    for name in names:

        async def work() -> None: ...

        graph.add_node(work, name=name, **options)


def course(graph: Graph[Any], state: Any = None) -> tuple[Progress, str]:
    """Run the graph until it stops, and read its progress."""

    async def whole() -> tuple[Progress, str]:
        run: Run[Any] = graph.start(state)
        status = await run.wait()
        return progress_of(graph.plan, await run.history(), await unfinished_steps(run), status), status

    return asyncio.run(whole())


def test_a_way_not_chosen_is_not_taken() -> None:
    graph = Graph(Log)
    add(graph, "a", "b", "c")

    def way(state: Log) -> Literal["b", "c"]:
        return "b"

    graph.add_edge(START, "a").add_router_edge("a", way).add_edge("b", END).add_edge("c", END)
    progress, _ = course(graph)
    assert progress.statuses == {"a": "done", "b": "done"}
    assert progress.taken == {("__start__", "a"): 1, ("a", "b"): 1, ("b", "__end__"): 1}


def test_a_loop_counts_its_turns_and_its_way_back() -> None:
    graph = Graph(Log)

    @graph.node
    async def draft(state: Log) -> dict[str, int]:
        return {"turns": state.turns + 1}

    def again(state: Log) -> Literal["draft", "__end__"]:
        return "draft" if state.turns < 3 else END

    graph.add_edge(START, "draft").add_router_edge("draft", again)
    progress, _ = course(graph)
    assert progress.counts["draft"] == 3
    assert progress.taken == {("__start__", "draft"): 1, ("draft", "draft"): 2, ("draft", "__end__"): 1}


def test_a_map_is_one_edge_and_many_steps() -> None:
    graph = Graph(Log)
    add(graph, "a", "c")

    @graph.node
    async def each(item: int) -> dict[str, str]:
        return {"log": str(item)}

    def items(state: Log) -> list[int]:
        return [1, 2, 3]

    graph.add_edge(START, "a").add_map_edge("a", "each", "c", over=items).add_edge("c", END)
    progress, _ = course(graph)
    assert progress.counts["each"] == 3
    assert progress.taken["a", "each"] == progress.taken["each", "c"] == 1


def test_an_empty_map_is_passed() -> None:
    graph = Graph(Log)
    add(graph, "a", "c")

    @graph.node
    async def each(item: int) -> None: ...

    def items(state: Log) -> list[int]:
        return []

    graph.add_edge(START, "a").add_map_edge("a", "each", "c", over=items).add_edge("c", END)
    progress, _ = course(graph)
    assert "each" not in progress.statuses
    assert progress.taken["a", "each"] == progress.taken["each", "c"] == 1


def test_sends_to_one_node_take_its_edge_once() -> None:
    graph = Graph(Log)
    add(graph, "a", "z")

    @graph.node
    async def each(item: int) -> None: ...

    def way(state: Log) -> list[Send]:
        return [Send("each", 1), Send("each", 2)]

    graph.add_edge(START, "a").add_router_edge("a", way, routes=["each", "z"])
    graph.add_edge("each", "z").add_edge("z", END)
    progress, _ = course(graph)
    assert progress.counts["each"] == 2
    assert (progress.taken["a", "each"], progress.taken["each", "z"], progress.taken["a", "z"]) == (1, 1, 0)


def test_a_node_that_is_a_router_takes_what_it_returned() -> None:
    graph = Graph(Log)
    add(graph, "a", "b", "c")

    @graph.node
    async def way() -> Literal["b", "c"]:
        return "c"

    graph.add_edge(START, "a").add_router_edge("a", "way").add_edge("b", END).add_edge("c", END)
    progress, _ = course(graph)
    assert (progress.taken["a", "way"], progress.taken["way", "c"], progress.taken["way", "b"]) == (1, 1, 0)


def test_steps_of_a_subgraph_are_found_below_it() -> None:
    graph = Graph(Log)
    add(graph, "a", "z")

    @graph.subgraph()
    def sub() -> Graph[Log]:
        inner = Graph(Log)
        add(inner, "x", "y")
        return inner.add_edge(START, "x").add_edge("x", "y").add_edge("y", END)  # type: ignore[return-value]

    graph.add_edge(START, "a").add_repeating_edge("a", "sub", "z", repeat=2, parallel=True).add_edge("z", END)
    progress, _ = course(graph)
    assert progress.statuses == dict.fromkeys(("a", "z", "sub", "sub/x", "sub/y"), "done")
    assert (progress.counts["sub"], progress.counts["sub/x"]) == (2, 2)
    assert progress.taken["sub/__start__", "sub/x"] == progress.taken["sub/x", "sub/y"] == 2
    assert progress.taken["sub", "z"] == progress.taken["a", "sub"] == 1


def test_what_waits_waits_and_the_rest_is_pending() -> None:
    graph = Graph(Log)
    add(graph, "a", "z")

    @graph.node
    async def ask(ctx: Context) -> None:
        await ctx.ask("?")

    graph.add_edge(START, "a").add_edge("a", "ask").add_edge("ask", "z").add_edge("z", END)
    progress, status = course(graph)
    assert status == "PAUSED"
    assert progress.statuses == {"a": "done", "ask": "waiting", "z": "pending"}
    assert ("ask", "z") not in progress.taken


def test_a_breakpoint_waits_before_and_behind_its_node() -> None:
    for when, count in (("before", 0), ("after", 1)):
        graph = Graph(Log)
        add(graph, "a", interrupt=when)
        graph.add_edge(START, "a").add_edge("a", END)
        progress, _ = course(graph)
        assert progress.statuses["a"] == "waiting"
        assert progress.counts["a"] == count
        assert ("a", "__end__") not in progress.taken


def test_what_failed_failed_and_its_sibling_is_done() -> None:
    graph = Graph(Log)
    add(graph, "good", "z")

    @graph.node
    async def bad() -> None:
        raise ValueError("no")

    graph.add_edge(START, "bad").add_edge(START, "good").add_edge("bad", "z").add_edge("good", "z").add_edge("z", END)
    progress, status = course(graph)
    assert status == "FAILED"
    assert progress.statuses == {"bad": "failed", "good": "done"}
    assert progress.taken["good", "z"] == 1
    assert progress.taken["bad", "z"] == 0


def test_an_instance_that_waits_keeps_its_group_from_leaving() -> None:
    graph = Graph(Log)
    add(graph, "a", "z")

    @graph.node
    async def each(item: int, ctx: Context) -> None:
        if item == 2:
            await ctx.ask("?")

    def items(state: Log) -> list[int]:
        return [1, 2, 3]

    graph.add_edge(START, "a").add_map_edge("a", "each", "z", over=items).add_edge("z", END)
    progress, _ = course(graph)
    assert progress.statuses["each"] == "waiting"
    assert progress.counts["each"] == 2
    assert ("each", "z") not in progress.taken


def test_paths_are_read_from_ids() -> None:
    assert path_of("sub#1[0]/check#12") == "sub/check"
    assert path_of("work#1[3]") == "work"
    assert path_of("issue#7#2") == "issue#7"


def test_a_fork_does_not_wait_at_its_parents_breakpoint() -> None:
    graph = Graph(Log, store="memory:")
    add(graph, "a", interrupt="before")
    add(graph, "z")
    graph.add_edge(START, "a").add_edge("a", "z").add_edge("z", END)

    async def whole() -> tuple[Progress, Progress]:
        parent: Run[Any] = graph.start()
        await parent.wait()
        fork = await parent.fork()
        await fork.wait()
        held = progress_of(graph.plan, await fork.history(), await unfinished_steps(fork), fork.status)
        await fork.resume()
        return held, progress_of(graph.plan, await fork.history(), await unfinished_steps(fork), fork.status)

    held, done = asyncio.run(whole())
    assert held.statuses == {"a": "waiting", "z": "pending"}
    assert done.statuses == {"a": "done", "z": "done"}
    assert done.taken["a", "z"] == 1


def test_nobody_waits_in_a_cancelled_run() -> None:
    for stop in ("breakpoint", "question"):
        graph = Graph(Log)
        add(graph, "a", interrupt="before" if stop == "breakpoint" else None)

        @graph.node
        async def ask(ctx: Context) -> None:
            await ctx.ask("?")

        graph.add_edge(START, "a").add_edge("a", "ask").add_edge("ask", END)

        async def whole(graph: Graph[Any] = graph) -> Progress:
            run: Run[Any] = graph.start()
            await run.wait()
            await run.cancel()
            return progress_of(graph.plan, await run.history(), await unfinished_steps(run), run.status)

        progress = asyncio.run(whole())
        assert progress.statuses is not None
        assert "waiting" not in progress.statuses.values(), stop


def test_a_picture_of_a_run_says_what_its_progress_says() -> None:
    graph = Graph(Log)
    add(graph, "a")

    @graph.node
    async def bad() -> None:
        raise ValueError("no")

    graph.add_edge(START, "a").add_edge("a", "bad").add_edge("bad", END)

    async def whole() -> Picture:
        run: Run[Any] = graph.start()
        await run.wait()
        return Picture.of_run(graph.plan, await run.history(), await unfinished_steps(run), run.status)

    picture = asyncio.run(whole())
    assert 'data-node="a" data-status="done"' in picture.svg
    assert 'data-node="bad" data-status="failed"' in picture.svg
    assert 'data-edge="a-&gt;bad" data-kind="arrow" data-taken="1"' in picture.svg
    assert "(failed)" in picture.mermaid.replace("#40;", "(").replace("#41;", ")")
    assert "(failed)" in picture.dot
