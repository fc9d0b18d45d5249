"""What models and tools did, and what they ask a person, in words: from the entries and live events of a tool loop."""

import json
from typing import Any, cast

KINDS = frozenset({"model_replied", "tool_call", "tool_stopped", "tool_result", "tool_progress", "summary_made"})


def in_words(kind: str, data: dict[str, Any], *, is_read: bool = False) -> str:
    """Say what an event of one of `KINDS` tells; a log of another make is told by its name.

    ``is_read``: a reply's text has been shown while it was written, and is left out.
    """
    value = data.get("value")
    told: dict[str, Any] = value if isinstance(value, dict) else data  # pyright: ignore[reportUnknownVariableType]  JSON
    match kind:
        case "model_replied":
            return _reply(told, data.get("usage") or {}, is_read=is_read)
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


def is_call(kind: str, payload: Any) -> bool:
    """Tell whether a pause is about a call of a tool."""
    return kind == "approval" and isinstance(payload, dict) and "call_id" in payload and "tool" in payload


def question(payload: dict[str, Any]) -> str:
    """Return what a person has to decide about a call."""
    tool = payload["tool"]
    if payload.get("outcome") == "unknown":
        return f"{tool} had begun when its process died; nobody knows whether it took effect. Run it again?"
    return f"{tool} has run. May its result count?" if payload.get("when") == "after" else f"May {tool} run?"


def in_brief(payload: dict[str, Any]) -> str:
    """Return the question and the call, for one line."""
    return f"{question(payload)}  {payload['tool']}({_arguments(payload.get('arguments'))})"


def in_full(payload: dict[str, Any]) -> list[str]:
    """Return all that the call was given, and what it returned if it has run: texts as they are, line by line."""
    given: Any = payload.get("arguments")
    parts = dict(cast("dict[str, Any]", given)) if isinstance(given, dict) else {"arguments": given}
    lines: list[str] = []
    for name, value in [*parts.items(), *([("-> result", payload["result"])] if "result" in payload else [])]:
        if isinstance(value, str) and "\n" in value:
            lines += [f"{name}:", *(f"  {line}" for line in value.splitlines())]
        else:
            lines.append(f"{name}: {_json(value)}")
    return lines


def decision_in_words(value: Any) -> str | None:
    """Return what a person said about a call; None for an answer of another kind."""
    if not isinstance(value, dict):
        return None
    told = cast("dict[str, Any]", value)
    match told:
        case {"happened": True}:
            return f"it did happen: {_json(told.get('result'))}"
        case {"expired": True}:
            return "nobody decided in time"
        case {"approve": True, "arguments": arguments}:
            return f"approved, with other arguments: {_json(arguments)}"
        case {"approve": True}:
            return "approved"
        case {"approve": False}:
            return f"rejected: {told['reason']}" if told.get("reason") else "rejected"
        case _:
            return None


def _reply(told: dict[str, Any], usage: dict[str, Any], *, is_read: bool) -> str:
    message: dict[str, Any] = told.get("message") or {}
    names = [str(call.get("name")) for call in message.get("tool_calls") or ()]
    calls = [f"{name} ({names.count(name)})" if names.count(name) > 1 else name for name in dict.fromkeys(names)]
    said = (
        f"asks for {', '.join(calls)}"
        if calls
        else str((not is_read and message.get("content")) or told.get("finish") or "")
    )
    tokens = f"{usage.get('input_tokens', 0):g}+{usage.get('output_tokens', 0):g} tokens: " if usage else ""
    return f"{told.get('model', 'model')}: {tokens}{said}"


def _arguments(arguments: Any) -> str:
    if not isinstance(arguments, dict):
        return _json(arguments)
    given = cast("dict[str, Any]", arguments)
    return ", ".join(f"{name}={_json(value)}" for name, value in given.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
