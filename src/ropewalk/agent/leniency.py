"""What models often get slightly wrong in arguments: mended where the types leave no doubt about what they meant."""

import ast
from collections.abc import Collection, Mapping
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import from_json

_WANTS_STRUCTURE = frozenset(
    {
        "list_type",
        "tuple_type",
        "set_type",
        "frozen_set_type",
        "dict_type",
        "mapping_type",
        "model_type",
        "model_attributes_type",
        "dataclass_type",
        "iterable_type",
    }
)
"""Errors of a place that takes a list or an object and got something else."""


def mended(arguments: Mapping[str, Any], error: ValidationError, optional: Collection[str]) -> dict[str, Any] | None:
    """Return better arguments, or None where there is nothing to mend.

    Two habits are mended: a list or object that was written as text, and null for what may be left out. (Numbers and
    booleans as text are the types' own leniency.) Nothing else is guessed: the model is told what is wrong instead.
    """
    better: Any = None
    for problem in error.errors(include_url=False, include_context=False):
        path, given = problem["loc"], problem["input"]
        if given is None and len(path) == 1 and path[0] in optional:
            better = {key: value for key, value in (better or arguments).items() if key != path[0]}
        elif isinstance(given, str) and problem["type"] in _WANTS_STRUCTURE:
            structure = _structure(given)
            if structure is not None:
                better = _replaced(better or dict(arguments), path, given, structure)
    return cast("dict[str, Any] | None", better)


def _structure(text: str) -> Any:
    """Return the list or object that a text spells in JSON or in Python."""
    for read in (from_json, ast.literal_eval):
        try:
            value = read(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if isinstance(value, list | dict | tuple):
            return list(cast("Any", value)) if isinstance(value, tuple) else cast("Any", value)
    return None


def _replaced(whole: Any, path: tuple[int | str, ...], old: str, new: Any) -> Any:
    """Return ``whole`` with ``new`` where ``old`` stands; parts of a path that name no place are passed over."""
    if whole == old and isinstance(whole, str):
        return new
    for depth, step in enumerate(path):
        rest = path[depth + 1 :]
        if isinstance(whole, dict) and step in whole:
            parts = cast("dict[Any, Any]", whole)
            return {**parts, step: _replaced(parts[step], rest, old, new)}
        if isinstance(whole, list) and isinstance(step, int) and step < len(cast("list[Any]", whole)):
            items = list(cast("list[Any]", whole))
            items[step] = _replaced(items[step], rest, old, new)
            return items
    return cast("Any", whole)
