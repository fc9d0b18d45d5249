"""Turns a request into the arguments of Anthropic's ``messages.create``."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ropewalk.contracts.messages import LLMMessage
from ropewalk.contracts.model import ModelRequest
from ropewalk.llm.output_schema import LIMITS, NOT_TAKEN, can_be_enforced, closed, is_recursive
from ropewalk.llm.wire import JsonObject, arguments_object, read_call, with_extra

PROVIDER = "anthropic"
DEFAULT_MAX_TOKENS = 4096
NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
BEGUN_EARLIER = "(The conversation began earlier.)"
"""Stands where a conversation begins with the assistant, which this API refuses."""


def build(request: ModelRequest, model: str, stream: bool) -> JsonObject:
    """Return the arguments; system messages, wherever they stand, become the one system prompt."""
    body: JsonObject = {
        "model": model,
        "max_tokens": request.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": _messages(request.messages),
    }
    schema = None if request.output_schema is None else _enforceable(request.output_schema)
    told = [message for message in request.messages if message.role == "system"]
    if request.output_schema is not None and schema is None:
        told.append(LLMMessage(role="system", content=in_words(request.output_schema)))
    system = _system(told)
    if system:
        body["system"] = system
    if stream:
        body["stream"] = True
    if request.temperature is not None:
        body["temperature"] = request.temperature
    body |= _tools(request)
    if schema is not None:
        config = dict(request.extra.get("output_config") or {})
        request_config = {**config, "format": {"type": "json_schema", "schema": schema}}
        return {**with_extra(body, request), "output_config": request_config}
    return with_extra(body, request)


def _enforceable(schema: Mapping[str, Any]) -> JsonObject | None:
    """Return the schema in the form in which this API holds a model to it; None for one that it refuses."""
    narrow = closed(dict(schema), all_required=False, without=NOT_TAKEN | LIMITS)
    return narrow if can_be_enforced(narrow) and not is_recursive(narrow) else None


def in_words(schema: Mapping[str, Any]) -> str:
    """Return how a model is asked to keep to a schema that nobody enforces."""
    return f"Answer with one JSON object by this schema, and nothing else:\n{json.dumps(schema, ensure_ascii=False)}"


def _tools(request: ModelRequest) -> JsonObject:
    tools: list[JsonObject] = [
        {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
        for tool in request.tools
    ]
    if tools:
        return {"tools": tools, **({"tool_choice": _choice(request.tool_choice)} if request.tool_choice else {})}
    used = dict.fromkeys(call.name for message in request.messages for call in message.tool_calls or [])
    if used:  # this API refuses calls in the past of tools it is not told of
        stubs = [{"name": name, "input_schema": {"type": "object"}} for name in used]
        return {"tools": stubs, "tool_choice": {"type": "none"}}
    return {}


def _choice(choice: str) -> JsonObject:
    known = {"auto": "auto", "none": "none", "required": "any"}
    return {"type": known[choice]} if choice in known else {"type": "tool", "name": choice}


def _system(messages: list[LLMMessage]) -> str | list[JsonObject]:
    if all(not isinstance(message.content, list) for message in messages):
        return "\n\n".join(message.text for message in messages if message.text.strip())
    return [block for message in messages for block in _blocks(message)]


def _messages(messages: Iterable[LLMMessage]) -> list[JsonObject]:
    made: list[JsonObject] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        content = _result(message) if message.role == "tool" else _blocks(message)
        if not content:
            continue
        if made and made[-1]["role"] == role:
            made[-1]["content"] += content  # all results of a round go into one message, first
        else:
            made.append({"role": role, "content": content})
    if made and made[0]["role"] == "assistant":
        made.insert(0, {"role": "user", "content": BEGUN_EARLIER})
    return made


def _blocks(message: LLMMessage) -> list[JsonObject]:
    echoed = (message.echo or {}).get(PROVIDER)
    if echoed and _is_of(echoed, message):
        return list(echoed)
    content = message.content
    given = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    blocks = [_part(part) for part in given if part.get("type") != "text" or part["text"].strip()]
    for call in message.tool_calls or []:
        told: JsonObject = {"type": "tool_use", "id": _id(call.id), "name": call.name}
        blocks.append({**told, "input": arguments_object(call)})
    return blocks


def _result(message: LLMMessage) -> list[JsonObject]:
    block: JsonObject = {"type": "tool_result", "tool_use_id": _id(message.tool_call_id or "")}
    content = _blocks(message) if isinstance(message.content, list) else message.content
    if content:
        block["content"] = content
    if message.is_error:
        block["is_error"] = True
    return [block]


def _part(part: JsonObject) -> JsonObject:
    match part:
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            kept = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
            return {"type": "image", "source": _source(url), **kept}
        case _:
            return part


def _source(url: str) -> Mapping[str, Any]:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": kind, "data": data}


def _id(call_id: str) -> str:
    return NOT_IN_AN_ID.sub("_", call_id)


def _is_of(blocks: list[JsonObject], message: LLMMessage) -> bool:
    """Tell whether the message still says what its blocks say: an edited one is told anew, without its thoughts."""
    calls = [read_call(b["name"], _id(b["id"]), b["input"]) for b in blocks if b.get("type") == "tool_use"]
    text = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
    return calls == (message.tool_calls or []) and text == message.text
