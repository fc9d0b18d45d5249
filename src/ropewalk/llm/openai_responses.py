"""Responses: requests into its JSON, answers and streams out of it. Nothing is kept at the provider."""

import re
from collections.abc import Iterator, Mapping

from ropewalk.contracts.messages import LLMMessage, ToolCall
from ropewalk.contracts.model import (
    Finish,
    ModelPart,
    ModelRequest,
    Reply,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolSpec,
    Usage,
)
from ropewalk.errors import ModelReplyUnreadable
from ropewalk.llm.openai_chat import PROVIDER, schema_format
from ropewalk.llm.trouble import told_error
from ropewalk.llm.wire import (
    JsonObject,
    Wire,
    arguments_text,
    below,
    count,
    known_finish,
    listed,
    made_reply,
    read_call,
    unmeasured,
    with_extra,
)

REASONS: Mapping[str, Finish] = {"max_output_tokens": "length", "content_filter": "filter"}
REASONING = re.compile(r"(o\d|gpt-[5-9](?!.*chat)|codex|computer-use)")
SEALED = "reasoning.encrypted_content"
TEXTS = ("response.output_text.delta", "response.refusal.delta")
THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
ENDS = ("response.completed", "response.incomplete", "response.failed")


def wire() -> Wire:
    return Wire(build=build, read=read, fold=ResponsesFold)


def build(request: ModelRequest, model: str, stream: bool) -> JsonObject:
    """Return the arguments of ``responses.create``: the whole conversation each time, ``store`` off."""
    items = [item for message in request.messages for item in _items(message)]
    body: JsonObject = {"model": model, "input": items, "store": False}
    if "reasoning" in request.extra or REASONING.match(model):
        body["include"] = [SEALED]
    if stream:
        body["stream"] = True
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice is not None:
            body["tool_choice"] = _choice(request.tool_choice)
    if request.max_tokens is not None:
        body["max_output_tokens"] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.output_schema is not None:
        text = dict(request.extra.get("text") or {})
        body["text"] = {**text, "format": {"type": "json_schema", **schema_format(request.output_schema)}}
    return {**with_extra(body, request), **({"text": body["text"]} if "text" in body else {})}


def _tool(tool: ToolSpec) -> JsonObject:
    told = {"type": "function", "name": tool.name, "description": tool.description}
    return {**told, "parameters": dict(tool.parameters), "strict": False}  # this API's own default would be True


def _choice(choice: str) -> object:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "name": choice}


def _items(message: LLMMessage) -> list[JsonObject]:
    if message.role == "tool":
        output = message.content if isinstance(message.content, str) else _content(message)
        return [{"type": "function_call_output", "call_id": message.tool_call_id, "output": output or ""}]
    if message.role != "assistant":
        return [{"role": message.role, "content": _content(message)}]
    echoed = (message.echo or {}).get(PROVIDER)
    if echoed and _is_of(echoed, message):
        return echoed
    items: list[JsonObject] = [{"role": "assistant", "content": _content(message)}] if message.content else []
    for call in message.tool_calls or []:
        told = {"type": "function_call", "call_id": call.id, "name": call.name}
        items.append({**told, "arguments": arguments_text(call)})
    return items


def _content(message: LLMMessage) -> str | list[JsonObject]:
    if not isinstance(message.content, list):
        return message.content or ""
    text_type = "output_text" if message.role == "assistant" else "input_text"
    return [_part(part, text_type) for part in message.content]


def _part(part: JsonObject, text_type: str) -> JsonObject:
    match part:
        case {"type": "text", "text": text}:
            return {"type": text_type, "text": text}
        case {"type": "image_url", "image_url": {"url": url, **options}}:
            return {"type": "input_image", "image_url": url, **options}
        case _:
            return part


def _is_of(items: list[JsonObject], message: LLMMessage) -> bool:
    """Tell whether the message still says what its items say: an edited one is told anew, without its reasoning."""
    calls = [(item["call_id"], item["name"]) for item in items if item.get("type") == "function_call"]
    told = [(call.id, call.name) for call in message.tool_calls or []]
    arguments = {item["call_id"]: item.get("arguments") for item in items if item.get("type") == "function_call"}
    same = all(_same(arguments.get(call.id), call) for call in message.tool_calls or [])
    return calls == told and same and _text(items)[0] == message.text


def _same(arguments: object, call: ToolCall) -> bool:
    return read_call(call.name, call.id, arguments) == call


def _text(items: list[JsonObject]) -> tuple[str, bool]:
    """Return the text of the messages, and whether it is a refusal."""
    parts = [part for item in items if item.get("type") == "message" for part in listed(item, "content")]
    refused = [str(part.get("refusal", "")) for part in parts if part.get("type") == "refusal"]
    told = [str(part.get("text", "")) for part in parts if part.get("type") == "output_text"]
    return "".join([*told, *refused]), bool(refused)


def read(body: JsonObject) -> Reply:
    """Read a response that has ended."""
    status = body.get("status")
    if body.get("error") or status == "failed":
        raise told_error(body.get("error") or {"message": "the response failed and does not say why"})
    if status not in ("completed", "incomplete"):
        raise ModelReplyUnreadable(f"its status is {status!r}, which is no end")
    output: list[JsonObject] = body.get("output") or []
    text, refused = _text(output)
    calls = [item for item in output if item.get("type") == "function_call"]
    finish: Finish = "refusal" if refused else "tool_calls" if calls else "stop"
    if status == "incomplete":
        finish = known_finish(below(body, "incomplete_details").get("reason"), REASONS)
    sealed = any(item.get("type") == "reasoning" and item.get("encrypted_content") for item in output)
    return made_reply(
        provider=PROVIDER,
        body=body,
        text=text,
        calls=[read_call(item["name"], item["call_id"], item.get("arguments")) for item in calls],
        finish=finish,
        usage=_usage(body.get("usage")),
        echo=output if sealed and finish in ("stop", "tool_calls") else None,
    )


def _usage(told: JsonObject | None) -> Usage:
    if not told:
        return unmeasured()
    return Usage(
        input_tokens=count(told, "input_tokens"),
        output_tokens=count(told, "output_tokens"),
        cached_tokens=count(told.get("input_tokens_details"), "cached_tokens"),
        cache_write_tokens=count(told.get("input_tokens_details"), "cache_write_tokens"),
        reasoning_tokens=count(told.get("output_tokens_details"), "reasoning_tokens"),
        cost=None,
    )


class ResponsesFold:
    """A stream's events. Its last one brings the whole response again."""

    def __init__(self) -> None:
        self.ended = False
        self._body: JsonObject = {}
        self._done: list[JsonObject] = []
        self._calls: dict[str, tuple[int, JsonObject]] = {}  # item id -> position and item

    def take(self, event: JsonObject) -> Iterator[ModelPart]:
        kind = event.get("type")
        if kind in TEXTS:
            yield TextPart(event["delta"])
        elif kind in THOUGHTS:
            yield ThinkingPart(event["delta"])
        elif kind == "response.function_call_arguments.delta":
            position, item = self._calls[event["item_id"]]
            yield ToolCallPart(position, item["call_id"], item["name"], event["delta"])
        elif kind == "response.output_item.added" and event["item"].get("type") == "function_call":
            position, item = len(self._calls), event["item"]
            self._calls[item.get("id") or item["call_id"]] = position, item
            yield ToolCallPart(position, item["call_id"], item["name"], "")
        elif kind == "response.output_item.done":
            self._done.append(event["item"])
        elif kind in ENDS:
            self._body, self.ended = event["response"], True
        elif kind == "error" or (kind is None and event.get("error")):
            raise told_error(event.get("error") or event)

    def reply(self) -> Reply:
        return read({**self._body, "output": self._body.get("output") or self._done})
