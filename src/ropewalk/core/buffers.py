"""How writes to one state field merge: the four buffers, and the annotations that choose them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

T = TypeVar("T")

Op = Literal["set", "add", "extend"]
"""set: the value replaces; add: the buffer takes one value in; extend: a history takes several."""


class Items:
    """A list that many versions of the state share: each sees its own length of it, appending copies nothing."""

    __slots__ = ("_length", "_shared")

    def __init__(self, items: Sequence[Any] = (), *, shared: list[Any] | None = None, length: int = 0) -> None:
        self._shared = list(items) if shared is None else shared
        self._length = len(self._shared) if shared is None else length

    def __len__(self) -> int:
        return self._length

    def plus(self, items: Sequence[Any]) -> "Items":
        """Return the list with ``items`` behind it; this one stays as it is."""
        shared = self._shared
        if len(shared) != self._length:  # a sibling has appended to the shared list before us
            shared = shared[: self._length]
        shared.extend(items)
        return Items(shared=shared, length=self._length + len(items))

    def to_list(self) -> list[Any]:
        return self._shared[: self._length]

    def begins(self, other: list[Any]) -> bool:
        """Tell whether ``other`` starts with these items."""
        return len(other) >= self._length and alike(other[: self._length], self.to_list())


@dataclass(frozen=True, slots=True)
class LastValueBuffer:
    """The last write wins."""

    def fold(self, old: Any, op: Op, value: Any) -> Any:
        return value

    def difference(self, old: Any, new: Any) -> tuple[Op, Any]:
        return "set", new


@dataclass(frozen=True, slots=True)
class HistoryBuffer:
    """Each write is one more item; the held value is an `Items`."""

    def fold(self, old: Items, op: Op, value: Any) -> Items:
        if op == "set":
            return Items(value)
        return old.plus(value if op == "extend" else (value,))

    def difference(self, old: Items, new: list[Any]) -> tuple[Op, Any]:
        if old.begins(new):
            return "extend", new[len(old) :]
        return "set", new


@dataclass(frozen=True, slots=True)
class IncrementalBuffer:
    """Each write is added to the value."""

    def fold(self, old: Any, op: Op, value: Any) -> Any:
        return value if op == "set" else old + value

    def difference(self, old: Any, new: Any) -> tuple[Op, Any]:
        try:
            return "add", new - old
        except TypeError:
            if isinstance(old, str | list | tuple) and new[: len(cast("list[Any]", old))] == old:
                return "add", new[len(cast("list[Any]", old)) :]
            return "set", new


@dataclass(frozen=True, slots=True)
class ReducedBuffer:
    """Each write is merged by ``fn(old, new)``, which must depend on its arguments alone: recovery calls it again."""

    fn: Callable[[Any, Any], Any]

    def fold(self, old: Any, op: Op, value: Any) -> Any:
        return value if op == "set" else self.fn(thaw(old), value)

    def difference(self, old: Any, new: Any) -> tuple[Op, Any]:
        """Return what ``fn`` makes ``new`` of: then a sibling's change is merged with this one; else all of ``new``."""
        update = _news(old, new)
        try:
            if alike(self.fn(thaw(old), thaw(update)), new):
                return "add", update
        except Exception:  # noqa: BLE001  the user's function was never meant to see it
            pass
        return "set", new


Buffer = LastValueBuffer | HistoryBuffer | IncrementalBuffer | ReducedBuffer

History = Annotated[list[T], HistoryBuffer()]
"""A list; what a node returns for it is appended as one item. It begins empty; to type checkers, with ``= []`` only."""
LastValue = Annotated[T, LastValueBuffer()]
"""A value; what a node returns replaces it. Fields without a buffer behave so too."""
Incremental = Annotated[T, IncrementalBuffer()]
"""A sum; what a node returns is added with ``+``."""

if TYPE_CHECKING:
    from typing import Annotated as Reduced  # pyright: ignore[reportUnusedImport]  to a checker Reduced[T, fn] is a T
else:

    class Reduced:
        """``Reduced[T, fn]``: a value; what a node returns is merged by ``fn(old, new)``."""

        def __class_getitem__(cls, params: tuple[Any, Callable[[Any, Any], Any]]) -> Any:
            if not isinstance(params, tuple) or len(params) != 2 or not callable(params[1]):
                raise TypeError("Reduced takes a type and a function: Reduced[dict[str, int], merge].")
            return Annotated[params[0], ReducedBuffer(params[1])]


def merge_by_id(old: list[Any], new: list[Any]) -> list[Any]:
    """Merge messages by id: for ``Reduced[list[Message], merge_by_id]``.

    A new item replaces the old one with the same ``id`` (attribute or key) in its place; others go to the end. Items
    without an id are always new.
    """
    merged = list(old)
    places = {key: index for index, item in enumerate(merged) if (key := _id_of(item)) is not None}
    for item in new:
        key = _id_of(item)
        if key is not None and key in places:
            merged[places[key]] = item
            continue
        if key is not None:
            places[key] = len(merged)
        merged.append(item)
    return merged


def _news(old: Any, new: Any) -> Any:
    """Return the items of ``new`` that are not in the same place of ``old``; ``new`` itself where it has none."""
    if isinstance(old, list) and isinstance(new, list):
        before, after = cast("list[Any]", old), cast("list[Any]", new)
        known = len(before)
        return [item for place, item in enumerate(after) if place >= known or not alike(before[place], item)]
    if isinstance(old, dict) and isinstance(new, dict):
        held, told = cast("dict[Any, Any]", old), cast("dict[Any, Any]", new)
        return {key: item for key, item in told.items() if key not in held or not alike(held[key], item)}
    return new


def _id_of(item: Any) -> Any:
    return item.get("id") if isinstance(item, dict) else getattr(item, "id", None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] an item is anything


_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


def thaw(value: Any) -> Any:
    """Return a copy that shares nothing that could be changed in place; plain data is copied fast."""
    kind = cast("type[Any]", type(value))
    if kind in _ATOMS:
        return value
    if kind is Items:
        return [item if type(item) in _ATOMS else thaw(item) for item in value.to_list()]
    if kind is list:
        return [item if type(item) in _ATOMS else thaw(item) for item in value]
    if kind is dict:
        return {key: item if type(item) in _ATOMS else thaw(item) for key, item in value.items()}
    return copy.deepcopy(value)


def alike(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of equal types all the way down: 1, 1.0 and True are not alike."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        items, others = cast("list[Any]", one), cast("list[Any]", other)
        return len(items) == len(others) and all(map(alike, items, others))
    if isinstance(one, dict):
        held, told = cast("dict[Any, Any]", one), cast("dict[Any, Any]", other)
        return held.keys() == told.keys() and all(alike(value, told[key]) for key, value in held.items())
    if hasattr(one, "__pydantic_fields__"):
        return alike(_fields(one), _fields(other))
    return bool(one == other)


def _fields(model: Any) -> dict[str, Any]:
    """Return what a pydantic model or dataclass holds: with slots or without, what it did not declare included."""
    names: dict[str, Any] = model.__pydantic_fields__
    held = {name: getattr(model, name, None) for name in names}
    extra: dict[str, Any] | None = getattr(model, "__pydantic_extra__", None)
    return held | (extra or {})
