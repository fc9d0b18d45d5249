"""A plan: a compiled graph, frozen; what the scheduler, the pictures and the content hash read.

A plan is a tuple of places. A place is where steps happen: a node of the drawing, START, END, or the copy of a node
that a map or repeat edge runs between two others. Edges are numbered in the order they were drawn; that order is the
order in which a join merges its branches. A subgraph is a place that holds a plan of its own.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter

from ropewalk.codec import ANY, RawJson
from ropewalk.core.retry import NO_RETRY, Retry

START = "__start__"
END = "__end__"

PlaceKind = Literal["start", "end", "node", "subgraph"]
Fan = Literal["map", "parallel", "sequence"]
Interrupt = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class Send:
    """A router's choice of ``name`` for one ``item``; Sends of one choice run side by side and join in item order."""

    name: str
    item: Any


class Call(NamedTuple):
    """How a node's function is called."""

    fn: Callable[..., Any]
    is_async: bool
    params: tuple[tuple[str, str], ...]
    """(parameter, what fills it): what is one of state, ctx, item, index."""
    is_simple: bool = False
    """True: an async function of nothing, or of the state alone by position."""
    item: TypeAdapter[Any] = ANY
    """The type of the parameter ``item``, by which it comes back from the log."""


class Arrow(NamedTuple):
    """An edge that is always taken."""

    edge: int
    target: int


class Router(NamedTuple):
    """An edge whose targets are chosen when its source has finished."""

    edge: int
    choose: Callable[..., Any] | None
    """None: what the node itself returned."""
    label: str
    routes: Mapping[str, int]
    """Node name -> place it leads to; END included where it may end the branch."""
    open: bool
    """True: the routes could not be found when compiling, so any node of this graph is one."""
    is_async: bool = False


class Spread(NamedTuple):
    """A map edge: one step of ``target`` per item of ``over(state)``."""

    edge: int
    target: int
    over: Callable[..., Any]
    is_async: bool = False


class Way(NamedTuple):
    """What one router or map edge may lead to."""

    edge: int
    routes: Mapping[str, int]
    """A router's targets by name; empty for a map edge."""
    target: int
    """A map edge's target; -1 for a router."""
    exit: "Router | Spread"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where steps happen."""

    index: int
    """Position in the plan: the order of declaration, START first and END last."""
    name: str
    """Unique in its plan; part of step ids."""
    node: str
    """The name the user gave; several places share it when edges run copies of one node."""
    kind: PlaceKind
    call: Call | None = None
    plan: "Plan | None" = None
    fan: Fan | None = None
    repeat: int = 1
    labels: tuple[str, ...] = ()
    """Names of the repeats, when given."""
    interrupt: Interrupt | None = None
    retry: Retry = NO_RETRY
    timeout: float | None = None
    """Seconds one attempt may take."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    arrows: tuple[Arrow, ...] = ()
    routers: tuple[Router, ...] = ()
    spreads: tuple[Spread, ...] = ()

    @property
    def is_awaited(self) -> bool:
        """Tell whether an async function chooses what follows."""
        return any(exit_.is_async for exit_ in (*self.routers, *self.spreads))

    @property
    def own_router(self) -> Router | None:
        """The router that reads what the node itself returned, if it has one."""
        return next((router for router in self.routers if router.choose is None), None)

    @property
    def repeats(self) -> tuple[RawJson, ...]:
        """The items of a repeat: its numbers from 0."""
        return tuple(RawJson(b"%d" % number) for number in range(self.repeat))

    @property
    def targets(self) -> tuple[int, ...]:
        """Every place an edge leads to, in the order of the edges, each once."""
        pairs = [(arrow.edge, arrow.target) for arrow in self.arrows]
        pairs += [(router.edge, target) for router in self.routers for target in router.routes.values()]
        pairs += [(spread.edge, spread.target) for spread in self.spreads]
        return tuple(dict.fromkeys(target for _, target in sorted(pairs, key=lambda pair: pair[0])))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A compiled graph. ``places[0]`` is START, ``places[-1]`` is END."""

    name: str
    places: tuple[Place, ...]

    @cached_property
    def by_name(self) -> dict[str, Place]:
        return {place.name: place for place in self.places}

    @cached_property
    def ways(self) -> tuple[tuple[Way, ...], ...]:
        """For each place its routers, then its map edges: what `Choice.way` counts."""
        return tuple(
            (
                *(Way(router.edge, router.routes, -1, router) for router in place.routers),
                *(Way(spread.edge, {}, spread.target, spread) for spread in place.spreads),
            )
            for place in self.places
        )

    @cached_property
    def bits(self) -> tuple[int, ...]:
        return tuple(1 << index for index in range(len(self.places)))

    @cached_property
    def straight(self) -> tuple[bool, ...]:
        """For each place whether who finishes there simply leaves: no breakpoint behind it, nothing to choose."""
        return tuple(place.interrupt != "after" and not place.routers and not place.spreads for place in self.places)

    @cached_property
    def choosing(self) -> tuple[Literal["no", "at once", "awaited"], ...]:
        """For each place whether its routers and map edges are asked while its step is still in flight, and how."""
        return tuple(
            "no"
            if place.interrupt == "after" or not (place.routers or place.spreads)
            else "awaited"
            if place.is_awaited
            else "at once"
            for place in self.places
        )

    @cached_property
    def sole(self) -> tuple[int, ...]:
        """For each place the target of its only plain edge, where it has just that; else -1."""
        return tuple(
            place.arrows[0].target if len(place.arrows) == 1 and not place.routers and not place.spreads else -1
            for place in self.places
        )

    @cached_property
    def forks(self) -> tuple[tuple[int, ...], ...]:
        """For each place its targets, where it has plain edges only and none of them can hold another back; else ()."""
        return tuple(self._fork(place) for place in self.places)

    def _fork(self, place: Place) -> tuple[int, ...]:
        targets = tuple(arrow.target for arrow in place.arrows)
        if len(set(targets)) < max(2, len(targets)) or place.routers or place.spreads:
            return ()
        bits = sum(1 << target for target in targets)
        held = any(self.after[target] & bits for target in targets)
        return () if held or len(self.places) - 1 in targets else targets

    @cached_property
    def after(self) -> tuple[int, ...]:
        """For each place, the places reachable from it by one edge or more, as bits."""
        return _closure([place.targets for place in self.places])

    @cached_property
    def before(self) -> tuple[int, ...]:
        """For each place, the places that can reach it by one edge or more, as bits."""
        sources: list[list[int]] = [[] for _ in self.places]
        for place in self.places:
            for target in place.targets:
                sources[target].append(place.index)
        return _closure(sources)

    @cached_property
    def digest(self) -> str:
        """Content hash of the drawing: names, edges and fan-outs; not the code of the functions."""
        return hashlib.sha256(json.dumps(_outline(self), separators=(",", ":")).encode()).hexdigest()[:16]


def _outline(plan: Plan) -> list[Any]:
    return [
        [
            place.name,
            place.kind,
            place.interrupt,
            place.fan,
            place.repeat,
            [[arrow.edge, arrow.target] for arrow in place.arrows],
            [[router.edge, sorted(router.routes), router.open] for router in place.routers],
            [[spread.edge, spread.target] for spread in place.spreads],
            _outline(place.plan) if place.plan else None,
        ]
        for place in plan.places
    ]


def _closure(targets: "list[tuple[int, ...]] | list[list[int]]") -> tuple[int, ...]:  # noqa: C901  one algorithm, told in its docstring
    """Return, for each place, the set of places that a walk of one edge or more leads to, as bits.

    Strongly connected components come out of Tarjan's algorithm after all that they lead to, so one pass over them is
    enough; the walk is iterative because a chain may be longer than Python's stack.
    """
    count = len(targets)
    order = [-1] * count
    low = [0] * count
    on_stack = [False] * count
    reach = [0] * count
    stack: list[int] = []
    seen = 0
    for root in range(count):
        if order[root] != -1:
            continue
        walk: list[tuple[int, int]] = [(root, 0)]
        while walk:
            node, position = walk.pop()
            if position == 0:
                order[node] = low[node] = seen
                seen += 1
                stack.append(node)
                on_stack[node] = True
            descended = False
            for offset in range(position, len(targets[node])):
                target = targets[node][offset]
                if order[target] == -1:
                    walk.append((node, offset + 1))
                    walk.append((target, 0))
                    descended = True
                    break
                if on_stack[target]:
                    low[node] = min(low[node], order[target])
            if descended:
                continue
            if low[node] == order[node]:
                _close(node, stack, on_stack, targets, reach)
            if walk:
                parent = walk[-1][0]
                low[parent] = min(low[parent], low[node])
    return tuple(reach)


def _close(
    root: int,
    stack: list[int],
    on_stack: list[bool],
    targets: "list[tuple[int, ...]] | list[list[int]]",
    reach: list[int],
) -> None:
    members: list[int] = []
    while True:
        member = stack.pop()
        on_stack[member] = False
        members.append(member)
        if member == root:
            break
    inside = 0
    for member in members:
        inside |= 1 << member
    looped = len(members) > 1 or root in targets[root]
    total = inside if looped else 0
    for member in members:
        for target in targets[member]:
            if not inside >> target & 1:
                total |= reach[target] | 1 << target
    for member in members:
        reach[member] = total
