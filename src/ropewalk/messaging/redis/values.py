"""How values become JSON and come back as what they were: datetime, bytes, tuples and a few more are marked.

Plain JSON data is stored as plain JSON. What JSON has no word for is an object with one key, ``$type``, and its text
in ``value``. No class is ever named: a pydantic model is stored as its fields, and comes back as a model where the
reader says which.
"""

import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, cast, overload
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from ropewalk.errors import NotReadable, NotStorable

T = TypeVar("T")
MARK = "$type"
_RAW_MARK = MARK.encode()
_EXTENDED = frozenset({dict, list, float, datetime, date, time, bytes, Decimal})
_PLAIN = frozenset({str, int, bool, type(None)})


def dump(value: Any, what: str = "The value") -> bytes:
    """Encode a value. Raises `NotStorable` for what would come back as something else."""
    try:
        return to_json(_marked(value, what), inf_nan_mode="constants")
    except (ValueError, RecursionError) as error:
        raise NotStorable(what, str(error).partition("\n")[0]) from error


@overload
def load(raw: bytes, what: str, kind: type[T]) -> T: ...
@overload
def load(raw: bytes, what: str, kind: None = None) -> Any: ...
def load(raw: bytes, what: str, kind: Any = None) -> Any:
    """Decode what `dump` made, or any JSON; checked as a ``kind`` when one is given. Raises `NotReadable`."""
    try:
        value = from_json(raw)
        if _RAW_MARK in raw:
            value = _unmarked(value)
        return value if kind is None else _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise NotReadable(what, f"it is no {getattr(kind, '__name__', kind)}: {_problems(error)}") from None
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise NotReadable(what, str(error).partition("\n")[0]) from error


def _adapter(kind: Any) -> TypeAdapter[Any]:
    try:
        return _kept_adapter(kind)
    except TypeError:  # an annotation that cannot be a key
        return TypeAdapter(kind)


@lru_cache(maxsize=64)
def _kept_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)[:3])


def _mark(name: str, value: Any) -> dict[str, Any]:
    return {MARK: name, "value": value}


def _seconds(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _moment(value: datetime | time) -> str | list[str]:
    return [value.isoformat()] if value.fold else value.isoformat()  # the second of two equal hours of a clock change


def _from_moment(kind: Any, text: str | list[str]) -> Any:
    return kind.fromisoformat(text) if isinstance(text, str) else kind.fromisoformat(text[0]).replace(fold=1)


_WRITERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime: ("datetime", _moment),
    date: ("date", date.isoformat),
    time: ("time", _moment),
    timedelta: ("timedelta", _seconds),
    bytes: ("bytes", lambda raw: b64encode(raw).decode()),
    bytearray: ("bytearray", lambda raw: b64encode(raw).decode()),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
    complex: ("complex", lambda number: [repr(number.real), repr(number.imag)]),
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "datetime": lambda text: _from_moment(datetime, text),
    "date": date.fromisoformat,
    "time": lambda text: _from_moment(time, text),
    "timedelta": lambda parts: timedelta(*parts),
    "bytes": lambda text: b64decode(text, validate=True),
    "bytearray": lambda text: bytearray(b64decode(text, validate=True)),
    "decimal": Decimal,
    "uuid": UUID,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "float": float,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
}


def _marked(value: Any, what: str) -> Any:  # noqa: C901  (one case for each kind)
    kind = cast("type[Any]", type(value))
    if kind in _PLAIN:
        return value
    if kind is dict:
        return _marked_dict(cast("dict[Any, Any]", value), what)
    if kind is list:
        return [_marked(item, what) for item in cast("list[Any]", value)]
    if kind is float:
        return value if math.isfinite(value) else _mark("float", repr(value))
    if kind in _WRITERS:
        name, write = _WRITERS[kind]
        return _mark(name, write(value))
    if kind in (tuple, set, frozenset):
        return _mark(kind.__name__, [_marked(item, what) for item in cast("tuple[Any]", value)])
    if isinstance(value, BaseModel):
        return _marked_dict({name: getattr(value, name) for name in type(value).model_fields}, what)
    if isinstance(value, Enum):
        return _marked(value.value, what)
    base = next((base for base in kind.__mro__[1:] if base in _PLAIN or base in _EXTENDED), None)
    if base is datetime or base is date or base is time:
        return _marked(cast("Any", base).fromisoformat(value.isoformat()), what)
    if base is not None:  # a subclass is stored as what it extends
        return _marked(cast("Any", base)(value), what)
    raise NotStorable(what, f"it holds a {kind.__name__}, which JSON has no word for")


def _marked_dict(value: dict[Any, Any], what: str) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str or key == MARK:
            return _mark("dict", [[_marked(key, what), _marked(item, what)] for key, item in value.items()])
        plain[key] = item if type(item) in _PLAIN else _marked(item, what)
    return plain


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    found = cast("dict[str, Any]", value)
    if MARK not in found:
        return {key: _unmarked(item) for key, item in found.items()}
    if found.keys() != {MARK, "value"} or found[MARK] not in _READERS:
        return found  # somebody else's JSON
    return _READERS[found[MARK]](_unmarked(found["value"]))
