"""What the answers of all three APIs have in common: ids, pieces of text, tokens, frames of a stream."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ropewalk.contracts.messages import ToolCall
from ropewalk.testing.provider.cues import Say

compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
CREATED = 1_750_000_000
"""The moment at which every answer was made, so that two runs compare equal."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is turned down."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None


def words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*?(?=\s|$)|\s+$", text) if text else []


def argument_pieces(call: ToolCall) -> Iterator[str]:
    text = arguments_of(call)
    for start in range(0, len(text), 12):
        yield text[start : start + 12]


def arguments_of(call: ToolCall) -> str:
    return json.dumps(call.arguments) if call.invalid is None else call.invalid


def call_id(call: ToolCall, number: int, index: int, prefix: str) -> str:
    return call.id or f"{prefix}{number:06d}x{index}"


def signature(thinking: str) -> str:
    """Return what proves that a thought came from here."""
    return "sig" + sha256(thinking.encode()).hexdigest()[:24]


def tokens(say: Say, body: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return tokens read, written, and thought, as every API counts them here: by a rule of thumb."""
    thought = len(words(say.thinking))
    written = len(words(say.text)) + sum(1 + len(arguments_of(call)) // 4 for call in say.tool_calls) + thought
    heard = body.get("messages", body.get("input", ""))
    return max(len(str(heard)) // 16, 1) + say.cached_tokens, written, thought


def below(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the object under a name, an empty one where there is none."""
    return values.get(name) or {}


def listed(values: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects under a name, none where there are none."""
    return values.get(name) or []


def json_bytes(data: Any) -> bytes:
    """Return the data as JSON; half a character is written as the escape that it came in."""
    text = compact(data)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(data, separators=(",", ":")).encode()


def frame(data: Mapping[str, Any], event: str | None = None) -> bytes:
    name = f"event: {event}\n" if event else ""
    return b"%bdata: %b\n\n" % (name.encode(), json_bytes(data))
