"""What Responses refuses with 400."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ropewalk.testing.provider.chat_rules import function_problems, schema_problems
from ropewalk.testing.provider.pieces import Refusal, below, listed

NAMES = (
    "background context_management conversation include input instructions max_output_tokens "
    "max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt "
    "prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier "
    "service_tier store stream stream_options temperature text tool_choice tools top_logprobs top_p "
    "truncation user"
)
TOP = frozenset(NAMES.split())
ITEMS = {
    "message": {"type", "role", "content", "id", "status", "phase"},
    "function_call": {"type", "call_id", "name", "arguments", "id", "status"},
    "function_call_output": {"type", "call_id", "output", "id", "status"},
    "reasoning": {"type", "id", "summary", "content", "encrypted_content", "status"},
}
Item = Mapping[str, Any]


def refusal(body: Mapping[str, Any], headers: Mapping[str, str]) -> Refusal | None:
    """Return the first reason to refuse this request."""
    return next(iter(_reasons(body)), None)


def _reasons(body: Mapping[str, Any]) -> Iterator[Refusal]:
    for name in body.keys() - TOP:
        yield Refusal(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    if not isinstance(body.get("model"), str):
        yield Refusal(400, "Missing required parameter: 'model'.", code="missing_required_parameter", param="model")
    given = body.get("input")
    if not given:
        yield Refusal(400, "Missing required parameter: 'input'.", code="missing_required_parameter", param="input")
        return
    items = cast("list[Item]", given if isinstance(given, list) else [])
    for number, item in enumerate(items):
        yield from _item(number, item)
    if "previous_response_id" not in body:
        yield from _pairing(items)
    if body.get("store") is False:
        yield from _kept_nowhere(items)
    yield from _tools(body)
    given_format = below(below(body, "text"), "format")
    if given_format.get("type") == "json_schema":
        yield from schema_problems(given_format, "text.format")


def _tools(body: Mapping[str, Any]) -> Iterator[Refusal]:
    for number, tool in enumerate(listed(body, "tools")):
        if tool.get("type") == "function":
            yield from function_problems(tool, f"tools[{number}]")
        if "function" in tool:
            yield Refusal(400, f"Missing required parameter: 'tools[{number}].name'.", param=f"tools[{number}].name")


def _item(number: int, item: Item) -> Iterator[Refusal]:
    where = f"input[{number}]"
    kind = item.get("type", "message")
    if kind not in ITEMS:
        yield Refusal(400, f"Invalid value: {kind!r}. - {where}.type", code="invalid_value", param=f"{where}.type")
        return
    for name in item.keys() - ITEMS[kind]:
        yield Refusal(400, f"Unknown parameter: '{where}.{name}'.", code="unknown_parameter", param=f"{where}.{name}")
    if kind == "message":
        if item.get("role") not in ("system", "developer", "user", "assistant"):
            yield Refusal(400, f"Invalid value: {item.get('role')!r}. - {where}.role", param=f"{where}.role")
        if not isinstance(item.get("content"), str | list):
            yield Refusal(400, f"Missing required parameter: '{where}.content'.", param=f"{where}.content")
    if kind == "function_call" and not isinstance(item.get("arguments"), str):
        yield Refusal(400, f"Invalid type for '{where}.arguments': expected a string.", param=f"{where}.arguments")
    if kind == "function_call_output" and not isinstance(item.get("output"), str | list):
        yield Refusal(400, f"Invalid type for '{where}.output': expected a string.", param=f"{where}.output")


def _pairing(items: Sequence[Item]) -> Iterator[Refusal]:
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    results = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    for call in calls:
        if call not in results:
            yield Refusal(400, f"No tool output found for function call {call}.", param="input")
    for result in results:
        if result not in calls:
            yield Refusal(400, f"No tool call found for function call output with call_id {result}.", param="input")
    for number, item in enumerate(items):
        following: Item = items[number + 1] if number + 1 < len(items) else {"type": "the end"}
        if item.get("type") == "reasoning" and following.get("type", "message") not in ("message", "function_call"):
            yield Refusal(
                400, f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."
            )


def _kept_nowhere(items: Sequence[Item]) -> Iterator[Refusal]:
    for item in items:
        if item.get("type") == "reasoning" and not item.get("encrypted_content"):
            yield Refusal(
                404,
                f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false. Try "
                "again with `store` set to true, or remove this item from your input.",
            )
