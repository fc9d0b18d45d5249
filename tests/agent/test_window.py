"""Windows and summaries: no call is ever parted from its result, and what was said is kept whole in the state."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.scenes import check_requests, drawn, entries, said, started

from ropewalk import (
    LLMMessage,
    RunStatus,
    ScriptedModel,
    ScriptedReply,
    Summary,
    ToolCall,
    ToolState,
    Usage,
    Window,
    tool,
)
from ropewalk.agent.window import rough_tokens, units_of
from ropewalk.contracts.conversation import conversation_problems
from ropewalk.stores.memory import MemoryRunStore


def user(text: str) -> LLMMessage:
    return LLMMessage(role="user", content=text)


def round_of(*names: str) -> list[LLMMessage]:
    """Return an assistant's message with calls, and their results."""
    calls = [ToolCall(name, {}, f"call_{name}") for name in names]
    message = LLMMessage(role="assistant", content=None, tool_calls=calls)
    return [message, *(LLMMessage(role="tool", content=name, tool_call_id=f"call_{name}") for name in names)]


@st.composite
def conversations(draw: st.DrawFn) -> list[LLMMessage]:
    messages = [LLMMessage(role="system", content="s")] * draw(st.integers(0, 2)) + [user("q0")]
    for number in range(draw(st.integers(0, 12))):
        match draw(st.integers(0, 2)):
            case 0:
                messages += [LLMMessage(role="assistant", content="a" * draw(st.integers(0, 40))), user(f"q{number}")]
            case _:
                messages += round_of(*(f"{number}_{one}" for one in range(draw(st.integers(1, 4)))))
    return messages


@given(conversations(), st.integers(1, 20), st.integers(1, 120))
def test_a_window_is_a_conversation_that_every_provider_takes(
    messages: list[LLMMessage], most: int, tokens: int
) -> None:
    for window in (Window(messages=most), Window(tokens=tokens), Window(messages=most, tokens=tokens)):
        seen = window.of(messages)
        assert not conversation_problems(seen)
        assert seen[-1] is messages[-1]
        assert [message for message in messages if message in seen] == seen
        system = [message for message in messages if message.role == "system"]
        assert seen[: len(system)] == system
        assert seen[len(system)].role == "user"


def test_a_window_has_as_much_as_fits() -> None:
    messages = [LLMMessage(role="system", content="s"), user("one"), *round_of("a", "b"), *round_of("c"), user("two")]
    assert Window(messages=99).of(messages) == messages
    assert Window(messages=3).of(messages) == [messages[0], messages[-1]]
    kept = Window(messages=5).of(messages)
    assert [message.role for message in kept] == ["system", "user", "assistant", "tool", "user"]
    assert kept[1].text == "one"
    assert Window(tokens=sum(map(rough_tokens, messages[-1:])) + rough_tokens(messages[0])).of(messages)[1:] == [
        messages[-1]
    ]


def test_units_fall_together() -> None:
    assert list(map(len, units_of([user("x"), *round_of("a", "b", "c"), user("y")]))) == [1, 4, 1]


@tool("Note")
async def note(text: str = "x") -> str:
    return text


def test_a_long_loop_is_sent_through_the_window_and_kept_whole() -> None:
    async def main() -> None:
        model = ScriptedModel([*[ToolCall("note", {"text": str(number)}) for number in range(8)], "done"])
        run = await started(drawn(model, [note], window=Window(messages=6), system_prompt="s"))
        check_requests(model)
        assert max(len(request.messages) for request in model.requests) == 6  # one round more would be too much
        assert all(request.messages[1].text == "What now?" for request in model.requests)
        assert len(run.state.messages) == 18

    asyncio.run(main())


def summing(texts: list[str]) -> ScriptedModel:
    return ScriptedModel([ScriptedReply(text=text, usage=Usage(input_tokens=7, output_tokens=1)) for text in texts])


def test_the_beginning_is_summed_up_and_what_was_said_is_kept() -> None:
    async def main() -> None:
        writer = summing(["SUMMARY ONE", "SUMMARY TWO"])
        model = ScriptedModel([*[ToolCall("note", {"text": str(number)}) for number in range(8)], "done"])
        run = await started(
            drawn(model, [note], summary=Summary(after_messages=9, keep=4, model=writer), system_prompt="s")
        )
        assert run.status is RunStatus.DONE
        check_requests(model)
        check_requests(writer)
        assert len(writer.requests) == 2
        assert "SUMMARY ONE" in writer.requests[1].messages[1].text
        assert "[tool] 0" in writer.requests[0].messages[1].text
        assert "[tool] 0" not in writer.requests[1].messages[1].text  # each message is summed up once
        last = model.requests[-1].messages
        assert "SUMMARY TWO" in last[1].text
        assert last[1].role == "user"
        assert max(len(request.messages) for request in model.requests) <= 10
        assert len(run.state.messages) == 18
        assert len(await entries(run, "summary_made")) == 2
        assert run.usage.input_tokens > 14
        assert run.state.summary.text == "SUMMARY TWO"

    asyncio.run(main())


def test_a_summary_is_made_once_whatever_dies() -> None:
    async def main() -> None:
        store = MemoryRunStore()
        writer = summing(["SUMMARY"])
        how = Summary(after_messages=4, keep=2, model=writer)
        script: list[Any] = [ToolCall("note"), ToolCall("note"), RuntimeError("gone")]
        run = await started(drawn(script, [note], summary=how, store=store))
        assert run.status is RunStatus.FAILED
        assert len(writer.requests) == 1
        model = ScriptedModel(["done"])
        other = drawn(model, [note], summary=how, store=store).open(run.run_id)
        assert await other.resume() is RunStatus.DONE
        assert len(writer.requests) == 1
        assert "SUMMARY" in model.requests[0].messages[0].text

    asyncio.run(main())


def test_the_next_run_of_a_conversation_goes_on_from_its_summary() -> None:
    async def main() -> None:
        writer = summing(["SUMMARY"])
        how = Summary(after_messages=5, keep=2, model=writer)
        model = ScriptedModel(["first", "second"])
        graph = drawn(model, summary=how)
        old = [
            message
            for number in range(3)
            for message in (user(f"q{number}"), LLMMessage(role="assistant", content="a"))
        ]
        await graph.execute(ToolState(messages=[*old, *said("now")]))
        state = graph.state
        state.messages.append(user("next"))
        await graph.execute(state)
        assert len(writer.requests) == 1
        assert "SUMMARY" in model.requests[1].messages[0].text
        assert [message.text for message in model.requests[1].messages[-3:]] == ["now", "first", "next"]
        assert len(graph.state.messages) == 10

    asyncio.run(main())


@pytest.mark.parametrize("finish", ["length", "refusal"])
def test_half_a_summary_is_none(finish: Any) -> None:
    async def main() -> None:
        writer = ScriptedModel([ScriptedReply(text="half", finish=finish)])
        how = Summary(after_messages=2, keep=1, model=writer)
        state = ToolState(messages=[user("a"), LLMMessage(role="assistant", content="b"), user("c")])
        run = await started(drawn(["never"], summary=how), state)
        assert run.status is RunStatus.FAILED

    asyncio.run(main())
