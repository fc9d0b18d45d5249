"""What Chat Completions refuses with 400, as its strictest models do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ropewalk.testing.provider.pieces import Refusal, below, listed

NAMES = (
    "audio extra_body frequency_penalty function_call functions logit_bias logprobs "
    "max_completion_tokens max_tokens messages metadata modalities model moderation n "
    "parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options "
    "prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier stop "
    "store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity "
    "web_search_options"
)
TOP = frozenset(NAMES.split())
FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "refusal", "audio", "function_call", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def refusal(body: Mapping[str, Any], headers: Mapping[str, str]) -> Refusal | None:
    """Return the first reason to refuse this request."""
    return next(iter(_reasons(body)), None)


def _reasons(body: Mapping[str, Any]) -> Iterator[Refusal]:
    for name in body.keys() - TOP:
        yield Refusal(400, f"Unrecognized request argument supplied: {name}")
    if not isinstance(body.get("model"), str):
        yield Refusal(400, "you must provide a model parameter")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield Refusal(
            400, "Invalid 'messages': empty array. Expected an array with minimum length 1.", param="messages"
        )
        return
    for number, message in enumerate(cast("list[dict[str, Any]]", messages)):
        yield from _message(number, message)
    yield from pairing(cast("list[dict[str, Any]]", messages))
    yield from _tools(body)
    if "stream_options" in body and not body.get("stream"):
        yield Refusal(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    yield from _format(body.get("response_format"))


def _message(number: int, message: Mapping[str, Any]) -> Iterator[Refusal]:
    where = f"messages[{number}]"
    role = message.get("role")
    if role not in FIELDS:
        yield Refusal(
            400, f"Invalid value: {role!r}. Supported values are: {', '.join(FIELDS)}.", param=f"{where}.role"
        )
        return
    for name in message.keys() - FIELDS[role]:
        yield Refusal(400, f"Additional properties are not allowed ({name!r} was unexpected) - {where}", param=where)
    content, calls = message.get("content"), message.get("tool_calls")
    if content is None and not (role == "assistant" and (calls or message.get("refusal"))):
        yield Refusal(400, f"Invalid value for 'content': expected a string, got null. - {where}", param=where)
    if not isinstance(content, str | list | None):
        yield Refusal(400, f"Invalid type for '{where}.content': expected a string or an array.", param=where)
    if calls is not None and not calls:
        yield Refusal(400, f"Invalid '{where}.tool_calls': empty array. Expected minimum length 1.", param=where)
    for call in listed(message, "tool_calls"):
        arguments = below(call, "function").get("arguments")
        if call.keys() != {"id", "type", "function"} or not call["id"] or call["type"] != "function":
            yield Refusal(400, f"Invalid tool call in {where}: exactly id, type and function are expected.")
        elif not isinstance(arguments, str) or call["function"].keys() != {"name", "arguments"}:
            yield Refusal(400, f"Invalid type for '{where}.tool_calls.function.arguments': expected a string.")


def pairing(messages: Sequence[Mapping[str, Any]]) -> Iterator[Refusal]:
    """Yield where calls and results do not pair."""
    waiting: list[str] = []
    for number, message in enumerate(messages):
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in waiting:
                yield Refusal(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    param=f"messages.[{number}].role",
                )
            else:
                waiting.remove(message["tool_call_id"])
            continue
        yield from _missing(waiting, number)
        waiting = [str(call.get("id")) for call in listed(message, "tool_calls")]
    yield from _missing(waiting, len(messages))


def _missing(waiting: Sequence[str], number: int) -> Iterator[Refusal]:
    if waiting:
        yield Refusal(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            param=f"messages.[{number}].role",
        )


def _tools(body: Mapping[str, Any]) -> Iterator[Refusal]:
    tools = body.get("tools")
    if tools == []:
        yield Refusal(400, "Invalid 'tools': empty array. Expected an array with minimum length 1.", param="tools")
    for number, tool in enumerate(tools or []):
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            yield Refusal(400, f"Missing required parameter: 'tools[{number}].function'.", param="tools")
            continue
        yield from function_problems(cast("dict[str, Any]", function), f"tools[{number}].function")
    for name in ("tool_choice", "parallel_tool_calls"):
        if name in body and not tools:
            yield Refusal(400, f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.")


def function_problems(function: Mapping[str, Any], where: str) -> Iterator[Refusal]:
    if not TOOL_NAME.fullmatch(str(function.get("name", ""))):
        yield Refusal(400, f"Invalid '{where}.name': string does not match pattern.", param=f"{where}.name")
    parameters = function.get("parameters", {"type": "object"})
    if not isinstance(parameters, dict) or cast("dict[str, Any]", parameters).get("type") != "object":
        yield Refusal(
            400,
            f"Invalid schema for function {function.get('name')!r}: its type must be 'object'.",
            code="invalid_function_parameters",
        )


def _format(given: Any) -> Iterator[Refusal]:
    if isinstance(given, dict) and cast("dict[str, Any]", given).get("type") == "json_schema":
        yield from schema_problems(below(cast("dict[str, Any]", given), "json_schema"), "response_format")


def schema_problems(given: Mapping[str, Any], where: str) -> Iterator[Refusal]:
    """Yield what a native output schema must have: a name, and closed objects when it is strict."""
    if not TOOL_NAME.fullmatch(str(given.get("name", ""))):
        yield Refusal(400, f"Missing required parameter: '{where}.json_schema.name'.", param=where)
    schema = below(given, "schema")
    if given.get("strict") and schema.get("type") != "object":
        got = schema.get("type")
        message = f"Invalid schema for {where} {given.get('name')!r}: schema must be of type 'object', got {got!r}."
        yield Refusal(400, message, param=where)
    refused = next(_not_permitted(schema), None)
    if given.get("strict") and refused is not None:
        yield Refusal(400, f"Invalid schema for {where} {given.get('name')!r}: {refused}.", param=where)
    if given.get("strict") and open_objects(given.get("schema")):
        yield Refusal(
            400,
            f"Invalid schema for {where} {given.get('name')!r}: 'additionalProperties' must be supplied and be "
            "false, and 'required' to name every property.",
            param=where,
        )


NOT_PERMITTED = ("oneOf", "allOf", "not", "prefixItems", "uniqueItems", "minLength", "maxLength", "patternProperties")


def _not_permitted(schema: Any) -> Iterator[str]:
    """Yield what a strict schema must not have: some keywords, words beside a reference, a property of no type."""
    parts: list[Any] = cast("list[Any]", schema) if isinstance(schema, list) else []
    if isinstance(schema, dict):
        known = cast("dict[str, Any]", schema)
        yield from (f"{key!r} is not permitted" for key in NOT_PERMITTED if key in known)
        if "$ref" in known and len(known) > 1:
            yield f"$ref cannot have keywords {sorted(known.keys() - {'$ref'})}"
        named: list[Any] = [*below(known, "properties").values(), *below(known, "$defs").values()]
        if any(part in ({}, True) for part in named):
            yield "schema must have a 'type' key"
        parts = [*named, *(known.get(key) for key in ("items", "anyOf"))]
    for part in parts:
        yield from _not_permitted(part)


def open_objects(schema: Any) -> bool:
    """Tell whether an object of the schema takes more than it names, or leaves something out."""
    if isinstance(schema, list):
        return any(map(open_objects, cast("list[Any]", schema)))
    if not isinstance(schema, dict):
        return False
    known = cast("dict[str, Any]", schema)
    if known.get("type") == "object":
        properties = cast("dict[str, Any]", known.get("properties", {}))
        if known.get("additionalProperties") is not False or set(known.get("required", [])) != set(properties):
            return True
    return any(open_objects(value) for value in known.values())
