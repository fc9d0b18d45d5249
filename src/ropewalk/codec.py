"""How values become bytes and come back: JSON by declared types, checked to return equal; nothing is ever pickled."""

import math
from typing import Any, NoReturn, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from ropewalk.errors import NotStorable, TooLarge

FORMAT = 1
"""Version of the entry bodies below; a body without it is of version 1."""
MAX_VALUE_BYTES = 16 * 1024 * 1024
MAX_STEP_BYTES = 48 * 1024 * 1024
"""What one step may write in all."""
MAX_ENTRY_BYTES = 64 * 1024 * 1024
MAX_EVENT_BYTES = 1024 * 1024

ANY: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="strings", defer_build=True))


class RawJson(bytes):
    """JSON text that is already encoded; `dump_entry` puts it in as it is."""

    __slots__ = ()


def stored_form(adapter: TypeAdapter[Any], value: Any, what: str) -> tuple[RawJson, Any]:
    """Return ``value`` as JSON and as it will come back from it, which shares nothing with ``value``.

    Raises `NotStorable` when it would come back different (a datetime in a field typed Any, say), `TooLarge`.
    """
    try:
        raw = adapter.dump_json(value, warnings="none")
        back = adapter.validate_json(raw)
    except (PydanticSerializationError, ValidationError, ValueError, TypeError) as error:
        raise NotStorable(what, _first_line(error)) from error
    if len(raw) > MAX_VALUE_BYTES:
        raise TooLarge(what, len(raw), MAX_VALUE_BYTES)
    if back != value and (where := _difference(value, back, "")) is not None:
        raise NotStorable(what, where)
    return RawJson(raw), back


def dump_entry(kind: str, node: str | None, data: dict[str, Any], at: float) -> bytes:
    """Encode an entry's body; values of type `RawJson` inside ``data`` are taken as they are. Raises `TooLarge`."""
    raw = dump_json(data)
    body = b'{"type":"%b","node":%b,"at":%b,"data":%b}' % (kind.encode(), to_json(node), to_json(at), raw)
    return body if len(body) <= MAX_ENTRY_BYTES else _refused(kind, node, body)


def dump_plain_entry(kind: str, node: str | None, data: dict[str, Any], at: float) -> bytes:
    """Do what `dump_entry` does for ``data`` in which no `RawJson` is: much faster."""
    body = to_json({"type": kind, "node": node, "at": at, "data": data})
    return body if len(body) <= MAX_ENTRY_BYTES else _refused(kind, node, body)


def _refused(kind: str, node: str | None, body: bytes) -> NoReturn:
    raise TooLarge(f"The {kind} entry of {node!r}", len(body), MAX_ENTRY_BYTES)


def legible(text: str) -> str:
    """Return ``text`` with what UTF-8 cannot carry replaced: for messages, which must never stop a log."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def load_entry(body: bytes) -> tuple[str, str | None, dict[str, Any], float]:
    """Return type, node, data and time of an entry's body. Raises ValueError when it is no such thing."""
    try:
        parts = from_json(body)
        return parts["type"], parts["node"], parts["data"], parts["at"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an entry: {body[:80]!r}") from error


def dump_json(value: Any) -> bytes:
    """Encode plain data in which `RawJson` may occur at any depth."""
    if isinstance(value, RawJson):
        return value
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return b"{" + b",".join([to_json(key) + b":" + dump_json(item) for key, item in pairs]) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join([dump_json(item) for item in cast("list[Any]", value)]) + b"]"
    return to_json(value)


def to_plain(value: Any) -> Any:
    """Return ``value`` as the plain JSON data that `dump_json` would encode."""
    return from_json(dump_json(value))


def _difference(value: Any, back: Any, path: str) -> str | None:
    """Say where and how ``back`` differs from ``value``; None where they only differ as NaN does from itself."""
    if type(value) is not type(back):
        return f"{_at(path)}a {type(value).__name__} would come back as a {type(back).__name__}"
    if isinstance(value, dict):
        left, right = cast("dict[Any, Any]", value), cast("dict[Any, Any]", back)
        if left.keys() != right.keys():
            return f"{_at(path)}keys that are not strings would come back as strings"
        pairs = [(left[key], right[key], f"{path}[{key!r}]") for key in left]
    elif isinstance(value, list | tuple):
        left, right = cast("list[Any]", value), cast("list[Any]", back)
        if len(left) != len(right):
            return f"{_at(path)}a sequence would come back with another length"
        pairs = [(one, other, f"{path}[{index}]") for index, (one, other) in enumerate(zip(left, right, strict=True))]
    elif (isinstance(value, float) and math.isnan(value) and math.isnan(back)) or value == back:
        return None
    else:
        return f"{_at(path)}a {type(value).__name__} would come back with another value"
    return next((found for one, other, where in pairs if (found := _difference(one, other, where))), None)


def _at(path: str) -> str:
    return f"at {path} " if path else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
