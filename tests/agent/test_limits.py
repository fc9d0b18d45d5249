"""Usage is summed over the run; limits stop it before one call too many."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.agent.scenes import drawn, said, started

from ropewalk import (
    END,
    START,
    Agent,
    Context,
    Limits,
    RunStatus,
    ScriptedModel,
    ScriptedReply,
    ToolCall,
    ToolGraph,
    ToolLoopOptions,
    ToolNode,
    ToolState,
    Usage,
    tool,
)
from ropewalk.errors import ModelLimitReached, RunFailed
from ropewalk.stores.memory import MemoryRunStore

ran: list[str] = []
USED = Usage(input_tokens=100, output_tokens=10, cached_tokens=50, reasoning_tokens=4, cost=0.25)


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@tool("Work")
async def work(name: str = "x") -> str:
    ran.append(name)
    return name


def endless(usage: Usage = USED) -> ScriptedModel:
    return ScriptedModel(lambda _: ScriptedReply(tool_calls=[ToolCall("work")], usage=usage))


def reached(run: Any) -> ModelLimitReached:
    assert isinstance(run.error, RunFailed)
    assert run.error.reason == "model_limit_reached"
    assert isinstance(run.error.__cause__, ModelLimitReached)
    return run.error.__cause__


def test_usage_sums_over_calls_nodes_and_processes() -> None:
    async def main() -> None:
        store = MemoryRunStore()
        graph: ToolGraph[ToolState] = ToolGraph("sum", store=store)
        replies = [ScriptedReply(tool_calls=[ToolCall("work")], usage=USED), ScriptedReply(text="ok", usage=USED)]
        graph.add_tool_node("a", [work], ScriptedModel(replies))
        graph.add_tool_node("b", [work], ScriptedModel(replies))
        graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
        run = graph.start(ToolState(messages=said()))
        await run
        assert run.usage == USED + USED + USED + USED
        assert run.usage.cost == 1.0
        assert (run.usage.input_tokens, run.usage.output_tokens) == (400, 40)
        graph2: ToolGraph[ToolState] = ToolGraph("sum", store=store)
        graph2.add_tool_node("a", [work], ScriptedModel([]))
        graph2.add_tool_node("b", [work], ScriptedModel([]))
        graph2.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
        assert graph2.open(run.run_id).usage == run.usage

    asyncio.run(main())


def test_a_run_without_models_has_used_nothing() -> None:
    from ropewalk import Graph

    async def main() -> None:
        graph: Graph[Any] = Graph(name="empty")
        graph.add_node(lambda: None, name="nothing")
        run = graph.start()
        await run
        assert run.usage == Usage()

    asyncio.run(main())


def test_an_unknown_price_makes_the_sum_unknown() -> None:
    async def main() -> None:
        replies = [
            ScriptedReply(tool_calls=[ToolCall("work")], usage=USED),
            ScriptedReply(text="ok", usage=replace(USED, cost=None)),
        ]
        run = await started(drawn(replies, [work]))
        assert run.usage.cost is None
        assert run.usage.input_tokens == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("limits", "name", "calls"),
    [
        (Limits(calls=3), "calls", 3),
        (Limits(input_tokens=250), "input_tokens", 3),
        (Limits(output_tokens=20), "output_tokens", 2),
        (Limits(tokens=330), "tokens", 3),
        (Limits(cost=0.5), "cost", 2),
    ],
)
def test_a_limit_stops_before_the_next_call(limits: Limits, name: str, calls: int) -> None:
    async def main() -> None:
        model = endless()
        run = await started(drawn(model, [work], limits=limits))
        assert reached(run).limit == name
        assert len(model.requests) == calls
        assert len(ran) == calls

    asyncio.run(main())


def test_a_reply_gets_no_more_room_than_is_left() -> None:
    async def main() -> None:
        model = endless()
        await started(drawn(model, [work], limits=Limits(output_tokens=25), max_tokens=1000))
        assert [request.max_tokens for request in model.requests] == [25, 15, 5]
        model = endless()
        await started(drawn(model, [work], limits=Limits(tokens=230), max_tokens=50))
        assert [request.max_tokens for request in model.requests] == [50, 50, 10]

    asyncio.run(main())


def test_what_is_not_known_counts_as_too_much() -> None:
    async def main() -> None:
        model = endless(replace(USED, cost=None))
        run = await started(drawn(model, [work], limits=Limits(cost=100)))
        assert reached(run).used is None
        assert len(model.requests) == 1

    asyncio.run(main())


def test_tools_are_limited_too_and_none_of_a_round_that_is_too_much_runs() -> None:
    async def main() -> None:
        model = ScriptedModel(lambda _: [ToolCall("work"), ToolCall("work")])
        run = await started(drawn(model, [work], max_tool_calls=3))
        assert reached(run).limit == "tool_calls"
        assert len(ran) == 2

    asyncio.run(main())


class SlowStore(MemoryRunStore):
    """What was asked is not in the log for a while."""

    async def append(self, run_id: str, **entries: Any) -> None:
        await asyncio.sleep(0.02)
        await super().append(run_id, **entries)


@pytest.mark.parametrize("store", [None, SlowStore()], ids=["no store", "a slow store"])
def test_loops_side_by_side_share_the_limit_and_none_takes_one_call_too_many(store: MemoryRunStore | None) -> None:
    async def main() -> None:
        asked = 0

        async def answer(_: Any) -> Any:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.01)
            return ToolCall("work")

        graph: ToolGraph[ToolState] = ToolGraph("shared", store=store)
        options = ToolLoopOptions(limits=Limits(calls=5))
        for name in "abc":
            graph.add_tool_node(name, [work], ScriptedModel(answer), options)
            graph.add_edge(START, name).add_edge(name, END)
        run = graph.start(ToolState(messages=said()))
        assert await run.wait() is RunStatus.FAILED
        assert asked == 5

    asyncio.run(main())


def test_a_raised_limit_lets_a_resumed_run_go_on_where_it_was() -> None:
    async def main() -> None:
        store = MemoryRunStore()
        run = await started(drawn(endless(), [work], limits=Limits(calls=2), store=store))
        assert run.status is RunStatus.FAILED
        model = ScriptedModel(["done"])
        other = drawn(model, [work], limits=Limits(calls=3), store=store).open(run.run_id)
        assert await other.resume() is RunStatus.DONE
        assert len(ran) == 2
        assert len(model.requests) == 1

    asyncio.run(main())


def test_usage_outlives_a_snapshot() -> None:
    from ropewalk.core.schedule import Schedule
    from ropewalk.core.snapshot import dump_snapshot, load_snapshot

    async def main() -> None:
        @tool("Ask", pause_before_execution=True, approval_seconds=60)
        async def ask() -> None: ...

        graph = drawn([ScriptedReply(tool_calls=[ToolCall("ask", {}, "c")], usage=USED), "never"], [ask])
        run = await started(graph)
        old = (await run.read()).schedule
        new = Schedule(old.plan, old.shape, run.run_id, max_iterations=100)
        assert load_snapshot(new, dump_snapshot(old))
        assert new.usage == old.usage
        (pause,) = new.open_pauses.values()
        assert pause.fact.expires_at == run.pauses[0].expires_at
        assert pause.fact.otherwise == b'{"approve":false,"expired":true}'

    asyncio.run(main())


class StoreBusyWithAnother(MemoryRunStore):
    """Takes long over what the node `busy` keeps: what others wrote meanwhile waits for its turn."""

    async def append(self, run_id: str, **entries: Any) -> None:
        if any(b"step_recorded" in body for body in entries["bodies"]):
            await asyncio.sleep(0.2)
        await super().append(run_id, **entries)


def test_a_reply_that_waits_for_its_commit_counts() -> None:
    async def main() -> None:
        asked = 0

        async def answer(_: Any) -> Any:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.02)
            return "done"

        async def busy(ctx: Context) -> None:
            async def one() -> int:
                return 1

            await ctx.step("busy", one)

        options = ToolLoopOptions(limits=Limits(calls=1))
        node = ToolNode(Agent(name="late", model=ScriptedModel(answer), options=options))

        async def late(state: ToolState, ctx: Context) -> Any:
            await asyncio.sleep(0.1)
            return await node(state, ctx)

        graph: ToolGraph[ToolState] = ToolGraph("shared", store=StoreBusyWithAnother())
        graph.add_tool_node("early", [], ScriptedModel(answer), options)
        graph.add_node(busy).add_node(late)
        for name in ("early", "late", "busy"):
            graph.add_edge(START, name).add_edge(name, END)
        run = graph.start(ToolState(messages=said()))
        assert await run.wait() is RunStatus.FAILED
        assert reached(run).limit == "calls"
        assert asked == 1

    asyncio.run(main())
