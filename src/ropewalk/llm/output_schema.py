"""Brings a JSON schema into the narrower form that providers take for native structured output."""

import re
from typing import Any, cast

NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
NOT_TAKEN = frozenset({"default", "title"})
LIMITS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
    | {"minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"}
)
"""What Anthropic refuses in an output schema; the answer is validated against the whole schema anyhow."""


def closed(schema: Any, *, all_required: bool, without: frozenset[str] = NOT_TAKEN) -> Any:
    """Return the schema with every object closed, and, if so asked, with every property required."""
    if isinstance(schema, list):
        return [closed(item, all_required=all_required, without=without) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", schema).items():
        if key in ("properties", "$defs", "definitions"):
            named = cast("dict[str, Any]", value)
            made[key] = {n: closed(v, all_required=all_required, without=without) for n, v in named.items()}
        elif key in ("enum", "const", "required"):
            made[key] = value
        elif key not in without:
            made[key] = closed(value, all_required=all_required, without=without)
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
        if all_required:
            made["required"] = list(made["properties"])
    return made


def is_closed(schema: Any) -> bool:
    """Tell whether no object takes more than it names: only then can a provider enforce it."""
    if isinstance(schema, list):
        return all(map(is_closed, cast("list[Any]", schema)))
    if not isinstance(schema, dict):
        return True
    known = cast("dict[str, Any]", schema)
    if known.get("type") == "object" and known.get("additionalProperties") is not False:
        return False
    return all(map(is_closed, known.values()))


def schema_name(schema: Any) -> str:
    """Return what providers call the schema: its title, in their letters."""
    title = str(cast("dict[str, Any]", schema).get("title") or "output")
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in title)[
        :64
    ]
