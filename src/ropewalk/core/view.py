"""The state as one step sees it: a copy made field by field when first read, so that what a step does not touch costs
nothing.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from ropewalk.core.buffers import thaw
from ropewalk.errors import UnknownField

if TYPE_CHECKING:
    from ropewalk.core.state import Values

_OWN = ("rw_values",)
_PYDANTIC: dict[str, Callable[[tuple[str, ...], Mapping[str, Any]], Any]] = {
    "__pydantic_fields_set__": lambda fields, _private: set(fields),
    "__pydantic_extra__": lambda _fields, _private: None,
    "__pydantic_private__": lambda _fields, private: {key: attr.get_default() for key, attr in private.items()} or None,
}
# Pydantic methods that look at the instance dictionary behind attribute access: they must find every field there.
_WHOLE = (
    "model_dump",
    "model_dump_json",
    "model_copy",
    "dict",
    "json",
    "copy",
    "__iter__",
    "__repr_args__",
    "__copy__",
    "__deepcopy__",
    "__getstate__",
)


class View(Protocol):
    """An instance of a generated subclass of the user's state class."""

    rw_values: "Values"

    def __call__(self, values: "Values") -> "View": ...


def view_class(state_class: type[BaseModel]) -> Any:
    """Return a function from values to a view of them.

    A view is an instance of ``state_class`` (of a subclass made here) whose dictionary holds the unchangeable values
    from the start and each changeable one, copied, from its first read on. Comparing the two tells what a step changed.
    """
    fields = tuple(state_class.model_fields)
    known = frozenset(fields)
    private: Mapping[str, Any] = state_class.__private_attributes__
    put = object.__setattr__

    def __getattr__(self: Any, name: str) -> Any:
        if name in _PYDANTIC:  # slots that only pydantic's own methods ask for, filled when they do
            value = _PYDANTIC[name](fields, private)
            put(self, name, value)
            return value
        rich = object.__getattribute__(self, "rw_values").rich
        if name in rich:
            value = self.__dict__[name] = thaw(rich[name])
            return value
        return base_getattr(self, name)

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if name in known:
            self.__dict__[name] = value
        elif name.startswith("_") or isinstance(getattr(state_class, name, None), property):
            base_setattr(self, name, value)
        else:
            raise UnknownField(name, fields, "A node")

    def __eq__(self: Any, other: object) -> bool:
        if not isinstance(other, state_class):
            return NotImplemented
        return all(getattr(self, name, None) == getattr(other, name, None) for name in fields)

    base_getattr: Any = getattr(state_class, "__getattr__", None) or _no_attribute
    base_setattr: Any = state_class.__setattr__
    namespace: dict[str, Any] = {
        "__slots__": _OWN,
        "__module__": state_class.__module__,
        "__qualname__": state_class.__qualname__,
        "__doc__": state_class.__doc__,
        "__getattr__": __getattr__,
        "__setattr__": __setattr__,
        "__eq__": __eq__,
        "__hash__": None,
        **{name: _filling(getattr(state_class, name), fields) for name in _WHOLE if hasattr(state_class, name)},
    }
    metaclass: Any = type(state_class)
    generated: Any = metaclass(state_class.__name__, (state_class,), namespace)
    new: Any = generated.__new__

    def make(values: "Values") -> Any:
        view = new(generated)
        put(view, "__dict__", values.plain.copy())
        put(view, "rw_values", values)
        return view

    return make


def _filling(method: Any, fields: tuple[str, ...]) -> Any:
    def whole(self: Any, *args: Any, **kwargs: Any) -> Any:
        held = self.__dict__
        ordered = {name: getattr(self, name) for name in fields if name in held or name in self.rw_values.rich}
        held.clear()
        held.update(ordered)
        return method(self, *args, **kwargs)

    whole.__name__ = method.__name__
    whole.__doc__ = method.__doc__
    return whole


def _no_attribute(self: Any, name: str) -> Any:
    raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
