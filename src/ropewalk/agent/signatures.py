"""What a tool's function takes: what the model fills, as JSON schema and as a check, and what is filled for it."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, Protocol, cast, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from ropewalk.agent.docstrings import parameters_in
from ropewalk.agent.leniency import mended
from ropewalk.core.context import Context
from ropewalk.errors import ToolInvalid, did_you_mean

_TAKEN = ("state", "ctx")
"""Parameters that the loop fills, whatever their type."""


class Takes(Protocol):
    """How a tool is called."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """JSON schema of the arguments that a model gives."""
        ...

    @property
    def injected(self) -> Mapping[str, str]:
        """Parameter -> state or ctx."""
        ...

    @property
    def hidden(self) -> frozenset[str]:
        """Parameters that the application fills."""
        ...

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the function is called with. Raises ValueError with the reason, in words for the model."""
        ...


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A function's signature, read once."""

    schema: Mapping[str, Any]
    check: TypeAdapter[Any]
    injected: Mapping[str, str] = field(default_factory=dict[str, str])
    hidden: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    """Hidden parameters without a default."""
    optional: frozenset[str] = frozenset()
    """Parameters with a default, which the model may leave out."""

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        given = dict(arguments)
        while True:
            try:
                return cast("dict[str, Any]", self.check.validate_python(given))
            except ValidationError as error:
                better = mended(given, error, self.optional)
                if better is None:
                    raise ValueError(_told(error, self.schema["properties"])) from None
                given = better


@dataclass(frozen=True, kw_only=True)
class GivenSchema:
    """A tool whose schema somebody else wrote, and checks."""

    schema: Mapping[str, Any]
    injected: Mapping[str, str] = field(default_factory=dict[str, str])
    hidden: frozenset[str] = frozenset()

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return dict(arguments)


def signature_of(fn: Callable[..., Any], name: str, hidden: Iterable[str] = ()) -> Signature:
    """Read a function's signature. Raises `ToolInvalid`."""
    hints, docs, concealed = _hints(fn, name), parameters_in(fn), frozenset(hidden)
    fields: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    injected: dict[str, str] = {}
    needed: set[str] = set()
    parameters = list(inspect.signature(fn).parameters.values())
    for parameter in parameters:
        called, hint = parameter.name, hints.get(parameter.name, Any)
        _check_kind(name, parameter)
        if called in _TAKEN or _is_context(hint):
            injected[called] = "ctx" if called == "ctx" or _is_context(hint) else "state"
        elif called in concealed:
            needed |= {called} if parameter.default is parameter.empty else set()
        else:
            described = _described(hint, docs.get(called))
            fields[called] = described if parameter.default is parameter.empty else NotRequired[described]
            if parameter.default is not parameter.empty:
                defaults[called] = parameter.default
    unknown = concealed - {parameter.name for parameter in parameters}
    if unknown:
        known = did_you_mean(min(unknown), [parameter.name for parameter in parameters])
        raise ToolInvalid(name, f"hidden_params names {min(unknown)!r}, which it does not take", known.strip())
    check, told = _checked(name, fields)
    return Signature(
        schema=_schema(told, defaults),
        check=check,
        injected=injected,
        hidden=concealed,
        needed=frozenset(needed),
        optional=frozenset(defaults),
    )


def _check_kind(name: str, parameter: inspect.Parameter) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise ToolInvalid(name, f"a model cannot fill {stars}{parameter.name}", "Name each parameter.")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ToolInvalid(name, f"{parameter.name!r} has no name to be called by", "Drop the / from its signature.")


def _checked(name: str, fields: dict[str, Any]) -> tuple[TypeAdapter[Any], dict[str, Any]]:
    arguments: Any = TypedDict("arguments", fields)  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues] made of a signature
    arguments.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    try:
        check: TypeAdapter[Any] = TypeAdapter(arguments)
        return check, check.json_schema()  # a Callable, say, can be checked and not be told
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        why = str(error).splitlines()[0]
        hint = "Use plain types, pydantic models, Literal, Optional, lists and dicts; or hide the parameter."
        raise ToolInvalid(name, f"a model cannot be told what it takes ({why})", hint) from None


def _schema(told: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = _untitled(told)
    schema.setdefault("properties", {})
    for called, default in defaults.items():
        try:
            plain = TypeAdapter(Any).dump_python(default, mode="json")
        except ValueError:  # a default that JSON cannot tell; the model may leave the parameter out all the same
            continue
        schema["properties"][called].setdefault("default", plain)
    return schema


def _untitled(schema: Any) -> Any:
    """Return a schema without the titles that pydantic makes of names: they cost tokens and say nothing. One of several
    becomes any of several: OpenAI refuses the other word.
    """
    if isinstance(schema, list):
        return [_untitled(part) for part in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    parts = cast("dict[str, Any]", schema)
    kept: dict[str, Any] = {}
    for key, part in parts.items():
        if key in ("properties", "$defs"):
            kept[key] = {name: _untitled(one) for name, one in cast("dict[str, Any]", part).items()}
        elif key in ("default", "const", "enum", "examples"):
            kept[key] = part
        elif key not in ("title", "discriminator") or not isinstance(part, str if key == "title" else dict):
            kept["anyOf" if key == "oneOf" else key] = _untitled(part)
    return kept


def _described(hint: Any, text: str | None) -> Any:
    """Return the type with its description: its own (``Annotated[int, "how many"]``), else the docstring's."""
    if get_origin(hint) is Annotated:
        bare, *marks = get_args(hint)
        words = next((mark for mark in marks if isinstance(mark, str)), None)
        for mark in marks:
            if not isinstance(mark, str):
                bare = Annotated[bare, mark]
        text = words or (None if any(getattr(mark, "description", None) for mark in marks) else text)
        hint = bare
    return Annotated[hint, Field(description=text)] if text else hint


def _told(error: ValidationError, known: Mapping[str, Any]) -> str:
    lines: list[str] = []
    for problem in error.errors(include_url=False, include_context=False):
        path = ".".join(map(str, problem["loc"]))
        match problem["type"]:
            case "extra_forbidden":
                lines.append(f"{path}: there is no such argument.{did_you_mean(path, known)}")
            case "missing":
                lines.append(f"{path}: is missing.")
            case _:
                lines.append(f"{path}: {problem['msg']}, not {_short(problem['input'])}.")
    return " ".join(lines)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _is_context(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Context)


def _hints(fn: Callable[..., Any], name: str) -> dict[str, Any]:
    target = fn if inspect.isroutine(fn) else getattr(fn, "func", None) or getattr(fn, "__call__", fn)  # noqa: B004
    try:
        return get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        skipped = {"return", *_TAKEN}
        raw = {key: hint for key, hint in getattr(target, "__annotations__", {}).items() if key not in skipped}
        unresolved = [key for key, hint in raw.items() if isinstance(hint, str)]
        if unresolved:
            hint = "Define its types where the module can see them, outside of functions."
            raise ToolInvalid(name, f"the type of {unresolved[0]!r} cannot be found ({error})", hint) from None
        return raw
