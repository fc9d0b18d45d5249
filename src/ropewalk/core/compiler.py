"""Turns a drawing into a plan, or says everything that is wrong with it."""

import itertools
from typing import Any, Literal, NamedTuple

from ropewalk.core.check import as_meant, drawing_problems, lonely_node, plan_problems
from ropewalk.core.context import is_async
from ropewalk.core.drawn import Drawing, EdgeDrawn, FanDrawn, NodeDrawn, RouterDrawn
from ropewalk.core.handing import handed_nodes
from ropewalk.core.plan import END, START, Arrow, Fan, Place, Plan, Router, Spread
from ropewalk.core.signatures import call_of, edge_problems, one_argument, routes_in
from ropewalk.core.sums import sum_problems
from ropewalk.errors import GraphInvalid, Problem, did_you_mean


def compile_drawing(drawing: Drawing) -> Plan:
    """Return the plan. Raises `GraphInvalid` with every mistake, those of subgraphs included."""
    plan, problems = _compiled(drawing, drawing.state_class, is_handed_items=False)
    problems += sum_problems(drawing.state_class)
    if problems or plan is None:
        raise GraphInvalid(drawing.name, problems)
    return plan


def _compiled(
    drawing: Drawing, state_class: type[Any] | None, *, is_handed_items: bool
) -> tuple[Plan | None, list[Problem]]:
    problems = drawing_problems(drawing)
    lonely = lonely_node(drawing)
    if lonely is not None:
        edges = [EdgeDrawn(start=START, end=lonely.name), EdgeDrawn(start=lonely.name, end=END)]
        drawing = drawing.with_edges([*edges])
    drawing = drawing.with_edges([_routed(edge, drawing, problems) for edge in drawing.edges])
    for edge in drawing.edges:
        start = {START: "START"}.get(edge.start, edge.start)
        if isinstance(edge, RouterDrawn) and not isinstance(edge.router, str):
            problems += edge_problems(f"The router after {start!r}", edge.router)
        elif isinstance(edge, FanDrawn) and edge.over is not None:
            problems += edge_problems(f"The over= function of the map edge after {start!r}", edge.over)
    mended, loose = as_meant(drawing)
    handed = drawing.nodes.keys() if is_handed_items or loose else handed_nodes(mended)
    actions = {
        node.name: _action(node, state_class, problems, is_handed_items=node.name in handed)
        for node in drawing.nodes.values()
    }
    plan = _Builder(mended, actions).plan()
    return plan, problems + plan_problems(plan, mended, loose)


def _routed(edge: Any, drawing: Drawing, problems: list[Problem]) -> Any:
    """Return a router edge with the routes found, where they were not declared."""
    if not isinstance(edge, RouterDrawn) or edge.routes is not None:
        return edge
    node = drawing.nodes.get(edge.router) if isinstance(edge.router, str) else None
    fn = node.fn if node else edge.router if not isinstance(edge.router, str) else None
    routes = routes_in(fn) if fn is not None else None
    for route in routes or ():
        if route not in drawing.nodes and route != END:
            start = {START: "START"}.get(edge.start, edge.start)
            problems.append(
                Problem(
                    message=f"The router after {start!r} may return {route!r}: no node has this name.",
                    hint=did_you_mean(route, drawing.nodes).strip() or "Add the node.",
                )
            )
    return edge._replace(routes=routes)


class _Action(NamedTuple):
    kind: Literal["node", "subgraph"]
    parts: dict[str, Any]


def _action(
    node: NodeDrawn, state_class: type[Any] | None, problems: list[Problem], *, is_handed_items: bool
) -> _Action:
    shared: dict[str, Any] = {
        "node": node.name,
        "interrupt": node.interrupt,
        "retry": node.retry,
        "timeout": node.timeout,
        "metadata": node.metadata,
    }
    if node.inner is not None:
        inner = node.inner
        problems += _state_problems(node.name, inner.state_class, state_class)
        plan, found = _compiled(inner, state_class, is_handed_items=is_handed_items)
        problems += [Problem(message=f"In subgraph {node.name!r}: {one.message}", hint=one.hint) for one in found]
        return _Action("subgraph", {**shared, "plan": plan})
    assert node.fn is not None
    call = call_of(node.name, node.fn, state_class, problems, is_handed_items=is_handed_items)
    return _Action("node", {**shared, "call": call})


def _state_problems(name: str, inner: type[Any] | None, outer: type[Any] | None) -> list[Problem]:
    if inner is None or outer is None or inner is outer or issubclass(outer, inner):
        return []
    missing = [field_name for field_name in inner.model_fields if field_name not in outer.model_fields]
    if not missing:
        return []
    return [
        Problem(
            message=f"Subgraph {name!r} has a state of its own ({inner.__name__}) with fields that {outer.__name__} "
            f"lacks: {', '.join(missing)}.",
            hint="A subgraph shares the state of the graph around it: declare the fields there.",
        )
    ]


class _Slot:
    """A place in the making."""

    def __init__(
        self, name: str, node: str, *, fan: Fan | None = None, repeat: int = 1, labels: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.node = node
        self.fan = fan
        self.repeat = repeat
        self.labels = labels
        self.arrows: list[Arrow] = []
        self.routers: list[Router] = []
        self.spreads: list[Spread] = []


class _Builder:
    def __init__(self, drawing: Drawing, actions: dict[str, _Action]) -> None:
        self._drawing = drawing
        self._actions = actions
        self._slots: list[_Slot] = [_Slot(START, START)]
        self._copies: dict[int, int] = {}
        self._raw: dict[str, int] = {START: 0}
        self._lay_out()

    def plan(self) -> Plan:
        for number, edge in enumerate(self._drawing.edges):
            match edge:
                case EdgeDrawn():
                    self._slot(edge.start).arrows.append(Arrow(edge=number, target=self._raw[edge.end]))
                case RouterDrawn():
                    self._add_router(number, edge)
                case FanDrawn():
                    self._add_fan(number, edge)
        last = len(self._slots) - 1
        places = tuple(self._place(index, slot, last) for index, slot in enumerate(self._slots))
        return Plan(name=self._drawing.name, places=places)

    def _lay_out(self) -> None:
        """Give every node its place, and every map or repeating edge a copy of its node's, in the order of
        declaration.
        """
        drawing = self._drawing
        fans = [(number, edge) for number, edge in enumerate(drawing.edges) if isinstance(edge, FanDrawn)]
        bodies = {edge.node for _, edge in fans}
        ends = {name for edge in drawing.edges for name in _touched(edge)}
        for name in drawing.nodes:
            if name in ends or name not in bodies:
                self._raw[name] = len(self._slots)
                self._slots.append(_Slot(name, name))
            for number, edge in fans:
                if edge.node != name:
                    continue
                self._copies[number] = len(self._slots)
                fan: Fan = "map" if edge.over is not None else "parallel" if edge.parallel else "sequence"
                place = self._free_name(name)
                self._slots.append(_Slot(place, name, fan=fan, repeat=edge.repeat, labels=edge.labels))
        self._raw[END] = len(self._slots)
        self._slots.append(_Slot(END, END))

    def _free_name(self, name: str) -> str:
        """Return a name for a copy of a node that no place has and no other node is called."""
        taken = {slot.name for slot in self._slots} | (self._drawing.nodes.keys() - {name})
        copies = (f"{name}~{number}" for number in itertools.count(2))
        return next(candidate for candidate in itertools.chain((name,), copies) if candidate not in taken)

    def _add_router(self, number: int, edge: RouterDrawn) -> None:
        routes = {name: self._raw[name] for name in (edge.routes or (*self._drawing.nodes, END)) if name in self._raw}
        opened = edge.routes is None
        if isinstance(edge.router, str):
            self._slot(edge.start).arrows.append(Arrow(edge=number, target=self._raw[edge.router]))
            router = self._slot(edge.router)
            known = next((known for known in router.routers if known.choose is None), None)
            if known is not None:  # the same node routes for several edges: it may choose what any of them allows
                router.routers.remove(known)
                merged = {**known.routes, **routes}
                router.routers.append(known._replace(routes=merged, open=known.open or opened))
            else:
                router.routers.append(Router(edge=number, choose=None, label=edge.router, routes=routes, open=opened))
            return
        label = getattr(edge.router, "__name__", type(edge.router).__name__)
        label = "router" if label == "<lambda>" else label
        choose = one_argument(edge.router)
        self._slot(edge.start).routers.append(
            Router(
                edge=number,
                choose=choose,
                label=label,
                routes=routes,
                open=opened,
                is_async=is_async(edge.router),
            )
        )

    def _add_fan(self, number: int, edge: FanDrawn) -> None:
        copy = self._copies[number]
        self._slots[copy].arrows.append(Arrow(edge=number, target=self._raw[edge.end]))
        start = self._slot(edge.start)
        if edge.over is None:
            start.arrows.append(Arrow(edge=number, target=copy))
        else:
            start.spreads.append(
                Spread(edge=number, target=copy, over=one_argument(edge.over), is_async=is_async(edge.over))
            )

    def _slot(self, name: str) -> _Slot:
        return self._slots[self._raw[name]]

    def _place(self, index: int, slot: _Slot, last: int) -> Place:
        edges = (tuple(slot.arrows), tuple(slot.routers), tuple(slot.spreads))
        arrows, routers, spreads = edges
        if index in (0, last):
            kind = "start" if index == 0 else "end"
            return Place(
                index=index, name=slot.name, node=slot.node, kind=kind, arrows=arrows, routers=routers, spreads=spreads
            )
        action = self._actions[slot.node]
        fan: dict[str, Any] = {"fan": slot.fan, "repeat": slot.repeat, "labels": slot.labels}
        return Place(
            index=index,
            name=slot.name,
            kind=action.kind,
            arrows=arrows,
            routers=routers,
            spreads=spreads,
            **fan,
            **action.parts,
        )


def _touched(edge: Any) -> tuple[str, ...]:
    """Return the nodes an edge needs in person, not as a copy."""
    match edge:
        case EdgeDrawn():
            return edge.start, edge.end
        case RouterDrawn():
            return (edge.start, *(edge.routes or ()), *((edge.router,) if isinstance(edge.router, str) else ()))
        case _:
            return edge.start, edge.end
