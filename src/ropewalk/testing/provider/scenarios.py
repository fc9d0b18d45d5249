"""Scenarios that need no script: each answers by what is asked alone, so that any number of clients may ask at once."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from ropewalk.contracts.messages import ToolCall
from ropewalk.errors import did_you_mean
from ropewalk.testing.provider.cues import Answer, Asked
from ropewalk.testing.provider.pieces import below


def loop(asked: Asked) -> Answer:
    """Call the first tool once, then end: two model calls and one tool."""
    items = cast("list[Mapping[str, Any]]", asked.body.get("messages", asked.body.get("input", [])))
    if _is_result(items[-1]) or not asked.body.get("tools"):
        return "The work is done."
    tool = asked.body["tools"][0]
    tool = tool.get("function", tool)
    schema = tool.get("parameters", tool.get("input_schema", {}))
    return ToolCall(tool["name"], {name: _example(kind) for name, kind in below(schema, "properties").items()})


def echo(asked: Asked) -> Answer:
    """Say what was said last."""
    items = asked.body.get("messages", asked.body.get("input", ""))
    content = items if isinstance(items, str) else items[-1].get("content", "")
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in cast("list[dict[str, Any]]", content or []))


def _is_result(item: Mapping[str, Any]) -> bool:
    if item.get("role") == "tool" or item.get("type") == "function_call_output":
        return True
    content = item.get("content")
    blocks = cast("list[dict[str, Any]]", content) if isinstance(content, list) else []
    return any(block.get("type") == "tool_result" for block in blocks)


EXAMPLES: Mapping[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}


def _example(schema: Mapping[str, Any]) -> Any:
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        return schema["enum"][0]
    return EXAMPLES.get(str(schema.get("type")), "text")


SCENARIOS: Mapping[str, Callable[[Asked], Answer]] = {"loop": loop, "echo": echo}


def scenario(name: str) -> Callable[[Asked], Answer]:
    """Return the scenario of this name. Raises ValueError."""
    if name not in SCENARIOS:
        raise ValueError(f"No scenario is called {name!r}.{did_you_mean(name, SCENARIOS)}")
    return SCENARIOS[name]
