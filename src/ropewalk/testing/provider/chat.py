"""Chat Completions: what the provider demands of a request, and how it tells an answer."""

from collections.abc import Iterator, Mapping
from typing import Any

from ropewalk.testing.provider.chat_rules import refusal
from ropewalk.testing.provider.cues import Asked, Refuse, Say
from ropewalk.testing.provider.pieces import (
    CREATED,
    argument_pieces,
    arguments_of,
    below,
    call_id,
    frame,
    tokens,
    words,
)

__all__ = ["PATH", "error_body", "error_frame", "refusal", "stream", "whole"]

PATH = "/chat/completions"
FINISH = {"refusal": "stop", "filter": "content_filter", "context": "length"}


def whole(say: Say, asked: Asked) -> dict[str, Any]:
    """Return the body of an answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": say.text or None, "refusal": None}
    if say.finish == "refusal":
        message |= {"content": None, "refusal": say.text}
    if say.tool_calls:
        message["tool_calls"] = [
            {
                "id": call_id(call, asked.number, index, "call_"),
                "type": "function",
                "function": {"name": call.name, "arguments": arguments_of(call)},
            }
            for index, call in enumerate(say.tool_calls)
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(say)}
    body = {**_head(asked, "chat.completion"), "choices": [choice]}
    return body | ({"usage": _usage(say, asked.body)} if say.usage else {})


def stream(say: Say, asked: Asked) -> Iterator[bytes]:
    """Yield the frames of an answer, the one that ends it last."""
    head = _head(asked, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return frame({**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": None if say.tool_calls else "", "refusal": None})
    for word in words(say.thinking):
        yield chunk({"reasoning_content": word})
    for word in words(say.text):
        yield chunk({"refusal" if say.finish == "refusal" else "content": word})
    for index, call in enumerate(say.tool_calls):
        function = {"name": call.name, "arguments": ""}
        first = {"index": index, "id": call_id(call, asked.number, index, "call_"), "type": "function"}
        yield chunk({"tool_calls": [{**first, "function": function}]})
        for piece in argument_pieces(call):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish(say))
    if say.usage and below(asked.body, "stream_options").get("include_usage"):
        yield frame({**head, "choices": [], "usage": _usage(say, asked.body)})
    yield b"data: [DONE]\n\n"


def error_frame(message: str) -> bytes:
    return frame({"error": {"message": message, "type": "server_error", "code": None, "param": None}})


def error_body(refuse: Refuse, param: str | None = None) -> dict[str, Any]:
    kind = "server_error" if refuse.status >= 500 else "requests" if refuse.status == 429 else "invalid_request_error"
    kind = refuse.code if refuse.code == "insufficient_quota" else kind
    return {"error": {"message": refuse.message, "type": kind, "param": param, "code": refuse.code}}


def _head(asked: Asked, kind: str) -> dict[str, Any]:
    model = asked.body.get("model")
    return {"id": f"chatcmpl-{asked.number:06d}", "object": kind, "created": CREATED, "model": model}


def _finish(say: Say) -> str:
    natural = "tool_calls" if say.tool_calls else "stop"
    return FINISH.get(say.finish or natural, say.finish or natural)


def _usage(say: Say, body: Mapping[str, Any]) -> dict[str, Any]:
    read, written, thought = tokens(say, body)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": say.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
    }
