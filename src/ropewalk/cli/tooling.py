"""What models and tools did, in the few words of one line: from the entries and live events of a tool loop."""

import json
from typing import Any, cast

KINDS = frozenset({"model_replied", "tool_call", "tool_stopped", "tool_result", "tool_progress", "summary_made"})


def in_words(kind: str, data: dict[str, Any]) -> str:
    """Say what an event of one of `KINDS` tells; a log of another make is told by its name."""
    value = data.get("value")
    told: dict[str, Any] = value if isinstance(value, dict) else data  # pyright: ignore[reportUnknownVariableType]  JSON
    match kind:
        case "model_replied":
            return _reply(told, data.get("usage") or {})
        case "tool_call":
            return f"{told.get('tool')}({_arguments(told.get('arguments'))})"
        case "tool_result":
            status = told.get("status")
            what = told.get("error") if status != "ok" else _json(told.get("result"))
            return f"{told.get('tool')} {'->' if status == 'ok' else status} {what}"
        case "tool_stopped":
            return f"{told.get('tool')} stopped: {told.get('why')}"
        case "tool_progress":
            return f"{told.get('tool', '')} {_json(told.get('data', told))}".strip()
        case _:
            return str(data.get("name", kind))


def _reply(told: dict[str, Any], usage: dict[str, Any]) -> str:
    message: dict[str, Any] = told.get("message") or {}
    calls = [str(call.get("name")) for call in message.get("tool_calls") or ()]
    said = f"asks for {', '.join(calls)}" if calls else str(message.get("content") or told.get("finish") or "")
    tokens = f"{usage.get('input_tokens', 0):g}+{usage.get('output_tokens', 0):g} tokens: " if usage else ""
    return f"{told.get('model', 'model')}: {tokens}{said}"


def _arguments(arguments: Any) -> str:
    if not isinstance(arguments, dict):
        return _json(arguments)
    given = cast("dict[str, Any]", arguments)
    return ", ".join(f"{name}={_json(value)}" for name, value in given.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
