"""Responses: how the provider tells an answer in the form of OpenAI's newer API."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from ropewalk.testing.provider.cues import Asked, Refuse, Say
from ropewalk.testing.provider.pieces import CREATED, argument_pieces, arguments_of, call_id, frame, tokens, words
from ropewalk.testing.provider.responses_rules import refusal

__all__ = ["PATH", "error_body", "error_frame", "refusal", "stream", "whole"]

PATH = "/responses"
INCOMPLETE = {"length": "max_output_tokens", "filter": "content_filter", "context": "max_output_tokens"}
Item = dict[str, Any]


def whole(say: Say, asked: Asked) -> Item:
    """Return the body of an answer that is not streamed."""
    return _ended(say, asked, _items(say, asked))


def stream(say: Say, asked: Asked) -> Iterator[bytes]:
    """Yield the frames of an answer, the one that ends it last."""
    begun = _response(asked, "in_progress", [], None)
    items = _items(say, asked)
    events: list[Item] = [{"type": "response.created", "response": begun}]
    events.append({"type": "response.in_progress", "response": begun})
    for index, item in enumerate(items):
        events += _item_events(item, index, say)
    ended = _ended(say, asked, items)
    events.append({"type": f"response.{ended['status']}", "response": ended})
    for number, event in enumerate(events):
        yield frame({**event, "sequence_number": number}, event["type"])


def error_frame(message: str) -> bytes:
    body = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 99}
    return frame(body, "error")


def error_body(refuse: Refuse, param: str | None = None) -> Item:
    kind = refuse.code if refuse.code == "insufficient_quota" else "invalid_request_error"
    return {"error": {"message": refuse.message, "type": kind, "param": param, "code": refuse.code}}


def _items(say: Say, asked: Asked) -> list[Item]:
    items: list[Item] = []
    if say.thinking:
        thought: Item = {"id": f"rs_{asked.number:06d}", "type": "reasoning", "status": "completed"}
        thought["summary"] = [{"type": "summary_text", "text": say.thinking}]
        if "reasoning.encrypted_content" in (asked.body.get("include") or []):
            thought["encrypted_content"] = base64.b64encode(say.thinking.encode()).decode()
        items.append(thought)
    if say.text:
        text: Item = {"type": "output_text", "text": say.text, "annotations": [], "logprobs": []}
        part: Item = {"type": "refusal", "refusal": say.text} if say.finish == "refusal" else text
        message: Item = {"id": f"msg_{asked.number:06d}", "type": "message", "role": "assistant", "content": [part]}
        items.append({**message, "status": "completed"})
    for index, call in enumerate(say.tool_calls):
        name = call_id(call, asked.number, index, "call_")
        told: Item = {"type": "function_call", "id": f"fc_{name}", "call_id": name, "name": call.name}
        items.append({**told, "arguments": arguments_of(call), "status": "completed"})
    return items


def _item_events(item: Item, index: int, say: Say) -> Iterator[Item]:
    at: Item = {"item_id": item["id"], "output_index": index}
    started: Item = {**item, "status": "in_progress"}
    match item["type"]:
        case "message":
            part = item["content"][0]
            key = "refusal" if part["type"] == "refusal" else "text"
            kind = "response.refusal" if key == "refusal" else "response.output_text"
            at["content_index"] = 0
            yield {"type": "response.output_item.added", "output_index": index, "item": {**started, "content": []}}
            yield {"type": "response.content_part.added", **at, "part": {**part, key: ""}}
            for word in words(say.text):
                yield {"type": f"{kind}.delta", **at, "delta": word}
            yield {"type": f"{kind}.done", **at, key: say.text}
            yield {"type": "response.content_part.done", **at, "part": part}
        case "function_call":
            yield {"type": "response.output_item.added", "output_index": index, "item": {**started, "arguments": ""}}
            for piece in argument_pieces(_call_at(say, item)):
                yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
            yield {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]}
        case _:
            at["summary_index"] = 0
            yield {"type": "response.output_item.added", "output_index": index, "item": {**started, "summary": []}}
            for word in words(say.thinking):
                yield {"type": "response.reasoning_summary_text.delta", **at, "delta": word}
            yield {"type": "response.reasoning_summary_text.done", **at, "text": say.thinking}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _call_at(say: Say, item: Item) -> Any:
    return next(
        call for call in say.tool_calls if call.name == item["name"] and arguments_of(call) == item["arguments"]
    )


def _ended(say: Say, asked: Asked, items: list[Item]) -> Item:
    finish = say.finish or "stop"
    reason = None if finish in ("stop", "tool_calls", "refusal") else INCOMPLETE.get(finish, finish)
    body = _response(asked, "incomplete" if reason else "completed", items, reason)
    return body | ({"usage": _usage(say, asked.body)} if say.usage else {})


def _response(asked: Asked, status: str, items: list[Item], reason: str | None) -> Item:
    return {
        "id": f"resp_{asked.number:06d}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": asked.body.get("model"),
        "output": items,
        "parallel_tool_calls": True,
        "tool_choice": asked.body.get("tool_choice", "auto"),
        "tools": asked.body.get("tools", []),
        "usage": None,
    }


def _usage(say: Say, body: Mapping[str, Any]) -> Item:
    read, written, thought = tokens(say, body)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": say.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": read + written,
    }
