"""What a function's signature and source tell: how to call it, and where a router may lead."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter

from ropewalk.codec import ANY
from ropewalk.core.context import Context, is_async
from ropewalk.core.plan import END, Call, Send
from ropewalk.errors import Problem

_FILLED = ("state", "ctx", "item", "index")


def call_of(
    name: str,
    fn: Callable[..., Any],
    state_class: type[BaseModel] | None,
    problems: list[Problem],
    *,
    is_handed_items: bool = True,
) -> Call:
    """Return how to call a node's function; add to ``problems`` each parameter that nobody fills."""
    hints = _hints(fn)
    params: list[tuple[str, str]] = []
    item: TypeAdapter[Any] = ANY
    for parameter in _parameters(fn):
        source = _source(parameter.name, hints.get(parameter.name), state_class)
        if source == "state" and state_class is None:
            problems.append(
                Problem(
                    message=f"Node {name!r} takes {parameter.name!r}, but the graph has no state.",
                    hint="Give the graph a state class: Graph(MyState); or drop the parameter.",
                )
            )
        elif source is not None and parameter.kind is not parameter.POSITIONAL_ONLY:
            params.append((parameter.name, source))
            if source == "item" and parameter.name in hints:
                item = TypeAdapter(hints[parameter.name])
            if source in ("item", "index") and not is_handed_items and parameter.default is parameter.empty:
                problems.append(_unhanded(name, parameter.name))
        elif parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            problems.append(
                Problem(
                    message=f"Node {name!r} takes {parameter.name!r}, which nobody fills.",
                    hint="A node can take state, ctx, item and index. Give other parameters a default, or bind them "
                    "with functools.partial.",
                )
            )
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        problems.append(
            Problem(
                message=f"Node {name!r} is a generator, which a node cannot be.",
                hint="Return a dict of writes; to stream, take ctx and call ctx.emit(Token(...)).",
            )
        )
    simple = is_async(fn) and [source for _, source in params] in ([], ["state"]) and _is_positional(fn, params)
    return Call(fn=fn, is_async=is_async(fn), params=tuple(params), is_simple=simple, item=item)


def _unhanded(name: str, parameter: str) -> Problem:
    return Problem(
        message=f"Node {name!r} takes {parameter!r}, which nobody fills: no map edge, repeat or Send leads to it.",
        hint=f"Draw what hands it items: add_map_edge(..., {name!r}, ..., over=...); or drop the parameter.",
    )


def _is_positional(fn: Callable[..., Any], params: list[tuple[str, str]]) -> bool:
    first = next(iter(_parameters(fn)), None)
    return not params or (
        first is not None and first.name == params[0][0] and first.kind is first.POSITIONAL_OR_KEYWORD
    )


def one_argument(fn: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return ``fn`` as a function of the state: a router or ``over=`` may also take nothing, or the state by name."""
    parameters = [one for one in _parameters(fn) if one.default is one.empty]
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if positional or any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return fn
    keyword = next((one.name for one in _parameters(fn) if one.name == "state"), None)
    if keyword is not None:
        return lambda state: fn(**{keyword: state})
    return lambda state: fn()


def edge_problems(what: str, fn: Callable[..., Any]) -> list[Problem]:
    """Return a problem for each parameter of ``fn``, which `one_argument` will call, that nobody fills."""
    needed = [
        one
        for one in _parameters(fn)
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    positional = [one for one in needed if one.kind is not one.KEYWORD_ONLY]
    filled = positional[:1] or [one for one in needed if one.name == "state"]
    return [
        Problem(
            message=f"{what} takes {one.name!r}, which nobody fills.",
            hint="A function on an edge gets the state and nothing else. Give other parameters a default, or bind them "
            "with functools.partial.",
        )
        for one in needed
        if one not in filled
    ]


def routes_in(fn: Callable[..., Any]) -> tuple[str, ...] | None:
    """Return the nodes that a router may choose: from its ``Literal`` return type, or from what its ``return``s say.

    None: it cannot be told from outside, so what it chooses is checked when it happens.
    """
    declared = _literals(_hints(fn).get("return"))
    if declared:
        return declared
    names = _names(fn)
    found: list[str] = []
    for returned in _returned(fn):
        if returned is None or not _collect(returned, names, found):
            return None
    return tuple(dict.fromkeys(found)) or None


def may_send(fn: Callable[..., Any]) -> bool:
    """Tell whether a router may choose by `Send`: it does not where its source shows that names are all it returns."""
    names = _names(fn)
    returned = _returned(fn)
    return not returned or any(
        value is None or not _collect(value, names, []) or any(isinstance(part, ast.Call) for part in ast.walk(value))
        for value in returned
    )


def _returned(fn: Callable[..., Any]) -> "list[ast.expr | None]":
    """Return what a function's ``return``s say; nothing where its source cannot be read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(_plain(fn))))
    except (OSError, TypeError, SyntaxError):
        return []
    definitions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    definition = next(definitions, None)
    return [] if definition is None else [*_returns(definition.body)]


def _collect(value: ast.expr, names: dict[str, Any], found: list[str]) -> bool:
    """Add the routes that an expression can have to ``found``; tell whether that is all it can be."""
    match value:
        case ast.Constant(value=str() as route):
            found.append(route)
            return True
        case ast.Name(id=name) if isinstance(names.get(name), str):
            found.append(names[name])
            return True
        case ast.Attribute(attr="END" | "START" as name):
            found.append(END if name == "END" else name)
            return True
        case ast.IfExp(body=body, orelse=orelse):
            return _collect(body, names, found) and _collect(orelse, names, found)
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return all(_collect(element, names, found) for element in elements)
        case ast.ListComp(elt=element):
            return _collect(element, names, found)
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if names.get(name) is Send:
            return _collect(first, names, found)
        case _:
            return False


def _returns(body: Iterable[ast.stmt]) -> Iterable[ast.expr | None]:
    for statement in body:
        if isinstance(statement, ast.Return):
            yield statement.value
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for part in ast.iter_child_nodes(statement):
                if isinstance(part, ast.stmt):
                    yield from _returns([part])
                elif isinstance(part, ast.ExceptHandler | ast.match_case):
                    yield from _returns(part.body)


def _names(fn: Callable[..., Any]) -> dict[str, Any]:
    plain = _plain(fn)
    names = dict(getattr(plain, "__globals__", {}))
    code, cells = getattr(plain, "__code__", None), getattr(plain, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # the name is assigned later than the router is defined
            continue
    return names


def _literals(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(value for value in get_args(annotation) if isinstance(value, str))
    parts = [_literals(part) for part in get_args(annotation)]
    known = [part for part in parts if part]
    return tuple(dict.fromkeys(name for part in known for name in part)) if len(known) == len(parts) else ()


def _source(name: str, hint: Any, state_class: type[BaseModel] | None) -> str | None:
    if hint is Context:
        return "ctx"
    if state_class is not None and hint is state_class:
        return "state"
    return name if name in _FILLED else None


def _parameters(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return []


def _hints(fn: Callable[..., Any]) -> dict[str, Any]:
    target = _plain(fn)
    try:
        return get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {
            key: value for key, value in getattr(target, "__annotations__", {}).items() if not isinstance(value, str)
        }


def _plain(fn: Callable[..., Any]) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    if not inspect.isroutine(fn):
        fn = getattr(fn, "__call__", fn)  # noqa: B004  the method of a callable object
    return inspect.unwrap(fn)
