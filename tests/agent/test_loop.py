"""The loop: what the model is sent, what its calls do, what is left in the state."""

import asyncio
import time
from typing import Any

import pytest
from tests.agent.scenes import check_requests, drawn, entries, results, said, started, types

from ropewalk import (
    END,
    START,
    LLMMessage,
    Run,
    RunStatus,
    ScriptedModel,
    ScriptedReply,
    ToolCall,
    ToolContext,
    ToolState,
    tool,
)
from ropewalk.errors import (
    ModelLimitReached,
    ModelUnavailable,
    OutputInvalid,
    ReplyCutOff,
    ReplyNotFinal,
    ReplyRefused,
    RunFailed,
    ToolArgumentsInvalid,
    ToolErrors,
    ToolUnknown,
)


@tool("Search")
async def search(query: str, limit: int = 1) -> dict[str, Any]:
    return {"found": [query] * limit}


@tool("Fail")
async def fail(why: str = "no rope") -> None:
    raise ValueError(why)


def cause(run: Run[Any]) -> BaseException | None:
    """Return what made a run fail."""
    assert isinstance(run.error, RunFailed)
    return run.error.__cause__


def test_a_loop_asks_runs_tools_and_answers() -> None:
    async def main() -> None:
        model = ScriptedModel([["I will look.", ToolCall("search", {"query": "rope", "limit": 2})], "There is rope."])
        run = await started(drawn(model, [search], system_prompt="Be brief."))
        state = await run
        assert state.final_output == "There is rope."
        assert state.is_complete
        assert state.current_iteration == 2
        assert [message.role for message in state.messages] == ["user", "assistant", "tool", "assistant"]
        assert state.messages[2].content == '{"found": ["rope", "rope"]}'
        (log,) = state.tool_calls
        assert (log.tool_name, log.arguments, log.result, log.success) == (
            "search",
            {"query": "rope", "limit": 2},
            {"found": ["rope", "rope"]},
            True,
        )
        first, second = model.requests
        assert [message.role for message in first.messages] == ["system", "user"]
        assert first.messages[0].content == "Be brief."
        assert [spec.name for spec in first.tools] == ["search"]
        assert [message.role for message in second.messages] == ["system", "user", "assistant", "tool"]
        assert second.messages[3].tool_call_id == second.messages[2].tool_calls[0].id  # type: ignore[index]
        assert await types(run) == [
            "run_started",
            "model_replied",
            "tool_call",
            "tool_result",
            "model_replied",
            "step_finished",
            "run_done",
        ]

    asyncio.run(main())


def test_parallel_calls_run_side_by_side_and_answer_in_their_order() -> None:
    @tool("Wait")
    async def wait(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async def main() -> None:
        calls = [ToolCall("wait", {"seconds": seconds}) for seconds in (0.3, 0.1, 0.2)]
        begun = time.monotonic()
        run = await started(drawn([calls, "done"], [wait]))
        assert time.monotonic() - begun < 0.55
        assert [message.content for message in run.state.messages if message.role == "tool"] == ["0.3", "0.1", "0.2"]
        finished = [entry["result"] for entry in await entries(run, "tool_result")]
        assert finished == [0.1, 0.2, 0.3]

    asyncio.run(main())


def test_a_plain_function_runs_in_a_thread() -> None:
    @tool("Block")
    def block(seconds: float) -> str:
        time.sleep(seconds)
        return "slept"

    async def main() -> None:
        begun = time.monotonic()
        run = await started(drawn([[ToolCall("block", {"seconds": 0.3})] * 3, "done"], [block]))
        assert time.monotonic() - begun < 0.75
        assert results(run.state.messages) == [("slept", False)] * 3

    asyncio.run(main())


def test_no_more_tools_run_at_once_than_allowed() -> None:
    now = most = 0

    @tool("Count")
    async def count() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1

    asyncio.run(started(drawn([[ToolCall("count")] * 5, "done"], [count], max_parallel_tools=2)))
    assert most == 2


def test_what_goes_wrong_is_told_to_the_model_with_the_reason() -> None:
    async def main() -> None:
        script = [
            ToolCall("serach", {"query": "x"}),
            [ToolCall("search", {"limit": "many"}), ToolCall("search", {}, invalid='{"query": ')],
            [ToolCall("fail"), ToolCall("search", {"query": "x"})],
            "sorry",
        ]
        model = ScriptedModel(script)
        run = await started(drawn(model, [search, fail]))
        told = results(run.state.messages)
        assert "There is no tool 'serach'. Did you mean 'search'?" in told[0][0]
        assert "limit: Input should be a valid integer" in told[1][0]
        assert "query: is missing" in told[1][0]
        assert "not a JSON object" in told[2][0]
        assert told[3][0] == "fail failed. ValueError: no rope"
        assert [is_error for _, is_error in told] == [True, True, True, True, False]
        assert run.state.final_output == "sorry"
        assert [log.success for log in run.state.tool_calls] == [False, False, False, False, True]
        check_requests(model)

    asyncio.run(main())


def test_a_model_that_only_fails_is_stopped() -> None:
    async def main() -> None:
        model = ScriptedModel(lambda _: ToolCall("nothing"))
        run = await started(drawn(model, [search], max_failed_rounds=2))
        error = cause(run)
        assert isinstance(error, ToolErrors)
        assert len(model.requests) == 3
        assert isinstance(run.error, RunFailed)
        assert run.error.reason == "tool_errors"
        assert run.state.error is not None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (ToolCall("nothing"), ToolUnknown),
        (ToolCall("search", {"query": ["x"]}), ToolArgumentsInvalid),
        (ToolCall("fail"), ValueError),
    ],
)
def test_errors_are_raised_where_that_is_asked_for(call: ToolCall, kind: type[Exception]) -> None:
    async def main() -> None:
        model = ScriptedModel([call, "never"])
        run = await started(drawn(model, [search, fail], on_error="raise"))
        assert isinstance(cause(run), kind)
        assert len(model.requests) == 1

    asyncio.run(main())


def test_siblings_of_a_call_that_raises_finish_and_are_not_run_again() -> None:
    ran: list[str] = []
    broken = True

    @tool("Mark", effects="once")
    async def mark(name: str) -> str:
        ran.append(name)
        await asyncio.sleep(0.02)
        return name

    @tool("Break", on_error="raise", effects="once")
    async def break_() -> str:
        ran.append("break")
        if broken:
            raise RuntimeError("broken")
        return "mended"

    async def main() -> None:
        nonlocal broken
        calls = [ToolCall("break_"), ToolCall("mark", {"name": "a"}), ToolCall("mark", {"name": "b"})]
        run = await started(drawn([calls, "done"], [mark, break_]))
        assert run.status is RunStatus.FAILED
        assert sorted(ran) == ["a", "b", "break"]
        broken = False
        assert await run.resume() is RunStatus.DONE
        assert sorted(ran) == ["a", "b", "break", "break"]
        assert results(run.state.messages) == [("mended", False), ("a", False), ("b", False)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        ("length", ReplyCutOff),
        ("context", ReplyCutOff),
        ("refusal", ReplyRefused),
        ("filter", ReplyRefused),
        ("tool_calls", ReplyNotFinal),
    ],
)
def test_a_reply_that_is_no_answer_is_never_taken_for_one(finish: Any, kind: type[Exception]) -> None:
    async def main() -> None:
        ran: list[str] = []

        @tool("Mark")
        async def mark() -> None:
            ran.append("mark")

        calls = () if finish == "tool_calls" else (ToolCall("mark"),)
        model = ScriptedModel([ScriptedReply(text="half an ans", tool_calls=calls, finish=finish), "whole"])
        run = await started(drawn(model, [mark]))
        assert isinstance(cause(run), kind)
        assert run.state.final_output is None
        assert run.usage.output_tokens > 0  # it was paid for
        assert not ran
        assert await run.resume() is RunStatus.DONE  # and is asked for again
        assert run.state.final_output == "whole"
        assert len(model.requests) == 2

    asyncio.run(main())


def test_a_provider_that_wants_to_go_on_is_asked_again() -> None:
    async def main() -> None:
        model = ScriptedModel([ScriptedReply(text="thinking", finish="paused"), "the end"])
        run = await started(drawn(model))
        assert run.state.final_output == "the end"
        assert [message.text for message in model.requests[1].messages] == ["What now?", "thinking"]

    asyncio.run(main())


def test_a_model_s_error_fails_the_run_and_resume_asks_again() -> None:
    async def main() -> None:
        model = ScriptedModel([ToolCall("search", {"query": "x"}), ModelUnavailable("gone"), "back"])
        run = await started(drawn(model, [search]))
        assert isinstance(run.error, RunFailed)
        assert run.error.reason == "model_unavailable"
        assert await run.resume() is RunStatus.DONE
        assert len(model.requests) == 3
        assert [log.tool_name for log in run.state.tool_calls] == ["search"]

    asyncio.run(main())


def test_the_model_is_asked_no_more_often_than_allowed() -> None:
    async def main() -> None:
        model = ScriptedModel(lambda _: ToolCall("search", {"query": "x"}))
        run = await started(drawn(model, [search], max_iterations=3))
        error = cause(run)
        assert isinstance(error, ModelLimitReached)
        assert (error.limit, error.allowed) == ("max_iterations", 3)
        assert len(model.requests) == 3
        assert len(await entries(run, "tool_result")) == 3

    asyncio.run(main())


def test_a_tool_that_ends_the_loop_gives_the_final_output() -> None:
    @tool("Finish", abort_after_execution=True)
    async def finish(answer: str) -> dict[str, str]:
        if not answer:
            raise ValueError("empty")
        return {"answer": answer}

    async def main() -> None:
        calls = [ToolCall("search", {"query": "x"}), ToolCall("finish", {"answer": "42"})]
        model = ScriptedModel([ToolCall("finish", {"answer": ""}), calls, "never"])
        run = await started(drawn(model, [search, finish]))
        assert run.state.final_output == {"answer": "42"}
        assert len(model.requests) == 2
        assert [log.success for log in run.state.tool_calls] == [False, True, True]

    asyncio.run(main())


def test_a_timeout_is_told_and_the_tool_is_cancelled() -> None:
    cancelled: list[str] = []

    @tool("Hang", timeout=0.05)
    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("hang")
            raise

    async def main() -> None:
        run = await started(drawn([ToolCall("hang"), "sorry"], [hang]))
        assert results(run.state.messages) == [
            ("hang failed. Tool 'hang' took longer than its timeout of 0.05 s.", True)
        ]
        assert cancelled == ["hang"]

    asyncio.run(main())


def test_a_tool_is_tried_again_as_its_policy_says() -> None:
    from ropewalk import Retry

    tries: list[str] = []

    @tool("Try", retry=Retry(3, backoff=0, on=(OSError,)))
    async def attempt(ctx: ToolContext) -> str:
        tries.append(ctx.idempotency_key)
        if len(tries) < 3:
            raise OSError("not yet")
        return "at last"

    @tool("Try", retry=Retry(3, backoff=0, on=(OSError,)))
    async def other() -> str:
        tries.append("other")
        raise ValueError("for ever")

    async def main() -> None:
        run = await started(drawn([[ToolCall("attempt")], [ToolCall("other")], "done"], [attempt, other]))
        assert results(run.state.messages) == [("at last", False), ("other failed. ValueError: for ever", True)]
        assert len(set(tries)) == 2  # one key for all tries of a call
        assert tries.count("other") == 1

    asyncio.run(main())


def test_what_a_tool_has_kept_is_found_by_its_next_try() -> None:
    from ropewalk import Retry

    fetched: list[int] = []

    async def fetch() -> int:
        fetched.append(1)
        return 7

    @tool("Try", retry=Retry(3, backoff=0))
    async def attempt(ctx: ToolContext) -> int:
        price = await ctx.step("price", fetch)
        if len(fetched) == 1:
            fetched.append(0)
            raise OSError("not yet")
        return price

    async def main() -> None:
        run = await started(drawn([ToolCall("attempt"), "done"], [attempt]))
        assert results(run.state.messages) == [("7", False)]
        assert fetched.count(1) == 1

    asyncio.run(main())


def test_a_node_beside_a_loop_sees_nobody_paused() -> None:
    seen: list[Any] = []

    async def main() -> None:
        graph = drawn(["done"])
        graph.add_node(lambda state: seen.append((state.is_paused, state.paused_tool_name)), name="look")
        graph.add_edge(START, "look").add_edge("look", END)
        await started(graph)
        assert seen == [(False, None)]

    asyncio.run(main())


def test_a_tool_that_cancels_itself_fails_and_nothing_else_does() -> None:
    @tool("Quit")
    async def quit_() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        run = await started(drawn([[ToolCall("quit_"), ToolCall("search", {"query": "x"})], "done"], [quit_, search]))
        assert run.status is RunStatus.DONE
        assert [is_error for _, is_error in results(run.state.messages)] == [True, False]

    asyncio.run(main())


def test_cancelling_the_run_reaches_the_tools() -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    @tool("Hang")
    async def hang(name: str) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def main() -> None:
        graph = drawn([[ToolCall("hang", {"name": "a"}), ToolCall("hang", {"name": "b"})], "never"], [hang])
        run = graph.start(ToolState(messages=said()))
        await begun.wait()
        await run.cancel("enough")
        assert sorted(ended) == ["a", "b"]
        assert run.status is RunStatus.CANCELLED

    asyncio.run(main())


def test_results_of_any_kind_become_what_a_model_can_read() -> None:
    import datetime

    from pydantic import BaseModel

    class Found(BaseModel):
        when: datetime.date

    class Odd:
        def __str__(self) -> str:
            return "odd"

    values = iter([None, "text", b"\xff", Found(when=datetime.date(2026, 1, 2)), {"a": {1, 2}}, Odd(), float("nan")])

    @tool("Give")
    def give() -> Any:
        return next(values)

    async def main() -> None:
        run = await started(drawn([[ToolCall("give")] * 7, "done"], [give], max_parallel_tools=1))
        assert [text for text, _ in results(run.state.messages)] == [
            "null",
            "text",
            "_w==",
            '{"when": "2026-01-02"}',
            '{"a": [1, 2]}',
            "odd",
            "NaN",
        ]

    asyncio.run(main())


def test_a_result_that_no_log_could_hold_does_not_run_the_tool_again() -> None:
    ran: list[int] = []

    @tool("Grow", effects="once")
    def grow() -> str:
        ran.append(1)
        return "x" * (17 * 1024 * 1024)

    async def main() -> None:
        run = await started(drawn([ToolCall("grow"), "done"], [grow]))
        assert run.status is RunStatus.DONE
        assert ran == [1]
        assert "was not kept" in results(run.state.messages)[0][0]

    asyncio.run(main())


def test_calls_without_an_id_or_with_the_same_one_get_their_own() -> None:
    async def main() -> None:
        from ropewalk import Reply, Usage

        message = LLMMessage(
            role="assistant",
            tool_calls=[ToolCall("search", {"query": "a"}, "x"), ToolCall("search", {"query": "b"}, "x")],
        )
        reply = Reply(message=message, finish="tool_calls", usage=Usage(), provider="p", model="m")
        model = ScriptedModel([reply, "done"])
        run = await started(drawn(model, [search]))
        assert results(run.state.messages) == [('{"found": ["a"]}', False), ('{"found": ["b"]}', False)]
        check_requests(model)

    asyncio.run(main())


def test_a_conversation_that_ended_with_an_answer_goes_on() -> None:
    async def main() -> None:
        model = ScriptedModel(["more"])
        state = ToolState(messages=[*said(), LLMMessage(role="assistant", content="first")])
        await started(drawn(model), state)
        assert model.requests[0].messages[-1].role == "user"

    asyncio.run(main())


def test_an_empty_conversation_is_refused_before_anything_is_sent() -> None:
    async def main() -> None:
        model = ScriptedModel(["never"])
        run = await started(drawn(model), ToolState())
        assert isinstance(run.error, RunFailed)
        assert run.error.reason == "conversation_invalid"
        assert not model.requests

    asyncio.run(main())


def test_a_structured_answer_that_never_fits_ends_in_a_typed_error() -> None:
    from pydantic import BaseModel

    class Answer(BaseModel):
        city: str

    async def main() -> None:
        model = ScriptedModel(lambda _: "Paris, I think")
        run = await started(drawn(model, output_schema=Answer, output_retries=2))
        assert isinstance(cause(run), OutputInvalid)
        assert len(model.requests) == 3

    asyncio.run(main())
