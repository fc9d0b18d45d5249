"""Tool loops of runs that workers drive: asked there, answered here, gone on with by another worker."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.agent.scenes import drawn, results, said

from ropewalk import Approve, RunStatus, ScriptedModel, ToolCall, ToolContext, ToolState, tool
from ropewalk.errors import AnswerInvalid
from ropewalk.runtime import open_store
from ropewalk.workers import Worker

pytestmark = pytest.mark.slow


@asynccontextmanager
async def opened(url: str, script: list[Any], tools: list[Any]) -> Any:
    """Yield the graph over a store of its own, as a process has it."""
    store = open_store(url)
    try:
        yield drawn(ScriptedModel(script), tools, store=store)
    finally:
        await store.close()


def test_a_call_is_approved_from_elsewhere_and_made_by_a_worker(postgres_url: str) -> None:
    paid: list[float] = []

    @tool("Pay", pause_before_execution=True)
    async def pay(amount: float) -> str:
        paid.append(amount)
        return f"paid {amount}"

    async def main() -> None:
        calls = [ToolCall("pay", {"amount": 1}, "a"), ToolCall("pay", {"amount": 2}, "b")]
        async with opened(postgres_url, [], [pay]) as here, opened(postgres_url, [calls, "done"], [pay]) as there:
            run = await here.submit(ToolState(messages=said()))
            async with Worker(there, lease=10):
                assert await run.wait() is RunStatus.PAUSED
                assert run.state.paused_tool_id == "a"
                first, second = run.pauses
                with pytest.raises(AnswerInvalid):
                    await run.answer(first.id, "perhaps")
                assert await run.wait() is RunStatus.PAUSED
                await run.answer(second.id, Approve())
                await run.answer(first.id, Approve({"amount": 9}))
                state = await run
            assert sorted(paid) == [2, 9]
            assert "paid 9.0" in results(state.messages)[0][0]
            assert state.final_output == "done"
            assert run.usage.output_tokens > 0

    asyncio.run(main())


def test_another_worker_goes_on_and_asks_about_what_must_not_happen_twice(postgres_url: str) -> None:
    begun = asyncio.Event()
    keys: list[str] = []
    hangs = True

    @tool("Charge", effects="once")
    async def charge(ctx: ToolContext) -> str:
        keys.append(ctx.idempotency_key)
        begun.set()
        if hangs:
            await asyncio.Event().wait()
        return "charged"

    async def main() -> None:
        nonlocal hangs
        script = [ToolCall("charge", {}, "c")]
        async with opened(postgres_url, script, [charge]) as one, opened(postgres_url, ["done"], [charge]) as other:
            run = await other.submit(ToolState(messages=said()))
            worker = Worker(one, lease=1, grace=0.1)
            async with worker:
                await asyncio.wait_for(begun.wait(), 20)
            hangs = False
            async with Worker(other, lease=10):
                assert await run.wait() is RunStatus.PAUSED
                assert run.pauses[0].payload["outcome"] == "unknown"
                await run.answer(run.pauses[0].id, Approve())
                assert results((await run).messages) == [("charged", False)]
            assert len(keys) == 2
            assert keys[0] == keys[1]

    asyncio.run(main())
