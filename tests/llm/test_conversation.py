"""A conversation is looked at before every send: calls and results pair, and every mistake is told at once."""

import asyncio
from collections.abc import Callable

import pytest

from ropewalk.contracts.conversation import check_request, conversation_problems
from ropewalk.contracts.messages import LLMMessage, ToolCall
from ropewalk.contracts.model import Model, ModelRequest, ToolSpec
from ropewalk.errors import ConversationInvalid
from ropewalk.llm import AnthropicClient, OpenAIClient, ScriptedModel
from ropewalk.testing.provider import LocalProvider

SYSTEM = LLMMessage(role="system", content="be brief")
USER = LLMMessage(role="user", content="hello")
SAID = LLMMessage(role="assistant", content="hi")


def called(*ids: str) -> LLMMessage:
    return LLMMessage(role="assistant", tool_calls=[ToolCall("f", {}, call_id) for call_id in ids])


def result(call_id: str | None) -> LLMMessage:
    return LLMMessage(role="tool", tool_call_id=call_id, content="1")


GOOD = [
    [USER],
    [SYSTEM, USER, SAID, USER],
    [USER, called("a"), result("a")],
    [USER, called("a", "b"), result("b"), result("a"), SAID],
    [USER, called("a"), result("a"), called("a"), result("a")],
    [SAID, USER],
]
BAD = {
    "nothing at all": ([], "nothing to answer"),
    "only a system prompt": ([SYSTEM], "nothing to answer"),
    "a call without a result": ([USER, called("a")], "'a' of message 1 to 'f' has no result before the end"),
    "one of two results": (
        [USER, called("a", "b"), result("a"), USER],
        "'b' of message 1 to 'f' has no result before message 3",
    ),
    "a message between": ([USER, called("a"), SYSTEM, result("a")], "has no result before message 2 \\(system\\)"),
    "a result without a call": ([USER, result("a")], "message 1 answers the call 'a'"),
    "a result twice": ([USER, called("a"), result("a"), result("a")], "a second time"),
    "a mistyped id": ([USER, called("call_1"), result("call_2")], "Did you mean 'call_1'"),
    "a result without an id": ([USER, called("a"), result(None)], "the call None"),
    "one id for two calls": ([USER, called("a", "a"), result("a")], "2 calls of message 1 have the id 'a'"),
    "a call without an id": ([USER, called(""), result("")], "no id or no name"),
    "a user that calls": (
        [LLMMessage(role="user", content="x", tool_calls=[ToolCall("f", {}, "a")]), result("a")],
        "role user",
    ),
}


@pytest.mark.parametrize("messages", GOOD, ids=len)
def test_a_paired_conversation_has_no_problems(messages: list[LLMMessage]) -> None:
    assert conversation_problems(messages) == []


@pytest.mark.parametrize("name", BAD)
def test_what_no_provider_takes_is_told(name: str) -> None:
    messages, words = BAD[name]
    with pytest.raises(ConversationInvalid, match=f"(?i){words}") as caught:
        check_request(ModelRequest(messages=tuple(messages)))
    assert caught.value.retryable is False
    assert caught.value.problems


def test_every_mistake_is_told_at_once() -> None:
    broken = [USER, called("a"), USER, result("b"), called("c")]
    assert len(conversation_problems(broken)) == 3


@pytest.mark.parametrize(
    ("choice", "names", "words"),
    [
        ("serch", ["search"], "Did you mean 'search'"),
        ("required", [], "there are no tools"),
        (None, ["f", "f"], "2 tools"),
    ],
)
def test_tools_that_cannot_be_chosen_are_told(choice: str | None, names: list[str], words: str) -> None:
    tools = tuple(ToolSpec(name=name, description="", parameters={"type": "object"}) for name in names)
    with pytest.raises(ConversationInvalid, match=words):
        check_request(ModelRequest(messages=(USER,), tools=tools, tool_choice=choice))


CLIENTS: dict[str, Callable[[LocalProvider], Model]] = {
    "chat": lambda provider: OpenAIClient("k", provider.base_url),
    "responses": lambda provider: OpenAIClient("k", provider.base_url, "responses"),
    "messages": lambda provider: AnthropicClient("k", provider.root),
    "scripted": lambda provider: ScriptedModel(["never said"]),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_broken_conversation_leaves_nothing_on_the_wire(name: str) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            model = CLIENTS[name](provider)
            request = ModelRequest(messages=(USER, called("a")))
            with pytest.raises(ConversationInvalid):
                await model.answer(request)
            with pytest.raises(ConversationInvalid):
                await anext(aiter(model.stream(request)))
            assert (provider.connections, len(provider.requests)) == (0, 0)
            await model.close()

    asyncio.run(main())
