"""A scripted model answers by its script, streams, calls tools, and fails on cue."""

from collections.abc import AsyncIterator

import pytest
from tests.llm.looping import in_a_loop

from ropewalk.contracts.messages import LLMMessage, ToolCall
from ropewalk.contracts.model import Model, ModelPart, ModelRequest, Reply, TextPart, ThinkingPart, ToolCallPart, Usage
from ropewalk.errors import ConversationInvalid, ModelRateLimited, ModelScriptEnded, ModelStreamBroken
from ropewalk.llm import ScriptedModel, ScriptedReply


def ask(*messages: LLMMessage) -> ModelRequest:
    return ModelRequest(messages=messages or (LLMMessage(role="user", content="two words"),))


async def collected(stream: AsyncIterator[ModelPart], into: list[ModelPart] | None = None) -> list[ModelPart]:
    found: list[ModelPart] = [] if into is None else into
    async for part in stream:
        found.append(part)
    return found


@in_a_loop
async def test_the_cues_of_a_script_answer_in_order_and_then_it_says_that_it_ended() -> None:
    model = ScriptedModel([ToolCall("add", {"a": 1}), "three words more", ["first", ToolCall("x"), ToolCall("y")]])
    assert isinstance(model, Model)
    called = await model.answer(ask())
    assert called.finish == "tool_calls"
    assert called.message.tool_calls
    assert called.message.tool_calls[0].arguments == {"a": 1}
    assert called.message.tool_calls[0].id
    text = await model.answer(ask())
    assert (text.message.text, text.finish) == ("three words more", "stop")
    assert text.usage == Usage(input_tokens=2, output_tokens=3, cost=0.0)
    both = await model.answer(ask())
    assert [call.name for call in both.message.tool_calls or []] == ["x", "y"]
    assert both.message.text == "first"
    with pytest.raises(ModelScriptEnded, match=r"\(3\)"):
        await model.answer(ask())
    assert len(model.requests) == 4


@in_a_loop
async def test_a_stream_brings_pieces_that_join_to_the_reply() -> None:
    cue = ScriptedReply(text="one two three", thinking="well now", tool_calls=[ToolCall("f", {"long": "x" * 40}, "c1")])
    parts = await collected(ScriptedModel([cue]).stream(ask()))
    reply = parts[-1]
    assert isinstance(reply, Reply)
    assert [part.text for part in parts if isinstance(part, TextPart)] == ["one", " two", " three"]
    assert [part.text for part in parts if isinstance(part, ThinkingPart)] == ["well", " now"]
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    assert calls[0].arguments == ""
    assert len(calls) > 3
    assert "".join(part.arguments for part in calls) == '{"long": "' + "x" * 40 + '"}'


@in_a_loop
async def test_it_fails_before_or_within_an_answer_and_truncates_on_cue() -> None:
    model = ScriptedModel(
        [
            ModelRateLimited("wait", retry_after_seconds=1),
            ScriptedReply(text="half an", error=ModelStreamBroken("cut")),
            ScriptedReply(text="half an", finish="length"),
            KeyError,
        ]
    )
    with pytest.raises(ModelRateLimited):
        await model.answer(ask())
    parts: list[ModelPart] = []
    with pytest.raises(ModelStreamBroken):
        await collected(model.stream(ask()), parts)
    assert parts == [TextPart("half"), TextPart(" an")]
    assert (await model.answer(ask())).finish == "length"
    with pytest.raises(KeyError):
        await model.answer(ask())


@in_a_loop
async def test_functions_answer_by_what_they_are_asked() -> None:
    async def slow(request: ModelRequest) -> str:
        return request.messages[-1].text.upper()

    model = ScriptedModel(lambda request: slow if len(request.messages) == 1 else ToolCall("f"))
    assert (await model.answer(ask())).message.text == "TWO WORDS"
    again = ask(LLMMessage(role="user", content="a"), LLMMessage(role="user", content="b"))
    assert (await model.answer(again)).finish == "tool_calls"


@in_a_loop
async def test_a_conversation_begun_in_another_process_goes_on_where_its_script_was() -> None:
    def script() -> ScriptedModel:
        return ScriptedModel([ToolCall("a"), ToolCall("b"), "done"])

    before = script()
    user = LLMMessage(role="user", content="go")
    first = (await before.answer(ask(user))).message
    first = LLMMessage.model_validate_json(first.model_dump_json())
    assert first.tool_calls
    result = LLMMessage(role="tool", tool_call_id=first.tool_calls[0].id, content="1")
    after = script()
    second = (await after.answer(ask(user, first, result))).message
    assert second.tool_calls
    assert second.tool_calls[0].name == "b"


@in_a_loop
async def test_another_script_takes_no_heed_of_where_the_first_one_was() -> None:
    user = LLMMessage(role="user", content="go")
    done = (await ScriptedModel(["one", "two"]).answer(ask(user))).message
    assert (await ScriptedModel(["un", "deux"]).answer(ask(user, done, user))).message.text == "un"
    ended = (await ScriptedModel(["ok"]).answer(ask(user))).message
    assert (await ScriptedModel(["ok"]).answer(ask(user, ended, user))).message.text == "ok"


@in_a_loop
async def test_an_unpaired_conversation_is_refused_as_by_any_model() -> None:
    called = LLMMessage(role="assistant", tool_calls=[ToolCall("f", id="c1")])
    with pytest.raises(ConversationInvalid, match="'c1'"):
        await ScriptedModel(["x"]).answer(ask(called))


@in_a_loop
async def test_what_a_script_cannot_answer_with_is_named() -> None:
    with pytest.raises(TypeError, match="42"):
        await ScriptedModel([42]).answer(ask())  # pyright: ignore[reportArgumentType]
