"""What is asked arrives as each API wants it, what is answered comes out alike: the strict provider is the judge."""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ropewalk.contracts.messages import LLMMessage, ToolCall
from ropewalk.contracts.model import Model, ModelPart, ModelRequest, Reply, ThinkingPart, ToolCallPart, ToolSpec
from ropewalk.errors import ModelReplyUnreadable, ModelRequestInvalid, ModelUnavailable
from ropewalk.llm import AnthropicClient, OpenAIClient
from ropewalk.llm.anthropic_messages import MessagesFold
from ropewalk.llm.openai_chat import ChatFold, read
from ropewalk.llm.openai_chat import wire as chat_wire
from ropewalk.llm.output_schema import can_be_enforced, closed, is_recursive
from ropewalk.llm.sse import EventReader
from ropewalk.llm.trouble import retry_after
from ropewalk.testing.provider import LocalProvider, Say
from ropewalk.testing.provider.cues import Cue

CLIENTS: dict[str, Callable[[LocalProvider], Model]] = {
    "chat": lambda provider: OpenAIClient("k", provider.base_url),
    "responses": lambda provider: OpenAIClient("k", provider.base_url, "responses", model="gpt-5"),
    "messages": lambda provider: AnthropicClient("k", provider.root),
}
APIS = pytest.mark.parametrize("api", CLIENTS)
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
PROPERTIES = {"a": {"type": "integer"}, "b": {"type": "string", "default": "x", "minLength": 1}}
ADD = ToolSpec(name="add", description="adds", parameters={"type": "object", "properties": PROPERTIES})
USER = LLMMessage(role="user", content="hello", metadata={"kept": "here"}, type="note")
PIXEL = "data:image/png;base64," + base64.b64encode(b"png").decode()


def asked(*messages: LLMMessage, **fields: Any) -> ModelRequest:
    return ModelRequest(messages=messages or (USER,), **fields)


async def answered(
    api: str, cues: list[Cue], requests: list[ModelRequest], *, stream: bool
) -> tuple[list[Reply], list[Any]]:
    async with LocalProvider() as provider:
        provider.script(cues)
        model = CLIENTS[api](provider)
        try:
            return [await one(model, request, stream=stream) for request in requests], list(provider.requests)
        finally:
            await model.close()


async def one(model: Model, request: ModelRequest, *, stream: bool) -> Reply:
    if not stream:
        return await model.answer(request)
    parts: list[ModelPart] = [part async for part in model.stream(request)]
    reply = parts[-1]
    assert isinstance(reply, Reply)
    assert not any(isinstance(part, Reply) for part in parts[:-1])
    return reply


def body_of(api: str, request: ModelRequest, *, stream: bool = False) -> dict[str, Any]:
    _, requests = asyncio.run(answered(api, ["ok"], [request], stream=stream))
    return dict(requests[0].body)


def plain(reply: Reply) -> tuple[Any, ...]:
    calls = [(call.name, call.arguments, call.invalid) for call in reply.message.tool_calls or []]
    return reply.message.text, calls, reply.finish, reply.usage.output_tokens


@APIS
def test_streamed_or_not_the_reply_is_the_same(api: str) -> None:
    say = Say(thinking="hm so", text="Let me see.", tool_calls=[ToolCall("add", {"a": 1}), ToolCall("add", {})])
    replies = [
        asyncio.run(answered(api, [say], [asked(tools=(ADD,))], stream=stream))[0][0] for stream in (False, True)
    ]
    assert plain(replies[0]) == plain(replies[1])
    assert plain(replies[0])[:3] == ("Let me see.", [("add", {"a": 1}, None), ("add", {}, None)], "tool_calls")
    assert len({call.id for call in replies[0].message.tool_calls or []}) == 2
    assert replies[0].response_id


@STREAMED
@APIS
def test_a_whole_round_of_calls_and_results_is_taken(api: str, stream: bool) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            say = Say(
                thinking="hm so", text="Let me", tool_calls=[ToolCall("add", {"a": 1}), ToolCall("add", {"a": 2})]
            )
            provider.script([say, say, "3"])
            model = CLIENTS[api](provider)
            thinking = {"extra": {"thinking": {"type": "enabled", "budget_tokens": 1024}}} if api == "messages" else {}
            request = asked(LLMMessage(role="system", content="be brief"), USER, tools=(ADD,), **thinking)
            for turn in range(2):
                reply = await one(model, request, stream=stream)
                kept = LLMMessage.model_validate_json(reply.message.model_dump_json())
                results = [
                    LLMMessage(role="tool", tool_call_id=call.id, content="bad" if turn else "", is_error=bool(turn))
                    for call in reversed(kept.tool_calls or [])
                ]
                request = replace(request, messages=(*request.messages, kept, *results))
            request = replace(request, messages=(*request.messages, LLMMessage(role="user", content="and?")))
            assert (await one(model, request, stream=stream)).message.text == "3"
            thoughts = str(provider.requests[-1].body)
            assert ("hm so" in thoughts) is (api != "chat"), "what the provider wants back is given back"
            await model.close()

    asyncio.run(main())


@APIS
def test_an_edited_message_is_told_as_it_is_now(api: str) -> None:
    say = Say(thinking="hm so", text="I love you.")
    (reply,), _ = asyncio.run(answered(api, [say], [asked()], stream=False))
    edited = reply.message.model_copy(update={"content": "I like you."})
    body = body_of(api, asked(USER, edited, USER))
    assert "I like you." in str(body)
    assert "I love you." not in str(body)


@APIS
def test_edited_arguments_are_told_as_they_are_now(api: str) -> None:
    say = Say(thinking="hm so", tool_calls=[ToolCall("add", {"a": 111}, "c1")])
    (reply,), _ = asyncio.run(answered(api, [say], [asked(tools=(ADD,))], stream=False))
    edited = reply.message.model_copy(update={"tool_calls": [ToolCall("add", {"a": 222}, "c1")]})
    body = body_of(api, asked(USER, edited, LLMMessage(role="tool", tool_call_id="c1", content="1"), tools=(ADD,)))
    assert "222" in str(body)
    assert "111" not in str(body)


@pytest.mark.parametrize("first", CLIENTS)
@APIS
def test_a_conversation_moves_from_one_provider_to_another(first: str, api: str) -> None:
    say = Say(thinking="hm so", text="Let me", tool_calls=[ToolCall("add", {"a": 1}, "functions.add:0")])
    (reply,), _ = asyncio.run(answered(first, [say], [asked(tools=(ADD,))], stream=True))
    result = LLMMessage(role="tool", tool_call_id="functions.add:0", content="1")
    replies, _ = asyncio.run(answered(api, ["ok"], [asked(USER, reply.message, result, tools=(ADD,))], stream=False))
    assert replies[0].message.text == "ok"


@pytest.mark.parametrize(
    ("api", "stream"),  # Messages sends text only in a stream
    [("chat", False), ("chat", True), ("responses", False), ("responses", True), ("messages", True)],
)
def test_arguments_that_are_no_json_are_told_and_can_be_sent_back(api: str, stream: bool) -> None:
    say = Say(tool_calls=[ToolCall("add", {}, "c1", invalid='{"a": oops')])
    (reply,), _ = asyncio.run(answered(api, [say], [asked(tools=(ADD,))], stream=stream))
    assert reply.finish == "tool_calls"
    assert reply.message.tool_calls == [ToolCall("add", {}, "c1", invalid='{"a": oops')]
    result = LLMMessage(role="tool", tool_call_id="c1", content="that is no JSON", is_error=True)
    body = body_of(api, asked(USER, reply.message, result, tools=(ADD,)))
    assert "invalid_arguments" in str(body)


@pytest.mark.parametrize(
    ("api", "found"),
    [("chat", {"max_tokens": 7}), ("responses", {"max_output_tokens": 7}), ("messages", {"max_tokens": 7})],
)
def test_settings_arrive_under_each_apis_names(api: str, found: dict[str, Any]) -> None:
    request = asked(max_tokens=7, temperature=0.5, model="other", tools=(ADD,), tool_choice="add")
    body = body_of(api, request)
    assert body.items() >= {"temperature": 0.5, "model": "other", **found}.items()
    assert "add" in str(body["tool_choice"])


@APIS
@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_free_choices_are_taken(api: str, choice: str) -> None:
    said = {"required": "any"}.get(choice, choice) if api == "messages" else choice
    assert said in str(body_of(api, asked(tools=(ADD,), tool_choice=choice))["tool_choice"])


@APIS
def test_what_a_provider_alone_knows_passes_through(api: str) -> None:
    extra: dict[str, Any] = {
        "chat": {"prompt_cache_key": "p", "extra_body": {"verbosity": "low"}},
        "responses": {"prompt_cache_key": "p", "reasoning": {"effort": "low"}, "store": True},
        "messages": {"cache_control": {"type": "ephemeral"}, "top_k": 3},
    }[api]
    body = body_of(api, asked(extra={**extra, "extra_headers": {"x-team": "a"}}, idempotency_key="key-1"))
    flat = {**extra, **extra.get("extra_body", {})}
    assert all(body[name] == value for name, value in flat.items() if name != "extra_body")


def test_a_providers_own_tools_stand_beside_ours() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    body = body_of("messages", asked(tools=(ADD,), extra={"tools": [search]}))
    assert [tool["name"] for tool in body["tools"]] == ["add", "web_search"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_what_to_wait_is_told_as_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, 10.0) == seconds


@APIS
def test_headers_carry_the_idempotency_key(api: str) -> None:
    request = asked(idempotency_key="run/7", extra={"extra_headers": {"x-team": "a"}})
    _, requests = asyncio.run(answered(api, ["ok"], [request], stream=True))
    assert requests[0].headers.items() >= {"idempotency-key": "run/7", "x-team": "a"}.items()


@APIS
@pytest.mark.parametrize("extra", [{"messages": []}, {"stream": False}, {"no_such_option": 1}], ids=str)
def test_an_option_that_cannot_be_passed_is_refused(api: str, extra: dict[str, Any]) -> None:
    with pytest.raises(ModelRequestInvalid, match=next(iter(extra))):
        asyncio.run(answered(api, ["never"], [asked(extra=extra)], stream=True))


def test_marks_for_a_cache_reach_anthropic_and_no_other() -> None:
    marked = [{"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}]
    request = asked(LLMMessage(role="system", content=marked), LLMMessage(role="user", content=marked))
    body = body_of("messages", request)
    assert body["system"] == marked
    assert body["messages"][0]["content"] == marked
    openai_body = chat_wire(of_openai=True).build(request, "m", False)
    assert "cache_control" not in str(openai_body)


@APIS
def test_pictures_are_told_in_each_apis_form(api: str) -> None:
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    body = body_of(api, asked(LLMMessage(role="user", content=parts)))
    content = body["input" if api == "responses" else "messages"][0]["content"]
    assert [part["type"] for part in content] == {
        "chat": ["text", "image_url", "image_url"],
        "responses": ["input_text", "input_image", "input_image"],
        "messages": ["text", "image", "image"],
    }[api]
    if api == "messages":
        assert content[1]["source"] == {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]}
        assert content[2]["source"] == {"type": "url", "url": "https://example.com/a.png"}


@APIS
def test_an_output_schema_is_enforced_by_the_provider(api: str) -> None:
    schema = {
        "title": "Answer it",
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0}},
        "required": [],
    }
    body = body_of(api, asked(output_schema=schema))
    told = str(body)
    assert "'additionalProperties': False" in told
    assert ("'minimum'" in told) is (api != "messages"), "Anthropic refuses limits in a schema"
    if api != "messages":
        assert "'strict': True" in told
        assert "Answer_it" in told


def test_a_schema_that_cannot_be_closed_is_sent_as_it_is() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "integer"}}
    told = body_of("chat", asked(output_schema=schema))["response_format"]["json_schema"]
    assert told == {"name": "output", "schema": schema, "strict": False}
    nested = {"$defs": {"P": {"type": "object", "properties": {"default": {"type": "string", "default": ""}}}}}
    assert closed(nested, all_required=True)["$defs"]["P"]["properties"] == {"default": {"type": "string"}}


def test_a_schema_that_anthropic_would_refuse_is_asked_for_in_words() -> None:
    open_one = {"type": "object", "additionalProperties": {"type": "integer"}}
    body = body_of("messages", asked(LLMMessage(role="system", content="Be brief."), USER, output_schema=open_one))
    assert "output_config" not in body
    assert body["system"].startswith("Be brief.\n\nAnswer with one JSON object by this schema")
    assert json.dumps(open_one) in body["system"]


ITEM = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("part", "enforced"),
    [
        ({"oneOf": [{"$ref": "#/$defs/I"}, {"type": "null"}], "discriminator": {"propertyName": "a"}}, True),
        ({"$ref": "#/$defs/I", "description": "the item"}, True),
        ({"type": "string", "minLength": 1}, True),
        ({"type": "array", "items": {"$ref": "#/$defs/I"}, "uniqueItems": True}, True),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, False),
        ({"type": "array"}, False),
        ({"allOf": [{"$ref": "#/$defs/I"}]}, False),
        ({"description": "anything"}, False),
    ],
)
def test_openai_is_asked_to_enforce_what_it_can(part: dict[str, Any], enforced: bool) -> None:
    schema = {"type": "object", "properties": {"p": part}, "$defs": {"I": ITEM}}
    told = body_of("chat", asked(output_schema=schema))["response_format"]["json_schema"]
    assert told["strict"] is enforced
    assert enforced or told["schema"] == schema
    assert not enforced or can_be_enforced(told["schema"])


def test_a_schema_that_contains_itself_is_known() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/B"}}}}
    branch = {"type": "object", "properties": {"tree": {"$ref": "#/$defs/T"}}}
    assert is_recursive({**tree, "$defs": {"T": tree, "B": branch}})
    assert not is_recursive({**tree, "$defs": {"T": {"type": "object"}, "B": branch}})


def test_anthropic_gets_a_conversation_that_it_takes() -> None:
    call = LLMMessage(role="assistant", tool_calls=[ToolCall("gone", {}, "c1")])
    result = LLMMessage(role="tool", tool_call_id="c1", content="1")
    blank = LLMMessage(role="user", content="  ")
    early = LLMMessage(role="system", content="one")
    late = LLMMessage(role="system", content="two")
    said = LLMMessage(role="assistant", content="earlier")
    body = body_of("messages", asked(early, said, USER, call, result, late, blank, USER))
    assert body["system"] == "one\n\ntwo"
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert [block["type"] for block in body["messages"][-1]["content"]] == ["tool_result", "text"]
    assert (body["tools"][0]["name"], body["tool_choice"]) == ("gone", {"type": "none"})


def test_cached_tokens_are_part_of_the_input_whatever_the_provider_calls_it() -> None:
    found = {}
    for api in CLIENTS:
        (reply,), _ = asyncio.run(answered(api, [Say(text="x", cached_tokens=1000)], [asked()], stream=True))
        found[api] = reply.usage
    assert all(usage.cached_tokens == 1000 < usage.input_tokens for usage in found.values())
    assert found["messages"].cost == pytest.approx(
        ((found["messages"].input_tokens - 1000) * 2 + 1000 * 0.2 + 10) / 1_000_000
    )
    assert found["chat"].cost is None, "a price that is not known is not zero"


# Servers that do it their way


def chunk(**delta: Any) -> dict[str, Any]:
    return {"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def test_calls_without_an_index_or_all_with_the_same_one_are_told_apart() -> None:
    fold = ChatFold()
    for number, fields in enumerate([{"index": 0}, {"index": 0}, {}]):
        call = {**fields, "id": f"c{number}", "function": {"name": "f", "arguments": f'{{"n": {number}}}'}}
        (part,) = fold.take(chunk(tool_calls=[call]))
        assert isinstance(part, ToolCallPart)
        assert (part.index, part.id) == (number, f"c{number}")
    list(fold.take({"choices": [{"delta": {}, "finish_reason": "stop"}]}))
    reply = fold.reply()
    assert reply.finish == "tool_calls"
    assert [call.arguments["n"] for call in reply.message.tool_calls or []] == [0, 1, 2]


def test_thoughts_of_other_servers_are_thoughts() -> None:
    assert list(ChatFold().take(chunk(reasoning="hm"))) == [ThinkingPart("hm")]


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": "x"}, "finish_reason": None}]},
        {"choices": [{"message": {"content": "x"}, "finish_reason": "tool_calls"}]},
    ],
    ids=["no finish", "no calls"],
)
def test_an_answer_that_contradicts_itself_is_none(body: dict[str, Any]) -> None:
    with pytest.raises(ModelReplyUnreadable):
        read(body)


def test_an_error_in_a_body_that_came_with_200_is_one() -> None:
    with pytest.raises(ModelUnavailable, match="upstream"):
        read({"error": {"message": "upstream is down", "code": 502}})


def test_later_counts_replace_earlier_ones() -> None:
    fold = MessagesFold()
    list(fold.take({"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}))
    list(fold.take({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}))
    usage = fold.reply().usage
    assert (usage.input_tokens, usage.output_tokens) == (9, 5)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_events_are_read_out_of_any_pieces(size: int, newline: bytes) -> None:
    lines = [b": hello", b"", b"event: a", "data: äö".encode(), b"", b"data:1", b"data: 2", b"", b"data: last"]
    text = newline.join(lines)
    reader = EventReader()
    found = [data for at in range(0, len(text), size) for data in reader.feed(text[at : at + size])]
    assert [*found, *reader.rest()] == ["äö".encode(), b"1\n2", b"last"]
