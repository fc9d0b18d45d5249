"""The state's shape: which fields there are, how each merges, is checked, is stored, and is shown to a node.

It is one file because a field is checked, folded, stored and shown by the same few facts about its type.
"""

import datetime
import enum
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ropewalk.codec import MAX_STEP_BYTES, MAX_VALUE_BYTES, RawJson, dump_json, stored_form, to_plain
from ropewalk.core.buffers import (
    Buffer,
    HistoryBuffer,
    IncrementalBuffer,
    Items,
    LastValueBuffer,
    Op,
    ReducedBuffer,
    alike,
    thaw,
)
from ropewalk.core.view import View, view_class
from ropewalk.errors import NotStorable, StepProblem, TooLarge, UnknownField, WrongType


class GraphState(BaseModel):
    """What a graph's nodes share. Fields are annotated ``History[T]``, ``Incremental[T]``, ``Reduced[T, fn]`` or
    ``LastValue[T]``; a plain annotation is a ``LastValue``.
    """

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=False, defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Let a history without a default begin empty."""
        super().__pydantic_init_subclass__(**kwargs)
        bare = [info for info in cls.model_fields.values() if info.is_required() and _is_history(info)]
        for info in bare:
            info.default_factory = _empty_history
        if bare:
            cls.model_rebuild(force=True)


del GraphState.model_config["defer_build"]  # its own build alone can wait: `import ropewalk` is not to take that long


class Write(NamedTuple):
    """One change of one field."""

    field: str
    op: Op
    value: Any
    raw: RawJson | None
    """The value as JSON; None where the value is its own JSON."""


class Values(NamedTuple):
    """The state at one version. ``plain`` holds values that cannot be changed in place, ``rich`` all others."""

    plain: dict[str, Any]
    rich: dict[str, Any]


class Field:
    """One field of the state."""

    def __init__(self, name: str, info: FieldInfo) -> None:
        annotation: Any = info.annotation
        if info.default is None:
            annotation = Optional[annotation]  # noqa: UP045  a value, not an annotation: unions of forward references fail
        self.name = name
        self.buffer: Buffer = next((meta for meta in info.metadata if isinstance(meta, Buffer)), LastValueBuffer())
        constraints = [meta for meta in info.metadata if not isinstance(meta, Buffer)]
        self.type_name = _type_name(annotation)
        self.exact: type | None = annotation if annotation in _EXACT and not constraints else None
        self.plain = not isinstance(self.buffer, HistoryBuffer) and _is_plain(annotation)
        self.json_ready = self.plain and self.exact is not None
        self.whole = _adapter(_constrained(annotation, constraints))
        self.one = self.whole
        self.fold: Callable[[Any, Op, Any], Any] = self.buffer.fold
        self.may_refuse = isinstance(self.buffer, ReducedBuffer) or (
            isinstance(self.buffer, IncrementalBuffer) and self.exact is None
        )
        """Merging calls code that may raise: a user's function, or the + of a type that is no plain one."""
        self.returned: Op = "set" if isinstance(self.buffer, LastValueBuffer) else "add"
        if isinstance(self.buffer, HistoryBuffer):
            item: Any = next(iter(get_args(annotation)), Any)
            self.exact = item if item in _EXACT else None
            self.one = _adapter(item)
            self.type_name = f"one item of type {_type_name(item)} (a History takes items one by one)"

    def write(self, op: Op, value: Any, where: str) -> Write:
        """Check ``value`` and return the write. Raises `WrongType`, `NotStorable`, `TooLarge`."""
        if op != "extend":
            if type(value) is self.exact and (op == "add" or self.json_ready) and not _is_odd(value):
                return Write(self.name, op, value, None)
            checked = self._checked(self.one if op == "add" else self.whole, value, where)
            return self._stored(op, checked, where)
        return self._stored(op, [self._checked(self.one, item, where) for item in value], where)

    def load(self, op: Op, value: Any) -> Write:
        """Return the write that was stored as plain JSON data ``value``. Raises ValueError when it does not fit the
        type.
        """
        adapter = self.one if op == "add" else self.whole
        if self.exact is not None and type(value) is self.exact and op != "extend":
            return Write(self.name, op, value, None)
        raw = RawJson(dump_json(value))
        return Write(self.name, op, adapter.validate_json(raw), raw)

    def to_json(self, op: Op, value: Any) -> RawJson:
        adapter = self.one if op == "add" else self.whole
        return RawJson(adapter.dump_json(value, warnings="none"))

    def _checked(self, adapter: TypeAdapter[Any], value: Any, where: str) -> Any:
        try:
            return adapter.validate_python(value, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join(str(part) for part in first["loc"])
            why = f"{path}: {first['msg']}" if path else first["msg"]
            raise WrongType(self.name, self.type_name, value, why, where) from None

    def _stored(self, op: Op, value: Any, where: str) -> Write:
        adapter = self.one if op == "add" else self.whole
        raw, back = stored_form(adapter, value, f"What {where[:1].lower()}{where[1:]} writes to {self.name!r}")
        return Write(self.name, op, back, raw)


class Shape:
    """The compiled form of a state class; ``Shape(None)`` is that of a graph without state."""

    def __init__(self, state_class: type[BaseModel] | None) -> None:
        self.state_class = state_class
        infos = state_class.model_fields if state_class else {}
        self.fields = {name: Field(name, info) for name, info in infos.items()}
        self._tried = {name for name, field in self.fields.items() if field.may_refuse}
        self.has_reducers = bool(self._tried)
        self.view_class = view_class(state_class) if state_class else None

    # -- into the log -------------------------------------------------------------------------------------------------

    def initial(self, state: BaseModel) -> list[Write]:
        """Return the writes that make an empty state equal to ``state``."""
        where = f"The initial {type(state).__name__}"
        held = {**state.__dict__}
        return [field.write("set", held[name], where) for name, field in self.fields.items() if name in held]

    def returned(self, updates: Mapping[str, Any], where: str) -> list[Write]:
        """Return the writes of a node's result: each value goes through its field's buffer."""
        fields = self.fields
        writes: list[Write] = []
        for name, value in updates.items():
            field = fields.get(name)
            if field is None:
                raise UnknownField(name, fields, where)
            writes.append(field.write(field.returned, value, where))
        return writes

    def replaced(self, updates: Mapping[str, Any], where: str) -> list[Write]:
        """Return the writes that set fields as they are, past their buffers."""
        for name in updates:
            if name not in self.fields:
                raise UnknownField(name, self.fields, where)
        return [self.fields[name].write("set", value, where) for name, value in updates.items()]

    def told(self, updates: Mapping[str, Any], where: str) -> list[Write]:
        """Return the writes that set fields to what stands as plain JSON data in ``updates``.

        Raises `UnknownField`, and ValueError when a value does not fit.
        """
        for name in updates:
            if name not in self.fields:
                raise UnknownField(name, self.fields, where)
        return [self.fields[name].load("set", value) for name, value in updates.items()]

    def is_touched(self, view: View) -> bool:
        """Tell whether anything of a view was set, or so much as looked at where it could be changed in place."""
        held, plain = view.__dict__, view.rw_values.plain
        return len(held) != len(plain) or not all(map(operator.is_, held.values(), plain.values()))

    def changes(self, view: View, where: str) -> list[Write]:
        """Return the writes that a node made by changing its view in place, in the order of declaration."""
        held, (plain, rich) = view.__dict__, view.rw_values
        writes: list[Write] = []
        for name, field in self.fields.items():
            if name not in held:
                continue
            new = held[name]
            if name in plain:
                old = plain[name]
                if new is old or alike(new, old):
                    continue
            else:
                old = rich[name]
                if alike(new, old.to_list() if isinstance(old, Items) else old):
                    continue
            writes.append(_difference(field, old, new, where))
        return writes

    def load(self, stored: Iterable[list[Any]]) -> list[Write]:
        """Return the writes of an entry. Raises KeyError with a field's name, ValueError when a value does not fit."""
        return [self.fields[name].load(op, value) for name, op, value in stored]

    def check_merge(self, values: Values, writes: Iterable[Write], where: str) -> None:
        """Try the writes whose buffers call a user's function. Raises `WrongType`, and what that function raises."""
        reduced = [write for write in writes if write.field in self._tried]
        if reduced:
            merged = self.fold(values, reduced)
            for name in {write.field for write in reduced}:
                self.fields[name].write("set", _held(merged, name), f"The reducer, for {where},")

    def defaults_beyond(self, stored: Iterable[str]) -> list[Write]:
        """Return the writes of fields that the class has gained, with a default, since a run began."""
        if self.state_class is None or set(self.fields) <= set(stored):
            return []
        infos = self.state_class.model_fields
        gained = [name for name, info in infos.items() if name not in set(stored) and not info.is_required()]
        return [
            self.fields[name].write("set", infos[name].get_default(call_default_factory=True), "A default")
            for name in gained
        ]

    def check_size(self, writes: Sequence[Write], where: str) -> None:
        """Raise `TooLarge` for writes that no entry could hold, with the name of the largest."""
        total = 0
        for _, _, value, raw in writes:
            total += _length(value) if raw is None else len(raw)
        if total > MAX_STEP_BYTES:
            largest = max(writes, key=lambda write: _length(write.value) if write.raw is None else len(write.raw)).field
            raise TooLarge(f"What {where} writes, most of it to {largest!r},", total, MAX_STEP_BYTES)

    # -- the fold -----------------------------------------------------------------------------------------------------

    def fold(self, values: Values, writes: Iterable[Write]) -> Values:
        """Return ``values`` with ``writes`` applied in order; ``values`` stays as it is."""
        plain, rich = values
        new_plain: dict[str, Any] | None = None
        new_rich: dict[str, Any] | None = None
        for name, op, value, _ in writes:
            field = self.fields[name]
            if field.plain:
                if new_plain is None:
                    new_plain = plain.copy()
                new_plain[name] = field.fold(new_plain.get(name), op, value)
            else:
                if new_rich is None:
                    new_rich = rich.copy()
                new_rich[name] = field.fold(new_rich.get(name), op, value)
        return Values(plain if new_plain is None else new_plain, rich if new_rich is None else new_rich)

    def squash(self, writes: Iterable[Write]) -> list[Write]:
        """Return fewer writes with the same effect on any values."""
        kept: dict[str, list[Write]] = {}
        for write in writes:
            mine = kept.setdefault(write.field, [])
            joined = _joined(self.fields[write.field].buffer, mine[-1], write) if mine else None
            if joined is None:
                mine.append(write)
            else:
                mine[-1] = joined
        return [write for mine in kept.values() for write in mine]

    # -- what people see ----------------------------------------------------------------------------------------------

    def view(self, values: Values) -> View:
        """Return the state as a node sees it: its own copy, made of a field when the field is first read."""
        assert self.view_class is not None
        return self.view_class(values)

    def snapshot(self, values: Values) -> dict[str, Any]:
        """Return a copy of all values by field name."""
        return {name: thaw(_held(values, name)) for name in self.fields if _has(values, name)}

    def to_state(self, values: Values) -> Any:
        """Return the state as an instance of its class."""
        if self.state_class is None:
            return None
        return self.state_class.model_construct(**self.snapshot(values))

    def values(self, state: BaseModel) -> Values:
        """Return the values that a state object holds. Raises `WrongType`, `NotStorable`."""
        return self.fold(EMPTY, self.initial(state))

    def mirror(self, values: Values, state: BaseModel) -> None:
        """Make the user's own object show ``values``."""
        cast("dict[str, Any]", state.__dict__).update(self.snapshot(values))

    def to_json(self, values: Values) -> dict[str, Any]:
        """Return the state as plain JSON data."""
        return {name: to_plain(self._raw(field, values)) for name, field in self.fields.items() if _has(values, name)}

    def set_all(self, values: Values) -> list[Write]:
        """Return the writes that make an empty state equal to ``values``."""
        return [
            Write(name, "set", thaw(_held(values, name)), self._raw(field, values))
            for name, field in self.fields.items()
            if _has(values, name)
        ]

    def raw_writes(self, writes: Iterable[Write]) -> list[list[Any]]:
        """Return writes as `load` takes them, whether or not their JSON was kept."""
        return [[name, op, raw or self.fields[name].to_json(op, value)] for name, op, value, raw in writes]

    def _raw(self, field: Field, values: Values) -> RawJson:
        value = _held(values, field.name)
        return RawJson(field.whole.dump_json(value.to_list() if isinstance(value, Items) else value, warnings="none"))

    def missing(self) -> list[str]:
        """Return the names of fields that have no value unless somebody gives one."""
        infos = self.state_class.model_fields if self.state_class else {}
        return [name for name, info in infos.items() if info.is_required()]


EMPTY = Values({}, {})

_EXACT = frozenset({str, int, float, bool})
_SCALARS = (str, int, float, bool, bytes, type(None), enum.Enum, datetime.date, datetime.time, datetime.timedelta)


def _difference(field: Field, old: Any, new: Any, where: str) -> Write:
    place = f"{where} (in place)"
    if isinstance(field.buffer, HistoryBuffer) and not isinstance(new, list):
        return field.write("set", new, place)
    if isinstance(field.buffer, IncrementalBuffer):
        field.write("set", new, place)  # the whole must fit its type, else a difference would hide what is wrong
    if isinstance(field.buffer, LastValueBuffer):
        return field.write("set", new, place)
    op, value = field.buffer.difference(old, cast("Any", new))
    try:
        return field.write(op, value, place)
    except NotStorable:
        raise
    except StepProblem:
        if op == "add":  # a difference of another type than the value: timedeltas between dates, say
            return field.write("set", new, place)
        raise


def _joined(buffer: Buffer, one: Write, other: Write) -> Write | None:
    """Return one write that does what the two do one after the other, or None where there is none."""
    if other.op == "set":
        return other
    if isinstance(buffer, HistoryBuffer):
        items = [
            *(one.value if one.op != "add" else (one.value,)),
            *(other.value if other.op == "extend" else (other.value,)),
        ]
        return Write(one.field, "set" if one.op == "set" else "extend", items, None)
    if one.op == "set" or isinstance(buffer, IncrementalBuffer):
        return Write(one.field, one.op, buffer.fold(one.value, other.op, other.value), None)
    return None


def _is_odd(value: Any) -> bool:
    """Tell whether a scalar might not be its own JSON: it is huge, not UTF-8, or not a number to JSON."""
    if isinstance(value, str):
        return len(value) * 4 > MAX_VALUE_BYTES or not value.isascii()
    if isinstance(value, int):
        return value.bit_length() > 1_000
    return isinstance(value, float) and not math.isfinite(value)


def _empty_history() -> list[Any]:
    return []


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=ConfigDict(ser_json_inf_nan="strings"))
    except PydanticUserError:  # a model has a configuration of its own
        return TypeAdapter(annotation)


def _length(value: Any) -> int:
    return len(value) * 4 if isinstance(value, str) else 0


def _is_history(info: FieldInfo) -> bool:
    return any(isinstance(meta, HistoryBuffer) for meta in info.metadata)


def _has(values: Values, name: str) -> bool:
    return name in values.plain or name in values.rich


def _held(values: Values, name: str) -> Any:
    return values.plain[name] if name in values.plain else values.rich[name]


def _constrained(annotation: Any, constraints: list[Any]) -> Any:
    for constraint in constraints:
        annotation = Annotated[annotation, constraint]
    return annotation


def _is_plain(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Literal:
        return True
    if origin is Union or type(annotation).__name__ == "UnionType":
        return all(_is_plain(part) for part in get_args(annotation))
    return isinstance(annotation, type) and issubclass(annotation, _SCALARS)


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def default_state(state_class: type[BaseModel]) -> BaseModel | None:
    """Return the state class's own default instance, or None when a field has no default."""
    infos = cast("Mapping[str, FieldInfo]", state_class.model_fields)
    if any(
        info.is_required() or (info.default is PydanticUndefined and info.default_factory is None)
        for info in infos.values()
    ):
        return None
    return state_class()
