"""What Messages refuses with 400, in Anthropic's words."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ropewalk.testing.provider.pieces import Refusal, below, listed, signature

NAMES = (
    "cache_control container context_management inference_geo max_tokens mcp_servers messages metadata "
    "model output_config output_format service_tier speed stop_sequences stream system temperature "
    "thinking tool_choice tools top_k top_p"
)
TOP = frozenset(NAMES.split())
BLOCKS = {
    "text": {"type", "text", "cache_control", "citations"},
    "image": {"type", "source", "cache_control"},
    "document": {"type", "source", "title", "context", "citations", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
    "tool_use": {"type", "id", "name", "input", "cache_control", "caller"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
}
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
Block = Mapping[str, Any]


def refusal(body: Mapping[str, Any], headers: Mapping[str, str]) -> Refusal | None:
    """Return the first reason to refuse this request."""
    if "anthropic-version" not in headers:
        return Refusal(400, "anthropic-version: header is required")
    return next(iter(_reasons(body)), None)


def _reasons(body: Mapping[str, Any]) -> Iterator[Refusal]:
    for name in body.keys() - TOP:
        yield Refusal(400, f"{name}: Extra inputs are not permitted")
    for name, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if not isinstance(body.get(name), kind):
            yield Refusal(400, f"{name}: Field required")
            return
    messages = cast("list[dict[str, Any]]", body["messages"])
    if not messages:
        yield Refusal(400, "messages: at least one message is required")
    for number, message in enumerate(messages):
        yield from _message(number, message, last=number == len(messages) - 1)
    yield from _pairing([blocks_of(message) for message in messages], messages)
    yield from _tools(body)
    yield from _thinking(body, messages)
    yield from _format(below(body, "output_config").get("format") or body.get("output_format"))


def _message(number: int, message: Mapping[str, Any], *, last: bool) -> Iterator[Refusal]:
    where = f"messages.{number}"
    if message.get("role") not in ("user", "assistant"):
        yield Refusal(
            400, f"{where}.role: Input should be 'user' or 'assistant'; use the top-level `system` parameter."
        )
    if number == 0 and message.get("role") != "user":
        yield Refusal(400, 'messages: first message must use the "user" role')
    for name in message.keys() - {"role", "content"}:
        yield Refusal(400, f"{where}.{name}: Extra inputs are not permitted")
    if not message.get("content") and not (last and message.get("role") == "assistant"):
        yield Refusal(400, f"{where}: all messages must have non-empty content except for the optional final assistant")
    for index, block in enumerate(blocks_of(message)):
        yield from _block(f"{where}.content.{index}", block)


def blocks_of(message: Mapping[str, Any]) -> Sequence[Block]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return cast("list[Block]", content or [])


def _block(where: str, block: Block) -> Iterator[Refusal]:
    kind = block.get("type")
    if kind not in BLOCKS:
        yield Refusal(400, f"{where}: Input tag {kind!r} found using 'type' does not match any of the expected tags")
        return
    for name in block.keys() - BLOCKS[kind]:
        yield Refusal(400, f"{where}.{kind}.{name}: Extra inputs are not permitted")
    if kind == "text" and not str(block.get("text", "")).strip():
        yield Refusal(400, "messages: text content blocks must contain non-whitespace text")
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        yield Refusal(400, f"{where}.tool_use.input: Input should be a valid dictionary")
    if kind == "thinking" and block.get("signature") != signature(str(block.get("thinking"))):
        yield Refusal(400, f"{where}: Invalid `signature` in `thinking` block")


def _pairing(contents: Sequence[Sequence[Block]], messages: Sequence[Mapping[str, Any]]) -> Iterator[Refusal]:
    asked: list[str] = []
    for number, blocks in enumerate(contents):
        results = [block.get("tool_use_id") for block in blocks if block.get("type") == "tool_result"]
        for result in results:
            if result not in asked:
                yield Refusal(
                    400,
                    f"messages.{number}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {result}. "
                    "Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
                )
        if len(set(results)) != len(results):
            yield Refusal(400, f"messages.{number}: each tool_use must have a single result.")
        missing = [name for name in asked if name not in results]
        first = [block.get("type") for block in blocks[: len(results)]]
        if missing or first != ["tool_result"] * len(results):
            yield Refusal(
                400,
                f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in "
                "the next message.",
            )
        asked = [str(block.get("id")) for block in blocks if block.get("type") == "tool_use"]
        if asked and messages[number].get("role") != "assistant":
            yield Refusal(400, f"messages.{number}: `tool_use` blocks can only be in `assistant` messages")
    if asked:
        yield Refusal(400, f"messages: `tool_use` ids were found without `tool_result` blocks: {', '.join(asked)}.")


def _tools(body: Mapping[str, Any]) -> Iterator[Refusal]:
    tools = listed(body, "tools")
    for number, tool in enumerate(tools):
        if not TOOL_NAME.fullmatch(str(tool.get("name", ""))):
            yield Refusal(400, f"tools.{number}.custom.name: String should match pattern '{TOOL_NAME.pattern}'")
        if below(tool, "input_schema").get("type") != "object" and tool.get("type") in (None, "custom"):
            yield Refusal(400, f"tools.{number}.custom.input_schema.type: Field required")
    names = [tool.get("name") for tool in tools]
    if len(set(names)) != len(names):
        yield Refusal(400, "tools: Tool names must be unique.")
    used = any(block.get("type") == "tool_use" for message in body["messages"] for block in blocks_of(message))
    if used and not tools:
        yield Refusal(400, "Requests which include `tool_use` or `tool_result` blocks must define tools.")
    if body.get("tool_choice") and not tools:
        yield Refusal(400, "tool_choice: may only be specified while providing tools.")


def _thinking(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> Iterator[Refusal]:
    thinking = below(body, "thinking")
    if thinking.get("type") not in ("enabled", "adaptive"):
        return
    if thinking.get("budget_tokens", 0) >= body["max_tokens"]:
        yield Refusal(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    if below(body, "tool_choice").get("type") in ("any", "tool"):
        yield Refusal(400, "Thinking may not be enabled when tool_choice forces tool use.")
    for number, message in enumerate(messages):
        blocks = blocks_of(message)
        open_turn = number == len(messages) - 2 and any(block.get("type") == "tool_use" for block in blocks)
        if open_turn and blocks[0].get("type") not in ("thinking", "redacted_thinking"):
            yield Refusal(
                400,
                f"messages.{number}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
                f"`{blocks[0].get('type')}`.",
            )


def _format(given: Any) -> Iterator[Refusal]:
    if given and (given.get("type") != "json_schema" or _takes_more(given.get("schema"))):
        yield Refusal(400, "output_config.format.schema: 'additionalProperties' must be explicitly set to false")
    if given and _contains_itself(below(given, "schema")):
        yield Refusal(400, "output_config.format.schema: Recursive schemas are not supported")


def _contains_itself(schema: Mapping[str, Any]) -> bool:
    """Tell whether a definition of the schema names itself, directly."""
    named = below(schema, "$defs")
    return any(f'"#/$defs/{name}"' in json.dumps(part) for name, part in named.items())


def _takes_more(schema: Any) -> bool:
    """Tell whether an object of the schema takes more than it names."""
    if isinstance(schema, list):
        return any(map(_takes_more, cast("list[Any]", schema)))
    if not isinstance(schema, dict):
        return False
    known = cast("dict[str, Any]", schema)
    if known.get("type") == "object" and known.get("additionalProperties") is not False:
        return True
    return any(map(_takes_more, known.values()))
