"""Half a character, from a model or from a tool: it stops no run, is in no entry, and no finished call runs again."""

import asyncio
from typing import Any

import pytest
from tests.agent.scenes import drawn, entries, results, said, started

from ropewalk import AnthropicClient, OpenAIClient, RunStatus, ToolCall, ToolState, tool
from ropewalk.agent.legible import Halves, whole_text
from ropewalk.contracts.model import TextPart, ThinkingPart, ToolCallPart
from ropewalk.testing.provider import LocalProvider, Say

HIGH, LOW, ROPE = "\ud83e", "\udea2", "\U0001faa2"
NAME = "caf\udce9.txt"
"""A file's name that is no UTF-8, as `os.listdir` gives it."""


@tool("Read a file", effects="once")
async def read(name: str) -> str:
    raise FileNotFoundError(f"no {name}: {NAME}")


@tool("List files", effects="once")
async def files(query: str = "") -> Any:
    return {"found": [NAME], "query": query}


def test_what_a_tool_returns_or_raises_is_told_with_what_can_be_told() -> None:
    async def main() -> None:
        calls = [ToolCall("read", {"name": "a"}), ToolCall("files")]
        run = await started(drawn([calls, "done"], [read, files]))
        assert run.status is RunStatus.DONE, run.error
        assert results(run.state.messages) == [
            ("read failed. FileNotFoundError: no a: caf\ufffd.txt", True),
            ('{"found": ["caf\ufffd.txt"], "query": ""}', False),
        ]
        assert len(await entries(run, "tool_result")) == 2

    asyncio.run(main())


def test_a_result_that_has_no_end_is_no_failure_of_the_tool() -> None:
    @tool("Tie a knot", effects="once")
    async def knot() -> Any:
        rope: list[Any] = []
        rope.append(rope)
        return rope

    run = asyncio.run(started(drawn([ToolCall("knot"), "done"], [knot])))
    ((text, is_error),) = results(run.state.messages)
    assert text.startswith("It succeeded. Its result cannot be told")
    assert not is_error


def test_a_failure_with_too_many_words_is_still_a_failure() -> None:
    @tool("Shout")
    async def shout() -> str:
        raise ValueError("x" * 17 * 1024 * 1024)

    run = asyncio.run(started(drawn([ToolCall("shout"), "done"], [shout])))
    ((text, is_error),) = results(run.state.messages)
    assert is_error
    assert text.startswith("shout failed. ValueError: xxx")
    assert text.endswith("characters in all)")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["chat", "responses", "messages"])
def test_half_a_character_of_a_model_is_replaced(kind: str, stream: bool) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script([ToolCall("files", {"query": f"a {HIGH}"}), Say(text=f"done {HIGH}")])
            url = provider.root if kind == "messages" else provider.base_url
            client: Any = AnthropicClient("k", url) if kind == "messages" else OpenAIClient("k", url, api=kind)  # pyright: ignore[reportArgumentType]
            graph = drawn(client, [files], stream=stream)
            run = graph.start(ToolState(messages=said()))
            told = [event.data["text"] async for event in run.events() if event.type == "text"]
            assert await run.wait() is RunStatus.DONE, run.error
            assert run.state.final_output == "done \ufffd"
            assert run.state.tool_calls[0].arguments == {"query": "a \ufffd"}
            assert "".join(told).startswith("done ")
            await client.close()

    asyncio.run(main())


def test_pieces_are_joined_where_a_stream_was_cut_through_a_character() -> None:
    halves = Halves()
    parts = [TextPart(f"a{HIGH}"), TextPart(LOW), TextPart(HIGH), TextPart(f"{LOW}b"), TextPart(LOW), TextPart("c")]
    told = [whole.text for part in parts if isinstance(whole := halves.take(part), TextPart)]
    assert told == ["a", ROPE, f"{ROPE}b", "\ufffd", "c"]
    assert halves.take(ThinkingPart(HIGH)) is None
    assert halves.take(ToolCallPart(0, "c", "f", LOW)) == ToolCallPart(0, "c", "f", "\ufffd")
    assert halves.take(ToolCallPart(1, "d", "g", "")) == ToolCallPart(1, "d", "g", "")


@pytest.mark.parametrize(("text", "whole"), [("a", "a"), ("é", "é"), (HIGH + LOW, ROPE), (f"{LOW}é", "\ufffdé")])
def test_a_text_is_whole(text: str, whole: str) -> None:
    assert whole_text(text) == whole
