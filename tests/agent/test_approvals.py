"""Approvals: each bound to its call and its arguments, answered in any order, partly, by anybody, once."""

import asyncio
from typing import Any

import pytest
from tests.agent.scenes import check_requests, drawn, entries, results, said, started, types

from ropewalk import Approve, Reject, Run, RunStatus, ScriptedModel, ToolCall, ToolContext, ToolState, tool
from ropewalk.agent.approvals import hash_of
from ropewalk.errors import AlreadyAnswered, AnswerInvalid, PauseExpired
from ropewalk.stores.memory import MemoryRunStore

paid: list[tuple[str, float]] = []


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    paid.clear()


@tool("Pay", pause_before_execution=True)
async def pay(order: str, amount: float) -> dict[str, Any]:
    paid.append((order, amount))
    return {"paid": amount}


@tool("Change", pause_after_execution=True)
async def change(user: str) -> dict[str, Any]:
    paid.append((user, 0))
    return {"changed": user}


@tool("Look")
async def look() -> str:
    paid.append(("look", 0))
    return "seen"


TWO = [ToolCall("pay", {"order": "a", "amount": 1}, "call_a"), ToolCall("pay", {"order": "b", "amount": 2}, "call_b")]


def pause_of(run: Run[Any], call_id: str) -> Any:
    return next(pause for pause in run.pauses if pause.payload["call_id"] == call_id)


async def answered(run: Run[Any], call_id: str, value: Any) -> None:
    await run.answer(pause_of(run, call_id).id, value)
    await run.wait()


def test_a_question_says_what_is_to_be_run() -> None:
    async def main() -> None:
        run = await started(drawn([TWO[0], "done"], [pay]))
        assert run.status is RunStatus.PAUSED
        (pause,) = run.pauses
        assert pause.kind == "approval"
        assert pause.payload == {
            "tool": "pay",
            "arguments": {"order": "a", "amount": 1},
            "call_id": "call_a",
            "when": "before",
        }
        assert not paid
        await run.answer(pause.id, Approve())
        state = await run
        assert paid == [("a", 1)]
        assert results(state.messages) == [('{"paid": 1.0}', False)]

    asyncio.run(main())


@pytest.mark.parametrize("value", [Approve(), {"approve": True}, True])
def test_yes_is_said_in_three_ways(value: Any) -> None:
    async def main() -> None:
        run = await started(drawn([TWO[0], "done"], [pay]))
        await answered(run, "call_a", value)
        assert run.status is RunStatus.DONE
        assert paid == [("a", 1)]
        given = next(entry.data["value"] for entry in await run.history() if entry.type == "answered")
        assert given == {"approve": True, "hash": hash_of({"order": "a", "amount": 1})}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Reject("too much"), "pay was not run: a person rejected it. Reason: too much"),
        ({"approve": False, "reason": "too much"}, "pay was not run: a person rejected it. Reason: too much"),
        (Reject(), "pay was not run: a person rejected it."),
        (False, "pay was not run: a person rejected it."),
    ],
)
def test_no_is_told_to_the_model_with_its_reason(value: Any, told: str) -> None:
    async def main() -> None:
        model = ScriptedModel([TWO[0], "as you like"])
        run = await started(drawn(model, [pay]))
        await answered(run, "call_a", value)
        assert not paid
        assert results(run.state.messages) == [(told, True)]
        assert run.state.final_output == "as you like"
        check_requests(model)

    asyncio.run(main())


def test_changed_arguments_are_checked_run_and_told() -> None:
    async def main() -> None:
        run = await started(drawn([TWO[0], "done"], [pay]))
        pause = pause_of(run, "call_a").id
        with pytest.raises(AnswerInvalid, match=r"amount: .*'much'"):
            await run.answer(pause, Approve({"order": "a", "amount": "much"}))
        with pytest.raises(AnswerInvalid, match="amount: is missing"):
            await run.answer(pause, {"approve": True, "arguments": {"order": "a"}})
        assert run.status is RunStatus.PAUSED
        assert "answered" not in await types(run)
        await run.answer(pause, Approve({"order": "a", "amount": 0.5}))
        state = await run
        assert paid == [("a", 0.5)]
        ((text, is_error),) = results(state.messages)
        assert '{"order": "a", "amount": 0.5}' in text
        assert "A person changed the arguments" in text
        assert '{"paid": 0.5}' in text
        assert not is_error
        assert state.tool_calls[0].arguments == {"order": "a", "amount": 0.5}
        assert state.messages[1].tool_calls[0].arguments == {"order": "a", "amount": 1}

    asyncio.run(main())


@pytest.mark.parametrize(
    "value",
    [
        None,
        "yes",
        1,
        [],
        {},
        {"approve": "yes"},
        {"approve": 1},
        {"aprove": True},
        {"approve": True, "arguments": [1]},
        {"approve": False, "arguments": {"order": "a", "amount": 1}},
        {"approve": False, "reason": 5},
        {"approve": True, "execute": True},
        {"happened": True, "result": 1},
        object(),
    ],
)
def test_what_is_no_answer_is_refused_before_it_is_durable(value: Any) -> None:
    async def main() -> None:
        run = await started(drawn([TWO[0], "done"], [pay]))
        with pytest.raises(AnswerInvalid):
            await run.answer(run.pauses[0].id, value)
        assert run.status is RunStatus.PAUSED
        assert "answered" not in await types(run)
        assert len(run.pauses) == 1

    asyncio.run(main())


@pytest.mark.parametrize("order", [("call_a", "call_b"), ("call_b", "call_a")])
def test_several_are_open_at_once_and_answered_in_any_order(order: tuple[str, str]) -> None:
    async def main() -> None:
        model = ScriptedModel([[*TWO, ToolCall("look", {}, "call_c")], "done"])
        run = await started(drawn(model, [pay, look]))
        assert [pause.payload["call_id"] for pause in run.pauses] == ["call_a", "call_b"]
        assert paid == [("look", 0)]  # what needs nobody has run
        answers = {"call_a": Reject("not a"), "call_b": Approve()}
        await answered(run, order[0], answers[order[0]])
        assert run.status is RunStatus.PAUSED
        assert [pause.payload["call_id"] for pause in run.pauses] == [order[1]]
        assert len(model.requests) == 1
        await answered(run, order[1], answers[order[1]])
        assert run.status is RunStatus.DONE
        assert paid == [("look", 0), ("b", 2)]
        told = results(run.state.messages)
        assert [is_error for _, is_error in told] == [True, False, False]
        assert "not a" in told[0][0]
        assert told[1][0] == '{"paid": 2.0}'
        check_requests(model)

    asyncio.run(main())


def test_both_may_be_answered_before_the_run_goes_on() -> None:
    async def main() -> None:
        run = await started(drawn([TWO, "done"], [pay]))
        a, b = run.pauses
        await asyncio.gather(run.answer(b.id, Approve()), run.answer(a.id, Approve()))
        await run.wait()
        assert run.status is RunStatus.DONE
        assert sorted(paid) == [("a", 1), ("b", 2)]
        with pytest.raises(AlreadyAnswered):
            await run.answer(a.id, Reject())

    asyncio.run(main())


def test_two_calls_with_the_same_arguments_are_two_questions() -> None:
    async def main() -> None:
        run = await started(drawn([[TWO[0], ToolCall("pay", {"order": "a", "amount": 1}, "call_z")], "done"], [pay]))
        assert len({pause.id for pause in run.pauses}) == 2
        await answered(run, "call_z", Approve())
        assert paid == [("a", 1)]
        assert run.status is RunStatus.PAUSED

    asyncio.run(main())


def test_after_execution_the_effect_stands_and_the_result_may_be_refused() -> None:
    async def main() -> None:
        model = ScriptedModel(
            [[ToolCall("change", {"user": "u"}, "c1"), ToolCall("change", {"user": "v"}, "c2")], "ok"]
        )
        run = await started(drawn(model, [change]))
        first, _ = run.pauses
        assert first.payload == {
            "tool": "change",
            "arguments": {"user": "u"},
            "call_id": "c1",
            "when": "after",
            "result": {"changed": "u"},
        }
        assert paid == [("u", 0), ("v", 0)]
        with pytest.raises(AnswerInvalid, match="before it runs"):
            await run.answer(first.id, Approve({"user": "w"}))
        await answered(run, "c1", Reject("wrong user"))
        await answered(run, "c2", Approve())
        assert run.status is RunStatus.DONE
        assert paid == [("u", 0), ("v", 0)]
        told = results(run.state.messages)
        assert told[0] == (
            "change has run and what it did stands, but a person refused its result. Reason: wrong user",
            True,
        )
        assert told[1] == ('{"changed": "v"}', False)
        assert [log.success for log in run.state.tool_calls] == [True, True]
        check_requests(model)

    asyncio.run(main())


def test_a_tool_may_pause_before_and_after() -> None:
    @tool("Both", pause_before_execution=True, pause_after_execution=True, abort_after_execution=True)
    async def both() -> str:
        paid.append(("both", 0))
        return "result"

    async def main() -> None:
        run = await started(drawn([ToolCall("both", {}, "c"), "refused"], [both]))
        await answered(run, "c", Approve())
        assert run.pauses[0].payload["when"] == "after"
        await answered(run, "c", Reject())
        assert run.state.final_output == "refused"
        other = await started(drawn([ToolCall("both", {}, "c"), "never"], [both]))
        await answered(other, "c", Approve())
        await answered(other, "c", Approve())
        assert other.state.final_output == "result"
        assert len(paid) == 2

    asyncio.run(main())


def test_another_process_answers_by_the_log_alone() -> None:
    async def main() -> None:
        store = MemoryRunStore()
        run = await started(drawn([TWO, "never asked here"], [pay], store=store))
        other_model = ScriptedModel(["done"])
        other = drawn(other_model, [pay], store=store).open(run.run_id)
        for pause in other.pauses:
            await other.answer(pause.id, Approve(), by="Ann")
        state = await other
        assert state.final_output == "done"
        assert sorted(paid) == [("a", 1), ("b", 2)]
        assert len(other_model.requests) == 1

    asyncio.run(main())


def test_an_answer_from_another_process_lets_the_call_that_was_answered_first_finish() -> None:
    begun = asyncio.Event()

    @tool("Pay", pause_before_execution=True)
    async def pay_slowly(order: str) -> str:
        begun.set()
        await asyncio.sleep(0.3)
        paid.append((order, 0))
        return order

    async def main() -> None:
        store = MemoryRunStore()
        calls = [ToolCall("pay_slowly", {"order": "a"}), ToolCall("pay_slowly", {"order": "b"})]
        run = await started(drawn([calls, "done"], [pay_slowly], store=store))
        first, second = run.pauses
        other = drawn(["done"], [pay_slowly], store=store).open(run.run_id)
        await run.answer(first.id, Approve(), by="Ann")
        await begun.wait()
        await other.answer(second.id, Approve(), by="Bob")
        state = await other
        assert [text for text, _ in results(state.messages)] == ["a", "b"]
        assert paid == [("a", 0), ("b", 0)]
        assert "reset" not in await types(other)

    asyncio.run(main())


def test_arguments_that_cannot_be_run_are_not_asked_about() -> None:
    async def main() -> None:
        run = await started(drawn([ToolCall("pay", {"order": "a"}), "sorry"], [pay]))
        assert run.status is RunStatus.DONE
        assert "amount: is missing" in results(run.state.messages)[0][0]

    asyncio.run(main())


def test_an_approval_that_expires_is_no_rejection() -> None:
    @tool("Pay", pause_before_execution=True, approval_seconds=0.2)
    async def pay_soon(order: str) -> str:
        paid.append((order, 0))
        return "paid"

    async def main() -> None:
        run = await started(drawn([ToolCall("pay_soon", {"order": "a"}, "c"), "later then"], [pay_soon]))
        (pause,) = run.pauses
        assert pause.expires_at is not None
        assert await run.resume() is RunStatus.PAUSED  # it may still be answered
        await asyncio.sleep(0.25)
        with pytest.raises(PauseExpired):
            await run.answer(pause.id, Approve())
        assert await run.resume() is RunStatus.DONE
        ((text, is_error),) = results(run.state.messages)
        assert text == "pay_soon was not run: nobody approved it in time. It was not rejected either."
        assert is_error
        assert not paid
        (entry,) = await entries(run, "tool_result")
        assert entry["status"] == "expired"

    asyncio.run(main())


def test_an_approval_in_time_is_one() -> None:
    async def main() -> None:
        run = await started(drawn([TWO[0], "done"], [pay], approval_seconds=60))
        await answered(run, "call_a", Approve())
        assert run.status is RunStatus.DONE
        assert paid == [("a", 1)]

    asyncio.run(main())


def test_the_seed_s_way_shows_one_call_at_a_time_and_answers_just_that_one() -> None:
    async def main() -> None:
        graph = drawn([[*TWO, ToolCall("change", {"user": "u"}, "call_c")], "done"], [pay, change])
        await graph.execute(ToolState(messages=said()))
        state = graph.state
        assert graph.chain_status is RunStatus.PAUSED
        assert state.is_paused
        assert not state.paused_after_execution
        assert (state.paused_tool_id, state.paused_tool_name) == ("call_a", "pay")
        assert state.paused_tool_arguments == {"order": "a", "amount": 1}
        assert state.paused_tool_result is None
        await graph.resume(execute_tool=True)
        assert paid == [("u", 0), ("a", 1)]
        assert graph.state.paused_tool_id == "call_b"
        await graph.resume(execute_tool=False)
        assert graph.state.paused_after_execution
        assert graph.state.paused_tool_name == "change"
        assert graph.state.paused_tool_result.result == {"changed": "u"}
        await graph.resume(execute_tool=True)
        assert graph.chain_status is RunStatus.DONE
        assert not graph.state.is_paused
        assert graph.state.paused_tool_name is None
        assert graph.state.paused_tool_result is None
        assert [is_error for _, is_error in results(graph.state.messages)] == [False, True, False]
        with pytest.raises(ValueError, match="no tool call"):
            await graph.resume(execute_tool=True)

    asyncio.run(main())


def test_resume_without_a_word_decides_about_nothing() -> None:
    async def main() -> None:
        graph = drawn([TWO[0], "done"], [pay])
        await graph.execute(ToolState(messages=said()))
        await graph.resume()
        assert graph.chain_status is RunStatus.PAUSED
        assert not paid

    asyncio.run(main())


def test_the_state_of_a_paused_run_shows_what_has_happened() -> None:
    class Shop(ToolState):
        seen: list[str] = []

    @tool("See")
    async def see(what: str, state: Any = None) -> str:
        state.seen.append(what)
        return what

    async def main() -> None:
        graph = drawn([["Looking.", ToolCall("see", {"what": "rope"})], TWO, "done"], [see, pay], state_class=Shop)
        await graph.execute(Shop(messages=said()))
        state = graph.state
        assert [message.role for message in state.messages] == ["user", "assistant", "tool", "assistant"]
        assert state.messages[1].text == "Looking."
        assert [log.tool_name for log in state.tool_calls] == ["see"]
        assert state.seen == ["rope"]
        assert state.current_iteration == 2
        ids = [message.id for message in state.messages]
        await graph.resume(execute_tool=True)
        await graph.resume(execute_tool=True)
        assert [message.id for message in graph.state.messages][: len(ids)] == ids
        assert graph.state.seen == ["rope"]
        assert len(graph.state.messages) == 7

    asyncio.run(main())


def test_a_tool_may_ask_by_itself_and_goes_on_from_its_first_line() -> None:
    ran: list[str] = []

    @tool("Order", effects="once")
    async def order(ctx: ToolContext) -> str:
        ran.append("order")
        price = await ctx.step("price", _price)
        colour = await ctx.ask({"colour?": price})
        return f"{colour} for {price}"

    async def _price() -> int:
        ran.append("price")
        return 5

    async def main() -> None:
        run = await started(drawn([[ToolCall("order", {}, "a"), ToolCall("order", {}, "b")], "done"], [order]))
        assert [pause.kind for pause in run.pauses] == ["question", "question"]
        first, second = run.pauses
        await run.answer(second.id, "red")
        await run.wait()
        await run.answer(first.id, {"approve": "any answer that a tool likes"})
        state = await run
        assert [text for text, _ in results(state.messages)] == [
            "{'approve': 'any answer that a tool likes'} for 5",
            "red for 5",
        ]
        assert ran.count("price") == 2
        assert ran.count("order") == 5  # an answer runs the node again, so the tool that still waits too

    asyncio.run(main())


def test_a_fork_asks_again_and_runs_nothing_twice_of_what_came_before() -> None:
    async def main() -> None:
        store = MemoryRunStore()
        run = await started(drawn([[*TWO, ToolCall("look")], "done"], [pay, look], store=store))
        await answered(run, "call_a", Approve())
        fork = await drawn(["other end"], [pay, look], store=store).open(run.run_id).fork()
        await fork.wait()
        assert [pause.payload["call_id"] for pause in fork.pauses] == ["call_b"]
        assert fork.pauses[0].id != pause_of(run, "call_b").id
        await answered(fork, "call_b", Reject())
        assert fork.state.final_output == "other end"
        assert paid == [("look", 0), ("a", 1)]

    asyncio.run(main())
