"""Every fault of a provider, through every API, streamed and not: a typed outcome in every cell.

The table below is the whole truth; docs/models.md shows it, and a test holds the two together. The SDKs are the real
ones, the server is real, nothing is patched.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ropewalk import errors
from ropewalk.contracts.messages import LLMMessage, ToolCall
from ropewalk.contracts.model import Model, ModelPart, ModelRequest, Reply, ToolSpec
from ropewalk.errors import ModelError
from ropewalk.llm import AnthropicClient, OpenAIClient
from ropewalk.testing.provider import Break, LocalProvider, Refuse, Say
from ropewalk.testing.provider.cues import Cue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"
KEY = "sk-secret-0123456789abcdef"
IDLE_SECONDS = 0.25
SIX = Say(text="one two three four five six")


class Row(NamedTuple):
    fault: str
    cue: Cue
    whole: str
    """What `answer` gives: the code of an error, or the finish of a reply."""
    stream: str
    """What `stream` ends with."""
    retried: bool = False
    """Whether the same request may succeed."""


ROWS = [
    Row("400", Refuse(status=400), "model_request_invalid", "model_request_invalid"),
    Row("401", Refuse(status=401, message=f"Incorrect API key: {KEY}"), "model_key_rejected", "model_key_rejected"),
    Row("402", Refuse(status=402), "model_quota_spent", "model_quota_spent"),
    Row("403", Refuse(status=403), "model_key_rejected", "model_key_rejected"),
    Row("404", Refuse(status=404), "model_not_found", "model_not_found"),
    Row("429, Retry-After", Refuse(status=429, headers={"retry-after": "7"}), *["model_rate_limited"] * 2, True),
    Row("429 insufficient_quota", Refuse(status=429, code="insufficient_quota"), *["model_quota_spent"] * 2),
    Row("500", Refuse(status=500), "model_unavailable", "model_unavailable", True),
    Row("503", Refuse(status=503), "model_unavailable", "model_unavailable", True),
    Row("529", Refuse(status=529, code="overloaded_error"), "model_unavailable", "model_unavailable", True),
    Row(
        "too long for the model",
        Refuse(status=400, message="This model's maximum context length is 8 tokens"),
        "model_context_full",
        "model_context_full",
    ),
    Row("reset before the first byte", Break(kind="reset", after=None), *["model_unreachable"] * 2, True),
    Row("closed before the first byte", Break(kind="eof", after=None), *["model_unreachable"] * 2, True),
    Row("silence before the first byte", Break(kind="stall", after=None), *["model_stalled"] * 2, True),
    Row("reset in the answer", Break(kind="reset"), "model_stream_broken", "model_stream_broken", True),
    Row("clean end, too early", Break(kind="eof"), "model_stream_broken", "model_stream_broken", True),
    Row("silence in the answer", Break(kind="stall"), "model_stalled", "model_stalled", True),
    Row("an error event", Break(kind="error_event"), "model_unavailable", "model_unavailable", True),
    Row("bad JSON", Break(kind="bad_json"), "model_reply_unreadable", "model_reply_unreadable", True),
    Row("bytes torn apart", Say(text="äöü 😀 done", split_bytes=True), "stop", "stop"),
    Row("no usage told", Say(text="all is well", usage=False), "stop", "stop"),
    Row("cut off at max_tokens", Say(text="half an", finish="length"), "length", "length"),
    Row("a call cut off", Say(tool_calls=[ToolCall("add", invalid='{"a": 1')], finish="length"), "length", "length"),
    Row("a refusal", Say(text="I would rather not.", finish="refusal"), "refusal", "refusal"),
    Row("a content filter", Say(text="half", finish="filter"), "filter", "filter"),
    Row("an unknown finish", Say(text="?", finish="tired"), "model_reply_unreadable", "model_reply_unreadable"),
]
ANTHROPIC_HAS_NO_FILTER = "refusal"
"""What a filter is called there: the API has one word for both."""


def chat(provider: LocalProvider) -> Model:
    return OpenAIClient(KEY, provider.base_url, "chat", IDLE_SECONDS)


def responses(provider: LocalProvider) -> Model:
    return OpenAIClient(KEY, provider.base_url, "responses", IDLE_SECONDS)


def messages(provider: LocalProvider) -> Model:
    return AnthropicClient(KEY, provider.root, IDLE_SECONDS)


CLIENTS: dict[str, Callable[[LocalProvider], Model]] = {"chat": chat, "responses": responses, "messages": messages}
ADD = ToolSpec(name="add", description="add", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})
REQUEST = ModelRequest(messages=(LLMMessage(role="user", content="hello"),), tools=(ADD,))


def expected(row: Row, api: str, *, stream: bool) -> str:
    told = row.stream if stream else row.whole
    return ANTHROPIC_HAS_NO_FILTER if api == "messages" and told == "filter" else told


async def outcome(row: Row, api: str, *, stream: bool) -> tuple[Reply | ModelError, list[ModelPart]]:
    parts: list[ModelPart] = []
    async with LocalProvider() as provider:
        provider.script([row.cue])
        model = CLIENTS[api](provider)
        try:
            if not stream:
                return await model.answer(REQUEST), parts
            async for part in model.stream(REQUEST):
                parts.append(part)
            reply = parts.pop()
            assert isinstance(reply, Reply)
            return reply, parts
        except ModelError as error:
            return error, parts
        finally:
            await model.close()
            assert len(provider.requests) == 1, "one call is one request"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api", CLIENTS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
def test_every_fault_has_a_typed_outcome(row: Row, api: str, stream: bool) -> None:
    found, parts = asyncio.run(outcome(row, api, stream=stream))
    if isinstance(found, ModelError):
        assert found.code == expected(row, api, stream=stream), found
        assert found.retryable is row.retried
        assert (found.provider, bool(found.model)) == ("anthropic" if api == "messages" else "openai", True)
        assert KEY not in str(found)
        assert not any(isinstance(part, Reply) for part in parts), "an error comes instead of an answer"
    else:
        assert found.finish == expected(row, api, stream=stream)
        assert not found.message.tool_calls, "what was cut off is no call"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api", CLIENTS)
def test_what_the_provider_advises_is_told(api: str, stream: bool) -> None:
    row = Row("429", Refuse(status=429, headers={"retry-after": "7"}), "", "")
    found, _ = asyncio.run(outcome(row, api, stream=stream))
    assert isinstance(found, ModelError)
    assert (found.status, found.retry_after_seconds, found.request_id) == (429, 7.0, "req_local")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api", CLIENTS)
def test_usage_that_is_not_told_is_unknown_and_not_zero(api: str, stream: bool) -> None:
    told, _ = asyncio.run(outcome(Row("", Say(text="a b"), "", ""), api, stream=stream))
    untold, _ = asyncio.run(outcome(Row("", Say(text="a b", usage=False), "", ""), api, stream=stream))
    assert isinstance(told, Reply)
    assert isinstance(untold, Reply)
    assert (told.usage.unmeasured_calls, told.usage.output_tokens) == (0, 2)
    assert (untold.usage.unmeasured_calls, untold.usage.cost) == (1, None)


def test_every_kind_of_model_error_that_a_provider_can_cause_is_in_the_table() -> None:
    ours = {"model_error", "conversation_invalid", "model_limit_reached", "model_circuit_open", "model_script_ended"}
    kinds = {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ModelError)
    }
    assert kinds - ours == {row.whole for row in ROWS if row.whole.startswith("model_")}


def test_the_page_shows_this_table() -> None:
    found = re.search(r"<!-- faults -->\n(.*?)\n<!-- /faults -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    assert found[1].strip() == table(), f"docs/models.md should show:\n\n{table()}"


def table() -> str:
    lines = ["| what happens | `answer` and `stream` end with | asked again |", "|---|---|---|"]
    for row in ROWS:
        told = f"`{row.stream}`" + (" (`refusal` from Anthropic)" if row.stream == "filter" else "")
        kind = told if row.stream.startswith("model_") else f"a reply, finish {told}"
        again = "yes" if row.retried else "no" if row.stream.startswith("model_") else ""
        lines.append(f"| {row.fault} | {kind} | {again} |".replace("|  |", "| |"))
    return "\n".join(lines)
