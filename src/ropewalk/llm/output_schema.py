"""Brings a JSON schema into the narrower form that providers take for native structured output."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
NOT_TAKEN = frozenset({"default", "title", "discriminator"})
NOT_TAKEN_STRICTLY = NOT_TAKEN | {"minLength", "maxLength", "uniqueItems", "minProperties", "maxProperties"}
"""What OpenAI takes no notice of, or refuses, in a schema that it enforces."""
LIMITS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
    | {"minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"}
)
"""What Anthropic refuses in an output schema; the answer is validated against the whole schema anyhow."""
NOT_ENFORCED = frozenset(
    {"allOf", "not", "if", "then", "else", "prefixItems", "contains", "patternProperties", "propertyNames"}
    | {"dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties"}
)
SAYS_WHAT = frozenset({"type", "anyOf", "enum", "const", "$ref"})


def closed(schema: Any, *, all_required: bool, without: frozenset[str] = NOT_TAKEN) -> Any:
    """Return the schema with every object closed, and, if so asked, with every property required.

    One of several becomes any of several, and words beside a reference move around it: nobody takes those as they are.
    """
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
            made["anyOf" if key == "oneOf" else key] = closed(value, all_required=all_required, without=without)
    if "$ref" in made and len(made.keys() - {"$defs"}) > 1:
        made["anyOf"] = [{"$ref": made.pop("$ref")}]
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("additionalProperties", False)
        if all_required:
            made["required"] = list(made["properties"])
    return made


def can_be_enforced(schema: Mapping[str, Any]) -> bool:
    """Tell whether a provider can hold a model to the schema: every part of it says what it is, and no object takes
    more than it names.
    """
    if NOT_ENFORCED & schema.keys() or not SAYS_WHAT & schema.keys():
        return False
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return False
    if schema.get("type") == "array" and "items" not in schema:
        return False
    parts: list[Any] = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    parts += [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return all(isinstance(part, dict) and can_be_enforced(cast("dict[str, Any]", part)) for part in parts)


def is_recursive(schema: Mapping[str, Any]) -> bool:
    """Tell whether a definition refers to itself, by itself or by others."""
    named = cast("dict[str, Any]", schema.get("$defs", {}))
    to = {name: set(_referred_to(part)) for name, part in named.items()}
    for _ in named:
        to = {name: seen.union(*(to.get(one, set[str]()) for one in seen)) for name, seen in to.items()}
    return any(name in seen for name, seen in to.items()) or "#" in _referred_to(schema)


def _referred_to(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for part in cast("list[Any]", schema):
            yield from _referred_to(part)
    elif isinstance(schema, dict):
        for key, part in cast("dict[str, Any]", schema).items():
            if key == "$ref":
                yield str(part).rpartition("/")[2]
            else:
                yield from _referred_to(part)


def schema_name(schema: Any) -> str:
    """Return what providers call the schema: its title, in their letters."""
    title = str(cast("dict[str, Any]", schema).get("title") or "output")
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in title)[
        :64
    ]
