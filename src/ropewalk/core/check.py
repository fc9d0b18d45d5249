"""Finds every mistake in a drawing before it runs: all of them at once, each with what to do."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ropewalk.core.drawn import Drawing, Drawn, EdgeDrawn, FanDrawn, NodeDrawn, RouterDrawn
from ropewalk.core.plan import END, START, Plan
from ropewalk.errors import Problem, did_you_mean

_RESERVED = frozenset("/#[]")


def drawing_problems(drawing: Drawing) -> list[Problem]:
    """Return what is wrong with names and edges, before there is a plan."""
    return [*_naming(drawing), *_fields(drawing), *_edges(drawing)]


def plan_problems(plan: Plan, drawing: Drawing, loose: frozenset[str]) -> list[Problem]:
    """Return what is wrong with the shape: what is never reached, leads nowhere or never ends.

    Of ``loose`` nodes an edge was left out because nobody can tell where it was meant to lead; they are not judged.
    """
    if not plan.places[0].targets:
        return [] if START in loose else list(_start(plan))
    return [*_reach(plan, drawing, loose), *_endless(plan)]


def as_meant(drawing: Drawing) -> tuple[Drawing, frozenset[str]]:
    """Return the drawing with mistyped names mended, so that what else is wrong can be found too.

    An edge whose name is near no node's is left out; the names it does have are returned beside it.
    """
    edges: list[Drawn] = []
    loose: set[str] = set()
    for edge in drawing.edges:
        mended = _mended(edge, drawing) if all(isinstance(name, str) for name, _ in _ends(edge)) else None
        if mended is not None and not any(name == START and role != "source" for name, role in _ends(mended)):
            edges.append(mended)
        else:
            loose |= {name for name, _ in _ends(edge) if isinstance(name, str)}
    return drawing.with_edges(edges), frozenset(loose)


def _mended(edge: Drawn, drawing: Drawing) -> Drawn | None:
    names = {name: _nearest(name, drawing) for name, _ in _ends(edge)}
    if any(near is None for near in names.values()) or _nearest(edge.start, drawing) == END:
        return None
    near = {name: found for name, found in names.items() if found is not None}
    match edge:
        case EdgeDrawn():
            return edge._replace(start=near[edge.start], end=near[edge.end])
        case RouterDrawn():
            routes = None if edge.routes is None else tuple(near[route] for route in edge.routes)
            router = near[edge.router] if isinstance(edge.router, str) else edge.router
            return edge._replace(start=near[edge.start], router=router, routes=routes)
        case FanDrawn():
            return edge._replace(start=near[edge.start], node=near[edge.node], end=near[edge.end])


def _nearest(name: str, drawing: Drawing) -> str | None:
    if name in drawing.nodes or name in (START, END):
        return name
    from difflib import get_close_matches  # noqa: PLC0415  slow to load, and few graphs have a name mistyped

    return next(iter(get_close_matches(name, drawing.nodes, n=1, cutoff=0.5)), None)


def _naming(drawing: Drawing) -> Iterator[Problem]:
    for name in drawing.doubled:
        yield Problem(
            message=f"Two nodes are called {name!r}.", hint="Give one of them another name: @graph.node(name='...')."
        )
    for name in drawing.nodes:
        if name in (START, END):
            yield Problem(message=f"{name!r} is the name of START or END.", hint="Give the node another name.")
        elif not name or _RESERVED & set(name):
            yield Problem(
                message=f"{name!r} cannot be a node's name: / # [ ] have a meaning in step ids.",
                hint="Leave them out.",
            )


def _fields(drawing: Drawing) -> Iterator[Problem]:
    for node in drawing.nodes.values():
        if node.interrupt not in (None, "before", "after"):
            yield Problem(
                message=f"Node {node.name!r} has interrupt={node.interrupt!r}.", hint="It is 'before', 'after' or None."
            )
        if node.timeout is not None and not (_is(node.timeout, int | float) and node.timeout > 0):
            yield Problem(message=f"Node {node.name!r} has timeout={node.timeout!r}.", hint="It is seconds, above 0.")
        if not _is(node.metadata, Mapping):
            yield Problem(
                message=f"Node {node.name!r} has metadata={node.metadata!r}.",
                hint="It is a dict, shown as ctx.metadata.",
            )
    for edge in drawing.edges:
        if isinstance(edge, FanDrawn):
            if edge.over is None and not (_is(edge.repeat, int) and edge.repeat >= 1):
                yield Problem(
                    message=f"Node {edge.node!r} repeats {edge.repeat!r} times.",
                    hint="repeat is a whole number, at least 1.",
                )
            if edge.labels and len(edge.labels) != edge.repeat:
                yield Problem(
                    message=f"{len(edge.labels)} repeat_names are given for {edge.repeat} repeats of {edge.node!r}.",
                    hint="Give one name a repeat, or none.",
                )


def _edges(drawing: Drawing) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for edge in drawing.edges:
        for name, role in _ends(edge):
            if not isinstance(name, str):
                yield Problem(
                    message=f"{_told(edge)} names {name!r}, which is no text.",
                    hint=f"Nodes go by their names.{did_you_mean('', drawing.nodes)}",
                )
            elif name == (END if role == "source" else START):
                where = "An edge leaves END" if role == "source" else "An edge leads to START"
                yield Problem(message=f"{where} ({_told(edge)}).", hint="START only begins edges, END only ends them.")
            elif name not in (START, END) and name not in drawing.nodes:
                yield Problem(
                    message=f"{_told(edge)} names {name!r}: no node has this name.",
                    hint=f"{name} is a constant, not a text: from ropewalk import {name}."
                    if name in ("START", "END")
                    else (did_you_mean(name, drawing.nodes) or " Add the node first.").strip(),
                )
        if isinstance(edge, EdgeDrawn):
            if (edge.start, edge.end) in seen:
                yield Problem(message=f"{_told(edge)} is drawn twice.", hint="Draw it once.")
            seen.add((edge.start, edge.end))


def _is(value: object, kinds: Any) -> bool:
    """Tell whether ``value`` is of one of ``kinds``; True and False are no numbers."""
    return isinstance(value, kinds) and not isinstance(value, bool)


def _ends(edge: Drawn) -> Iterable[tuple[Any, str]]:
    match edge:
        case EdgeDrawn():
            return (edge.start, "source"), (edge.end, "target")
        case RouterDrawn():
            node = [(edge.router, "target")] if isinstance(edge.router, str) else []
            return (edge.start, "source"), *node, *((route, "target") for route in edge.routes or ())
        case FanDrawn():
            return (edge.start, "source"), (edge.node, "body"), (edge.end, "target")


def _told(edge: Drawn) -> str:
    match edge:
        case EdgeDrawn():
            return f"The edge {_name(edge.start)} -> {_name(edge.end)}"
        case RouterDrawn():
            return f"The router edge from {_name(edge.start)}"
        case FanDrawn():
            kind = "map" if edge.over else "repeating"
            return f"The {kind} edge {_name(edge.start)} -> {_name(edge.node)} -> {_name(edge.end)}"


def _name(name: str) -> str:
    return {START: "START", END: "END"}.get(name, name)


def _start(plan: Plan) -> Iterator[Problem]:
    if not plan.places[0].targets:
        first = plan.places[1].node if len(plan.places) > 2 else "first"
        yield Problem(
            message="No edge leaves START, so nothing would run.",
            hint=f"Say where it begins: add_edge(START, {first!r}).",
        )


def _reach(plan: Plan, drawing: Drawing, loose: frozenset[str]) -> Iterator[Problem]:
    start, end = plan.after[0], len(plan.places) - 1
    for place in plan.places[1:-1]:
        if place.node in loose:
            continue
        if not start >> place.index & 1:
            yield Problem(
                message=f"Node {place.node!r} is never reached: no way from START leads to it.",
                hint=_lonely_hint(place.node, drawing.edges),
            )
        elif not place.targets:
            yield Problem(
                message=f"Node {place.node!r} is a dead end: no edge leaves it.",
                hint=f"Say where it goes on: add_edge({place.node!r}, END).",
            )
        elif not plan.after[place.index] >> end & 1 and plan.after[place.index] >> place.index & 1:
            yield Problem(
                message=f"Node {place.node!r} is on a cycle with no way out: END cannot be reached from it.",
                hint="Let a router on the cycle return END or a node that leads there.",
            )


def _lonely_hint(name: str, edges: list[Drawn]) -> str:
    if any(isinstance(edge, FanDrawn) and edge.node == name for edge in edges):
        return (
            f"A map or repeating edge runs its own copies of {name!r}; draw no other edges from it, or lead one to it."
        )
    return f"Lead an edge to it, or remove it: add_edge(..., {name!r})."


def _endless(plan: Plan) -> Iterator[Problem]:
    """Find cycles of plain edges alone: whoever enters one gives it a new token each time round."""
    always = [
        [arrow.target for arrow in place.arrows] + [spread.target for spread in place.spreads] for place in plan.places
    ]
    state = [0] * len(always)  # 0 new, 1 on the current path, 2 done
    for root in range(len(always)):
        if state[root]:
            continue
        walk = [(root, 0)]
        state[root] = 1
        while walk:
            node, position = walk.pop()
            if position == len(always[node]):
                state[node] = 2
                continue
            walk.append((node, position + 1))
            target = always[node][position]
            if state[target] == 1:
                around = [plan.places[index].node for index, _ in walk]
                names = " -> ".join([*around[around.index(plan.places[target].node) :], plan.places[target].node])
                yield Problem(
                    message=f"The cycle {names} has no router on it, so it would never end.",
                    hint="Let a router decide whether to go round again: add_router_edge(...).",
                )
                state[target] = 2
            elif state[target] == 0:
                state[target] = 1
                walk.append((target, 0))


def lonely_node(drawing: Drawing) -> NodeDrawn | None:
    """Return the only node of a drawing without edges: it needs none, it runs from START to END."""
    return next(iter(drawing.nodes.values())) if len(drawing.nodes) == 1 and not drawing.edges else None
