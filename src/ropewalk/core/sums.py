"""Finds fields that are to be summed and whose type has no sum."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ropewalk.core.buffers import IncrementalBuffer
from ropewalk.errors import Problem


def sum_problems(state_class: type[BaseModel] | None) -> Iterator[Problem]:
    """Yield a problem for each ``Incremental`` field that cannot be added to."""
    for name, info in (state_class.model_fields if state_class else {}).items():
        if any(isinstance(meta, IncrementalBuffer) for meta in info.metadata) and not _is_addable(info.annotation):
            kind = getattr(info.annotation, "__name__", str(info.annotation))
            instead = f"{name}: Reduced[{kind}, merge]"
            yield Problem(
                message=f"Field {name!r} is an Incremental of {kind}, which has no +.",
                hint=f"Say how two are merged: {instead}; or let the last write win: LastValue[{kind}].",
            )


def _is_addable(annotation: Any) -> bool:
    """Tell whether values of the type may be added; where nobody can tell, they may."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_addable(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return any(_is_addable(part) for part in get_args(annotation))
    if origin is Literal:
        return any(hasattr(value, "__add__") for value in get_args(annotation))
    kind = origin or annotation
    return annotation is Any or not isinstance(kind, type) or kind is object or hasattr(kind, "__add__")
