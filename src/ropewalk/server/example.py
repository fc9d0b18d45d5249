"""Makes an example of what a JSON schema asks for: valid by it, and as short as may be. Pure.

1. What the schema itself shows counts first: ``examples``, ``default``, ``const``, ``enum``.
2. Of an object there is what it needs; of alternatives the first one that comes to an end.
3. A pattern is met by trying words; where none fits, the word stands for what only a person can know.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor
from typing import Any, cast

Schema = Mapping[str, Any]

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ann@example.com",
    "idn-email": "ann@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "ipvanyaddress": "192.0.2.1",
    "ipvanynetwork": "192.0.2.0/24",
    "uuid": "12345678-1234-4234-8234-123456789abc",
    "json-string": "{}",
}
_WORDS = ("text", "Text", "TEXT", "a", "A", "1", "a1", "A1", "text-1", "TEXT-1", "1.0", "1.0.0", "#a1b2c3", "/text")
_LONGEST_TRIED = 64


class _Endless(Exception):
    """A schema that needs itself inside itself."""


def example_of(schema: Schema) -> Any:
    """Return a value that a schema takes. One that needs itself without end has none: None."""
    try:
        return _made(schema, schema.get("$defs") or {}, ())
    except _Endless:
        return None


def _made(schema: Schema, known: Schema, within: tuple[str, ...]) -> Any:
    shown = _shown(schema)
    if shown is not None:
        return shown[0]
    name = schema.get("$ref")
    if isinstance(name, str):
        if name in within:
            raise _Endless
        return _made(known.get(name.rpartition("/")[2], {}), known, (*within, name))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _first(schema[several], known, within)
    if "allOf" in schema:
        parts: list[Schema] = [{key: value for key, value in schema.items() if key != "allOf"}, *schema["allOf"]]
        return _made({key: value for part in parts for key, value in part.items()}, known, within)
    return _of_type(schema, known, within)


def _shown(schema: Schema) -> tuple[Any] | None:
    """Return what the schema shows itself, in a tuple; None: nothing."""
    for key in ("examples", "enum"):
        several: Any = schema.get(key)
        if isinstance(several, list) and several:
            return (cast("list[Any]", several)[0],)
    return next(((schema[key],) for key in ("default", "const") if key in schema), None)


def _first(several: Sequence[Schema], known: Schema, within: tuple[str, ...]) -> Any:
    for one in several:
        try:
            return _made(one, known, within)
        except _Endless:
            continue
    raise _Endless


def _of_type(schema: Schema, known: Schema, within: tuple[str, ...]) -> Any:
    kind: Any = schema.get("type")
    match cast("list[Any]", kind)[0] if isinstance(kind, list) else kind:
        case "object":
            return _object(schema, known, within)
        case "array":
            return _array(schema, known, within)
        case "integer" | "number" as number:
            return _number(schema, whole=number == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:  # text, or whatever one likes
            return _text(schema)


def _object(schema: Schema, known: Schema, within: tuple[str, ...]) -> dict[str, Any]:
    fields: Schema = schema.get("properties") or {}
    made = {name: _made(fields.get(name, {}), known, within) for name in schema.get("required") or ()}
    more: Any = schema.get("additionalProperties")
    for at in range(len(made), schema.get("minProperties") or 0):
        made[f"key{at + 1}"] = _made(more if isinstance(more, Mapping) else {}, known, within)  # pyright: ignore[reportUnknownArgumentType]
    return made


def _array(schema: Schema, known: Schema, within: tuple[str, ...]) -> list[Any]:
    first: list[Schema] = schema.get("prefixItems") or []
    items: Any = schema.get("items")
    made = [_made(one, known, within) for one in first]
    while len(made) < (schema.get("minItems") or 0):
        made.append(_made(items if isinstance(items, Mapping) else {}, known, within))  # pyright: ignore[reportUnknownArgumentType]
    return _told_apart(made, items) if schema.get("uniqueItems") else made


def _told_apart(made: list[Any], items: Any) -> list[Any]:
    """Return a set's items, each another one."""
    choices: Any = items.get("enum") if isinstance(items, Mapping) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
    if isinstance(choices, list):
        return cast("list[Any]", choices)[: len(made)]
    return [one if not at else _another(one, at) for at, one in enumerate(made)]


def _another(one: Any, at: int) -> Any:
    if isinstance(one, bool):
        return one if at % 2 == 0 else not one
    return one + at if isinstance(one, int | float) else f"{one}{at + 1}" if isinstance(one, str) else one


def _number(schema: Schema, *, whole: bool) -> int | float:
    """Return a number within the bounds, by the steps that are asked for; 1 where there are none."""
    step = schema.get("multipleOf") or 1
    low = max((schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema), default=None)
    high = min((schema[key] for key in ("maximum", "exclusiveMaximum") if key in schema), default=None)
    tried: list[int | float] = [step, 0]
    for bound in (low, high):
        if bound is not None:
            tried += [bound, *((floor(bound / step) + more) * step for more in (-1, 0, 1, 2))]
    if low is not None and high is not None:
        tried.append((low + high) / 2)
    fit = (one for one in tried if _is_within(schema, one) and (not whole or one == int(one)))
    found = next(fit, step)
    return int(found) if whole else found


def _is_within(schema: Schema, number: float) -> bool:
    return (
        number >= schema.get("minimum", number)
        and number <= schema.get("maximum", number)
        and number > schema.get("exclusiveMinimum", number - 1)
        and number < schema.get("exclusiveMaximum", number + 1)
        and number % schema.get("multipleOf", number or 1) == 0
    )


def _text(schema: Schema) -> str:
    shortest, longest = schema.get("minLength") or 0, schema.get("maxLength")
    formed = _FORMATS.get(str(schema.get("format", "")))
    if formed is not None:
        return formed
    pattern = schema.get("pattern")
    fit = (word for word in _candidates(shortest, longest) if pattern is None or _matches(pattern, word))
    return next(fit, _fitted("text", shortest, longest))


def _candidates(shortest: int, longest: int | None) -> Iterator[str]:
    yield from (_fitted(word, shortest, longest) for word in _WORDS)
    yield from (formed for formed in _FORMATS.values() if shortest <= len(formed) <= (longest or len(formed)))
    for sign in ("a", "A", "1"):
        yield from (sign * length for length in range(shortest, min(longest or _LONGEST_TRIED, _LONGEST_TRIED) + 1))


def _fitted(word: str, shortest: int, longest: int | None) -> str:
    long_enough = word * (ceil(shortest / len(word)) or 1)
    return long_enough[: max(shortest, len(word))][:longest]


def _matches(pattern: str, word: str) -> bool:
    try:
        return re.search(pattern, word) is not None
    except re.error:  # written for another engine: the word stands
        return True
