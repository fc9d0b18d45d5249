"""Messages: how the provider tells an answer in Anthropic's form."""

from collections.abc import Iterator, Mapping
from typing import Any

from ropewalk.testing.provider.cues import Asked, Refuse, Say
from ropewalk.testing.provider.messages_rules import refusal
from ropewalk.testing.provider.pieces import argument_pieces, call_id, frame, signature, tokens, words

__all__ = ["PATH", "error_body", "error_frame", "refusal", "stream", "whole"]

PATH = "/v1/messages"
FINISH = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "filter": "refusal",
    "context": "model_context_window_exceeded",
    "paused": "pause_turn",
}
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def whole(say: Say, asked: Asked) -> dict[str, Any]:
    """Return the body of an answer that is not streamed."""
    content: list[dict[str, Any]] = []
    if say.thinking:
        content.append({"type": "thinking", "thinking": say.thinking, "signature": signature(say.thinking)})
    if say.text:
        content.append({"type": "text", "text": say.text, "citations": None})
    for index, call in enumerate(say.tool_calls):
        name = call_id(call, asked.number, index, "toolu_")
        content.append({"type": "tool_use", "id": name, "name": call.name, "input": call.arguments})
    body = {**_head(asked), "content": content, "stop_reason": _finish(say), "stop_sequence": None}
    return body | ({"usage": _usage(say, asked.body)} if say.usage else {})


def stream(say: Say, asked: Asked) -> Iterator[bytes]:
    """Yield the frames of an answer, the one that ends it last."""
    usage = _usage(say, asked.body) if say.usage else None
    message: dict[str, Any] = {**_head(asked), "content": [], "stop_reason": None, "stop_sequence": None}
    yield _event("message_start", message=message | ({"usage": {**usage, "output_tokens": 1}} if usage else {}))
    yield _event("ping")
    for index, (block, deltas) in enumerate(_blocks(say, asked)):
        yield _event("content_block_start", index=index, content_block=block)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    told = {"usage": usage} if usage else {}
    yield _event("message_delta", delta={"stop_reason": _finish(say), "stop_sequence": None}, **told)
    yield _event("message_stop")


def error_frame(message: str) -> bytes:
    return _event("error", error={"type": "overloaded_error", "message": message}, request_id="req_local")


def error_body(refuse: Refuse, param: str | None = None) -> dict[str, Any]:
    del param
    kind = refuse.code or KINDS.get(refuse.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": refuse.message}, "request_id": "req_local"}


def _blocks(say: Say, asked: Asked) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    if say.thinking:
        deltas = [{"type": "thinking_delta", "thinking": word} for word in words(say.thinking)]
        signed = {"type": "signature_delta", "signature": signature(say.thinking)}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]
    if say.text:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in words(say.text)]
    for index, call in enumerate(say.tool_calls):
        name = call_id(call, asked.number, index, "toolu_")
        pieces = ["", *argument_pieces(call)] if call.arguments or call.invalid else [""]
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        yield {"type": "tool_use", "id": name, "name": call.name, "input": {}}, deltas


def _event(kind: str, **fields: Any) -> bytes:
    return frame({"type": kind, **fields}, kind)


def _head(asked: Asked) -> dict[str, Any]:
    return {"id": f"msg_{asked.number:06d}", "type": "message", "role": "assistant", "model": asked.body.get("model")}


def _finish(say: Say) -> str:
    natural = "tool_calls" if say.tool_calls else "stop"
    return FINISH.get(say.finish or natural, say.finish or natural)


def _usage(say: Say, body: Mapping[str, Any]) -> dict[str, Any]:
    read, written, _ = tokens(say, body)
    return {
        "input_tokens": read - say.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": say.cached_tokens,
        "output_tokens": written,
        "service_tier": "standard",
    }
