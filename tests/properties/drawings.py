"""What a drawn graph is made of, as plain data, and what its nodes and routers do: pure functions of what they are
shown.

The real graph (`graphs.py`) and the reference interpreter (`reference.py`) both call these functions, so that they can
only differ in when a node runs and in which state it sees. The repr of a `Drawing` is code: a failing one can be
pasted.
"""

import hashlib
from dataclasses import MISSING, dataclass, fields
from typing import Any

from ropewalk import END, GraphState, History, Incremental, LastValue, Reduced, Send


def chained(old: str, new: str) -> str:
    """Merge in a way that any other order would show."""
    return hashlib.sha256(f"{old}>{new}".encode()).hexdigest()[:12]


def counted(old: dict[str, int], new: dict[str, int]) -> dict[str, int]:
    return old | {key: old.get(key, 0) + count for key, count in new.items()}


class State(GraphState):
    ids: History[str]
    """Every step appends its id and nothing else touches it: the causal past itself."""
    log: History[str]
    bag: History[dict[str, list[int]]]
    last: LastValue[str] = ""
    plain: int | None = None
    notes: LastValue[dict[str, int]] = {}
    count: Incremental[int] = 0
    weight: Incremental[float] = 0.0
    words: Incremental[list[str]] = []
    chain: Reduced[str, chained] = ""
    visits: Reduced[dict[str, int], counted] = {}
    edits: Incremental[int] = 0
    answers: Reduced[dict[str, int], counted] = {}


FIELDS = tuple(State.model_fields)
HISTORIES = frozenset({"ids", "log", "bag"})
SUMS = frozenset({"count", "weight", "words", "edits"})
REDUCERS = {"chain": chained, "visits": counted, "answers": counted}
UNSEEN = frozenset({"edits", "answers"})
"""Fields that come from outside: what a router or a write is made of must not depend on when they came."""

IN_PLACE = ("log+", "log-", "bag+", "last!", "plain!", "notes!", "count!", "words!", "chain!")
RETURNED = ("log", "bag", "last", "plain", "notes", "count", "weight", "words", "chain")


class Drawn:
    """Shows itself as code, without what is as it is by default."""

    __slots__ = ()

    def __repr__(self) -> str:
        told: list[str] = []
        for one in fields(self):  # type: ignore[arg-type]
            value = getattr(self, one.name)
            if one.default is MISSING:
                told.append(repr(value))
            elif value != one.default:
                told.append(f"{one.name}={value!r}")
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, slots=True, repr=False)
class Node(Drawn):
    name: str
    writes: tuple[str, ...] = ()
    sub: "Drawing | None" = None
    sync: bool = False
    ways: tuple[str, ...] = ()
    """Where it may lead, for a node that is itself a router."""
    back: tuple[str, ...] = ()
    bound: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Edge(Drawn):
    source: str
    target: str


@dataclass(frozen=True, slots=True, repr=False)
class Routed(Drawn):
    source: str
    ways: tuple[str, ...]
    salt: int
    back: tuple[str, ...] = ()
    """Where it may return to, at most ``bound`` times."""
    bound: int = 0
    open: bool = False
    """Drawn without its routes: any node may be one."""


@dataclass(frozen=True, slots=True, repr=False)
class Through(Drawn):
    """A router edge that names a node."""

    source: str
    router: str


@dataclass(frozen=True, slots=True, repr=False)
class Mapped(Drawn):
    source: str
    node: str
    target: str
    salt: int


@dataclass(frozen=True, slots=True, repr=False)
class Repeated(Drawn):
    source: str
    node: str
    target: str
    times: int
    parallel: bool


@dataclass(frozen=True, slots=True, repr=False)
class Drawing(Drawn):
    nodes: tuple[Node, ...]
    """In the order of declaration."""
    edges: tuple[Edge | Routed | Through | Mapped | Repeated, ...]
    """In the order in which they are drawn."""

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)


def held(state: Any) -> dict[str, Any]:
    """Return the fields of a state that may decide something."""
    return {name: getattr(state, name) for name in FIELDS if name not in UNSEEN}


def hashed(*parts: Any) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big")


def visits_of(drawing: Drawing, node: Node) -> tuple[str, ...]:
    """Return the loops that a node's routers count."""
    edges = (edge for edge in drawing.edges if isinstance(edge, Routed) and edge.source == node.name)
    return tuple(f"{node.name}{edge.salt}" for edge in edges if edge.back)


def behave(drawing: Drawing, node: Node, step: str, item: Any, state: Any) -> Any:
    """Do what the node does in the step: change ``state`` in place, return the rest."""
    told = hashed(step, item, held(state))
    for write in node.writes:
        _IN_PLACE.get(write, _nothing)(state, step, told)
    if node.ways:
        state.ids.append(step)
        firing = int(step.rpartition("#")[2].partition("[")[0])
        back = node.back if firing <= node.bound else ()
        return chosen(node.ways, back, told, sends=False)
    returned: dict[str, Any] = {"ids": step}
    for write in node.writes:
        if write in RETURNED:
            returned[write] = _RETURNED[write](step, told)
    if visits := visits_of(drawing, node):
        returned["visits"] = dict.fromkeys(visits, 1)
    return returned


def route(edge: Routed, state: Any) -> Any:
    """Choose as the router does."""
    told = hashed(edge.salt, held(state))
    visits = state.visits.get(f"{edge.source}{edge.salt}", 0)
    return chosen(edge.ways, edge.back if visits <= edge.bound else (), told, sends=True)


def chosen(ways: tuple[str, ...], back: tuple[str, ...], told: int, *, sends: bool) -> Any:
    told, style = divmod(told, 8)
    if back and told % 3:
        return back[told % len(back)]
    first = ways[told % len(ways)]
    some = [way for index, way in enumerate(ways) if told >> index & 1]
    if style == 0:
        return some
    if style == 1:
        return [*reversed(some), first]
    if style == 6 and told % 2:
        return []
    if style == 2 and back:
        return [first, back[0]]
    if style in (3, 4) and sends and first != END:
        return [Send(first, told % 97 + number) for number in range(told % 4)]
    if style == 5 and sends and first != END:
        return [Send(first, 7), *(way for way in ways if way != END)]
    return first


def items_over(salt: int, state: Any) -> list[int]:
    told = hashed(salt, held(state))
    return [told % 89 + number for number in range(told % 5)]


def routes_in(returned: Any) -> list[tuple[str, Any]]:
    """Return what a router returned as (node, item) pairs."""
    several = returned if isinstance(returned, list) else [returned]
    return [(one.name, one.item) if isinstance(one, Send) else (one, None) for one in several]


def _nothing(state: Any, step: str, told: int) -> None: ...


def _log_more(state: Any, step: str, told: int) -> None:
    state.log.append(f"{step}+")
    state.log += [f"{told % 1000}"] * (told % 3)


def _log_other(state: Any, step: str, told: int) -> None:
    state.log = [*state.log[: told % 3], step]


def _bag_more(state: Any, step: str, told: int) -> None:
    if state.bag and told % 2:
        state.bag[0]["n"].append(told % 10)
    else:
        state.bag.append({"n": [told % 10]})


def _last(state: Any, step: str, told: int) -> None:
    state.last = f"{step}!{told % 1000}"


def _plain(state: Any, step: str, told: int) -> None:
    state.plain = None if told % 3 == 0 else told % 1000


def _notes(state: Any, step: str, told: int) -> None:
    state.notes[step] = told % 1000


def _count(state: Any, step: str, told: int) -> None:
    state.count += told % 7


def _words(state: Any, step: str, told: int) -> None:
    state.words.append(f"{step}{told % 10}")


def _chain(state: Any, step: str, told: int) -> None:
    state.chain = f"{step}{told % 1000}"


_IN_PLACE = {
    "log+": _log_more,
    "log-": _log_other,
    "bag+": _bag_more,
    "last!": _last,
    "plain!": _plain,
    "notes!": _notes,
    "count!": _count,
    "words!": _words,
    "chain!": _chain,
}
_RETURNED: dict[str, Any] = {
    "log": lambda step, told: f"{step}:{told % 1000}",
    "bag": lambda step, told: {"n": [told % 5]},
    "last": lambda step, told: f"{step}:{told % 1000}",
    "plain": lambda step, told: told % 1000,
    "notes": lambda step, told: {step: told % 10},
    "count": lambda step, told: told % 11,
    "weight": lambda step, told: told % 13 / 10,
    "words": lambda step, told: [step, str(told % 10)],
    "chain": lambda step, told: f"{step}:{told % 1000}",
}
