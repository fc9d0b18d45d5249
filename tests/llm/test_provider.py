"""The local provider is as strict as the vendors: the real SDKs get on with it, and bad histories get their 400."""

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import anthropic
import openai
import pytest
from tests.llm.looping import in_a_loop

from ropewalk.contracts.messages import ToolCall
from ropewalk.testing.provider import Asked, Break, LocalProvider, Refuse, Say, scenario

USER = {"role": "user", "content": "hello"}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "1"}
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
USED = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "1"}]}
TEXT = {"type": "text", "text": "x"}
FORGED = {"type": "thinking", "thinking": "a", "signature": "b"}
UNKEPT = {"type": "reasoning", "id": "rs_1", "summary": []}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
RCALL = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
ROUT = {"type": "function_call_output", "call_id": "a", "output": "1"}

CHAT: dict[str, tuple[dict[str, Any], str | None]] = {
    "good": ({"messages": [USER, CALL, RESULT], "tools": [FUNCTION]}, None),
    "no messages": ({"messages": []}, "empty array"),
    "a call without result": ({"messages": [USER, CALL]}, "did not have response messages: a"),
    "a message between": ({"messages": [USER, CALL, USER, RESULT]}, "did not have response messages"),
    "a result without call": ({"messages": [USER, RESULT]}, "must be a response to a preceeding message"),
    "a field of ours": ({"messages": [{**USER, "id": "m1"}]}, "'id' was unexpected"),
    "an unknown argument": ({"messages": [USER], "thinking": {}}, "Unrecognized request argument supplied: thinking"),
    "content null": ({"messages": [{"role": "user", "content": None}]}, "expected a string, got null"),
    "an unknown role": ({"messages": [{"role": "bot", "content": "x"}]}, "'bot'"),
    "a choice without tools": ({"messages": [USER], "tool_choice": "auto"}, "only allowed when 'tools'"),
    "a bad tool name": ({"messages": [USER], "tools": [{"type": "function", "function": {"name": "a b"}}]}, "pattern"),
    "options without stream": ({"messages": [USER], "stream_options": {}}, "only allowed when 'stream'"),
    "an open strict schema": (
        {
            "messages": [USER],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}},
            },
        },
        "additionalProperties",
    ),
}
MESSAGES: dict[str, tuple[dict[str, Any], str | None]] = {
    "good": ({"messages": [USER, USE, USED], "tools": [TOOL]}, None),
    "a call without result": ({"messages": [USER, USE], "tools": [TOOL]}, "without `tool_result` blocks: a"),
    "a result too late": (
        {"messages": [USER, USE, USER, USED], "tools": [TOOL]},
        "without `tool_result` blocks immediately",
    ),
    "a result without call": ({"messages": [USED], "tools": [TOOL]}, "unexpected `tool_use_id`"),
    "text before the result": (
        {
            "messages": [USER, USE, {"role": "user", "content": [{"type": "text", "text": "x"}, *USED["content"]]}],
            "tools": [TOOL],
        },
        "immediately after",
    ),
    "calls without tools": ({"messages": [USER, USE, USED]}, "must define tools"),
    "a system message": ({"messages": [{"role": "system", "content": "x"}, USER]}, "top-level `system`"),
    "the assistant first": ({"messages": [{"role": "assistant", "content": "x"}, USER]}, "first message must use"),
    "an empty message": ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
    "a blank text": ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "non-whitespace"),
    "a field of ours": ({"messages": [{**USER, "id": "m1"}]}, "Extra inputs are not permitted"),
    "a forged thought": (
        {
            "messages": [
                USER,
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "a", "signature": "b"}]},
                USER,
            ]
        },
        "Invalid `signature`",
    ),
    "thinking without its thought": (
        {"messages": [USER, USE, USED], "tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 10}},
        "Expected `thinking`",
    ),
}
RESPONSES: dict[str, tuple[dict[str, Any], str | None]] = {
    "good": ({"input": [USER, RCALL, ROUT]}, None),
    "a call without result": ({"input": [USER, RCALL]}, "No tool output found for function call a"),
    "a result without call": ({"input": [USER, ROUT]}, "No tool call found"),
    "a field of ours": ({"input": [{**USER, "metadata": {}}]}, "Unknown parameter: 'input\\[0\\].metadata'"),
    "a tool in the other form": ({"input": "x", "tools": [FUNCTION]}, "tools\\[0\\]"),
    "a thought kept nowhere": (
        {"input": [USER, UNKEPT, RCALL, ROUT], "store": False},
        "not persisted",
    ),
    "a thought without what follows": (
        {"input": [USER, UNKEPT]},
        "following item",
    ),
}


SIZED = {"model": "m", "max_tokens": 99}


def post(url: str, body: Mapping[str, Any], **headers: str) -> tuple[int, Any]:
    given = {
        "content-type": "application/json",
        "authorization": "Bearer k",
        "anthropic-version": "2023-06-01",
        **headers,
    }
    request = urllib.request.Request(url, json.dumps(body).encode(), {**given, **headers}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize(
    ("path", "name", "body", "said"),
    [
        *[("/v1/chat/completions", name, {"model": "m", **body}, said) for name, (body, said) in CHAT.items()],
        *[
            ("/v1/messages", name, {"model": "m", "max_tokens": 99, **body}, said)
            for name, (body, said) in MESSAGES.items()
        ],
        *[("/v1/responses", name, {"model": "m", **body}, said) for name, (body, said) in RESPONSES.items()],
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
@in_a_loop
async def test_it_refuses_what_the_vendor_refuses(path: str, name: str, body: dict[str, Any], said: str | None) -> None:
    async with LocalProvider(scenario=lambda asked: "fine") as provider:
        status, answer = await asyncio.to_thread(post, provider.root + path, body)
        if said is None:
            assert status == 200, answer
        else:
            assert status in (400, 404)
            with pytest.raises(ValueError, match=said):
                raise ValueError(answer["error"]["message"])


@in_a_loop
async def test_openais_own_helpers_get_on_with_it() -> None:
    async with LocalProvider() as provider, openai.AsyncOpenAI(api_key="k", base_url=provider.base_url) as client:
        provider.script([ToolCall("f", {"a": 1}), "hi there", ToolCall("f", {"a": 1}), "hi"])
        async with client.chat.completions.stream(model="m", messages=[USER], tools=[FUNCTION]) as events:
            done = await events.get_final_completion()
        assert done.choices[0].message.tool_calls[0].function.arguments == '{"a": 1}'
        whole = await client.chat.completions.create(model="m", messages=[USER])
        assert whole.choices[0].message.content == "hi there"
        async with client.responses.stream(model="m", input="x") as events:
            response = await events.get_final_response()
        assert response.output[0].type == "function_call"
        assert (await client.responses.create(model="m", input="x")).output_text == "hi"
        assert [model.id async for model in client.models.list()] == ["local"]


@in_a_loop
async def test_anthropics_own_helpers_get_on_with_it() -> None:
    async with LocalProvider() as provider, anthropic.AsyncAnthropic(api_key="k", base_url=provider.root) as client:
        provider.script([Say(thinking="hm", text="let me", tool_calls=[ToolCall("f", {"a": 1})]), "hi"])
        async with client.messages.stream(model="m", max_tokens=9, messages=[USER], tools=[TOOL]) as events:
            message = await events.get_final_message()
        assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
        assert message.stop_reason == "tool_use"
        assert (await client.messages.create(model="m", max_tokens=9, messages=[USER])).content[0].text == "hi"


@in_a_loop
async def test_each_key_has_a_script_of_its_own() -> None:
    async with LocalProvider() as provider:
        provider.script(["for all"])
        provider.script(["for one", "again"], key="one")
        ask = [{"authorization": f"Bearer {key}"} for key in ("one", "two", "one")]
        url, body = f"{provider.base_url}/chat/completions", {"model": "m", "messages": [USER]}
        told = [await asyncio.to_thread(post, url, body, **headers) for headers in ask]
        assert [answer["choices"][0]["message"]["content"] for _, answer in told] == ["for one", "for all", "again"]
        assert [asked.key for asked in provider.requests] == ["one", "two", "one"]
        assert len(provider.requests_of("one")) == 2
        ended = await asyncio.to_thread(post, url, body, authorization="Bearer two")
        assert ended[0] == 400
        assert "has ended" in ended[1]["error"]["message"]
        assert (await asyncio.to_thread(post, url, body, authorization=""))[0] == 401


@in_a_loop
async def test_a_client_that_leaves_is_noticed() -> None:
    async with LocalProvider(scenario=lambda asked: Break(kind="stall")) as provider:
        async with openai.AsyncOpenAI(api_key="k", base_url=provider.base_url) as client:
            stream = await client.chat.completions.create(model="m", messages=[USER], stream=True)
            await anext(aiter(stream))
            await stream.close()
            async with asyncio.timeout(5):
                while not provider.disconnected:
                    await asyncio.sleep(0.005)
        assert provider.disconnected[0].number == 1


def test_what_is_no_cue_is_named() -> None:
    from ropewalk.testing.provider.cues import in_full

    asked = Asked(number=1, api="chat", key="k", headers={}, body={})
    with pytest.raises(TypeError, match="42 is no cue"):
        in_full(42, asked)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="loop, echo"):
        scenario("lop")


def test_it_serves_as_a_process_of_its_own() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ropewalk.testing.provider", "--port", "0", "--scenario", "loop"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        cues = ["hello", {"say": {"text": "x", "tool_calls": [{"name": "f"}]}}, [{"call": {"name": "g"}}, "y"]]
        faults = [{"refuse": {"status": 503}}, {"break": {"kind": "bad_json", "say": {"text": "z"}}}]
        assert post(f"{told['root']}/_script", {"key": "k", "cues": [*cues, *faults]}) == (200, {"cues": 5})
        assert post(f"{told['root']}/_script", {"cues": [{"shout": {}}]})[0] == 400
        url, body = f"{told['base_url']}/chat/completions", {"model": "m", "messages": [USER], "tools": [FUNCTION]}
        answers = [post(url, body) for _ in range(4)]
        assert [status for status, _ in answers] == [200, 200, 200, 503]
        finishes = [answer["choices"][0]["finish_reason"] for _, answer in answers[:3]]
        assert finishes == ["stop", "tool_calls", "tool_calls"]
        with pytest.raises(json.JSONDecodeError):
            post(url, body)
        assert post(url, body)[1]["choices"][0]["finish_reason"] == "tool_calls"  # the scenario goes on
        with urllib.request.urlopen(f"{told['root']}/_requests", timeout=5) as answer:
            assert len(json.load(answer)) == 6
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_refusal_tells_in_each_apis_own_words() -> None:
    async def main() -> None:
        async with LocalProvider(scenario=lambda asked: Refuse(status=429, code=asked.body.get("user"))) as provider:
            body = {"model": "m", "messages": [USER], "max_tokens": 9}
            status, chat = await asyncio.to_thread(post, f"{provider.base_url}/chat/completions", body)
            assert (status, chat["error"]["type"]) == (429, "requests")
            status, messages = await asyncio.to_thread(post, f"{provider.root}/v1/messages", body)
            assert (status, messages["type"], messages["error"]["type"]) == (429, "error", "rate_limit_error")

    asyncio.run(main())


def test_it_is_among_what_is_for_testing() -> None:
    import ropewalk.testing

    assert ropewalk.testing.LocalProvider is LocalProvider
