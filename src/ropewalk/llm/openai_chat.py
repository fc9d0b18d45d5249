"""Chat Completions: requests into its JSON, answers and streams out of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ropewalk.contracts.messages import LLMMessage
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
from ropewalk.llm.output_schema import NOT_TAKEN_STRICTLY, can_be_enforced, closed, schema_name
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

PROVIDER = "openai"
FINISHES: Mapping[str, Finish] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "content_filter": "filter",
}


def wire(*, of_openai: bool) -> Wire:
    """``of_openai``: whether the server is OpenAI's own, which takes newer options and fewer fields than others."""
    return Wire(build=_builder(of_openai), read=read, fold=ChatFold)


def _builder(of_openai: bool) -> Callable[[ModelRequest, str, bool], JsonObject]:
    def build(request: ModelRequest, model: str, stream: bool) -> JsonObject:
        messages = [_message(message, of_openai=of_openai) for message in request.messages]
        body: JsonObject = {"model": model, "messages": messages}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
            if request.tool_choice is not None:
                body["tool_choice"] = _choice(request.tool_choice)
        if request.max_tokens is not None:
            body["max_completion_tokens" if of_openai else "max_tokens"] = request.max_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.output_schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": schema_format(request.output_schema)}
        return with_extra(body, request)

    return build


def schema_format(schema: Mapping[str, Any]) -> JsonObject:
    """Return a named schema, enforced by the provider where that can be."""
    narrow = closed(dict(schema), all_required=True, without=NOT_TAKEN_STRICTLY)
    strict = can_be_enforced(narrow)
    return {"name": schema_name(schema), "schema": narrow if strict else dict(schema), "strict": strict}


def _tool(tool: ToolSpec) -> JsonObject:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _choice(choice: str) -> object:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _message(message: LLMMessage, *, of_openai: bool) -> JsonObject:
    content = message.content
    if isinstance(content, list) and of_openai:
        content = [{key: value for key, value in part.items() if key != "cache_control"} for part in content]
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content or ""}
    if message.role != "assistant":
        return {"role": message.role, "content": content or ""}
    if not message.tool_calls:
        return {"role": "assistant", "content": content or ""}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments_text(call)}}
        for call in message.tool_calls
    ]
    return {"role": "assistant", "content": content or None, "tool_calls": calls}


def read(body: JsonObject) -> Reply:
    """Read an answer that was not streamed."""
    if body.get("error"):
        raise told_error(body["error"])
    choice: JsonObject = body["choices"][0]
    message: JsonObject = choice["message"]
    calls: list[JsonObject] = listed(message, "tool_calls")
    return _reply(
        body,
        text=message.get("content") or "",
        refusal=message.get("refusal") or "",
        calls=[{"id": call.get("id"), **call["function"]} for call in calls],
        finish=choice.get("finish_reason"),
    )


def _reply(body: JsonObject, *, text: str, refusal: str, calls: Sequence[Mapping[str, Any]], finish: object) -> Reply:
    known = known_finish(finish, FINISHES)
    return made_reply(
        provider=PROVIDER,
        body=body,
        text=text or refusal,
        calls=[
            read_call(call["name"], call.get("id") or f"{body.get('id') or 'call'}_{index}", call.get("arguments"))
            for index, call in enumerate(calls)
        ],
        finish="refusal" if refusal and known == "stop" else known,
        usage=_usage(body.get("usage")),
    )


def _usage(told: JsonObject | None) -> Usage:
    if not told:
        return unmeasured()
    return Usage(
        input_tokens=count(told, "prompt_tokens"),
        output_tokens=count(told, "completion_tokens"),
        cached_tokens=count(told.get("prompt_tokens_details"), "cached_tokens"),
        cache_write_tokens=count(told.get("prompt_tokens_details"), "cache_write_tokens"),
        reasoning_tokens=count(told.get("completion_tokens_details"), "reasoning_tokens"),
        cost=None,
    )


class ChatFold:
    """A stream's chunks. It ends with a finish reason; the usage comes behind it."""

    def __init__(self) -> None:
        self.ended = False
        self._head: JsonObject = {}
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[JsonObject] = []
        self._slots: dict[int, int] = {}  # the provider's index -> position in _calls
        self._finish: object = None

    def take(self, event: JsonObject) -> Iterator[ModelPart]:
        if event.get("error"):
            raise told_error(event["error"])
        for key in ("id", "model", "usage"):
            if event.get(key):
                self._head[key] = event[key]
        for choice in listed(event, "choices"):
            if choice.get("index", 0) == 0:
                yield from self._delta(below(choice, "delta"))
                if choice.get("finish_reason"):
                    self._finish, self.ended = choice["finish_reason"], True

    def reply(self) -> Reply:
        return _reply(
            self._head,
            text="".join(self._text),
            refusal="".join(self._refusal),
            calls=[{**call, "arguments": "".join(call["pieces"])} for call in self._calls],
            finish=self._finish,
        )

    def _delta(self, delta: JsonObject) -> Iterator[ModelPart]:
        for key, into in (("content", self._text), ("refusal", self._refusal)):
            if delta.get(key):
                into.append(delta[key])
                yield TextPart(delta[key])
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            yield ThinkingPart(thought)
        for piece in listed(delta, "tool_calls"):
            yield self._call(piece)

    def _call(self, piece: JsonObject) -> ModelPart:
        function: JsonObject = below(piece, "function")
        position = self._position(piece)
        call = self._calls[position]
        call["name"] = call["name"] or function.get("name") or ""
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            raise ModelReplyUnreadable(f"the arguments of a streamed call are {type(arguments).__name__}, not text")
        call["pieces"].append(arguments)
        return ToolCallPart(position, call["id"], call["name"], arguments)

    def _position(self, piece: JsonObject) -> int:
        """Find the call that a piece belongs to; some servers give every call the index 0 and another id."""
        index: int = piece.get("index", len(self._calls) if piece.get("id") else len(self._calls) - 1)
        known = self._slots.get(index)
        if known is None or (piece.get("id") and self._calls[known]["id"] not in ("", piece["id"])):
            known = self._slots[index] = len(self._calls)
            name = piece.get("id") or f"{self._head.get('id', 'call')}_{known}"
            self._calls.append({"id": name, "name": "", "pieces": []})
        return known
