"""What the scheduler holds while a run is under way: scopes, firings, steps, pauses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar, cast

from ropewalk.codec import ANY, RawJson
from ropewalk.core.facts import Route
from ropewalk.core.plan import Place, Plan
from ropewalk.core.state import Values
from ropewalk.core.versions import Version

K = TypeVar("K")
V = TypeVar("V")

_NOTHING: Mapping[Any, Any] = MappingProxyType({})
"""What most steps and firings have of most things; one for all, because there are many of them."""


def put(kept: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    """Return ``kept`` with one thing more; the first makes a dictionary of its own."""
    if isinstance(kept, dict):
        kept[key] = value
        return cast("Mapping[K, V]", kept)
    return {key: value}


class Arrival:
    """A token that waits at a place."""

    __slots__ = ("edge", "items", "source", "version")

    def __init__(self, edge: int, source: int, version: Version, items: tuple[RawJson | None, ...] | None) -> None:
        self.edge = edge
        self.source = source
        """Which firing of its source it came from: orders arrivals over one edge."""
        self.version = version
        self.items = items
        """None: one step without an item."""


class Scope:
    """A plan under way: the run itself, or one firing of a subgraph."""

    __slots__ = (
        "active",
        "active_bits",
        "counts",
        "ended",
        "index",
        "item",
        "parent",
        "path",
        "plan",
        "prefix",
        "waiting",
        "waiting_bits",
    )

    def __init__(self, plan: Plan, parent: "Firing | None", index: int, prefix: str, path: str) -> None:
        self.plan = plan
        self.parent = parent
        self.index = index
        """Which instance of the parent firing it is."""
        self.prefix = prefix
        """What ids of steps inside begin with."""
        self.path = path
        """What names of nodes inside begin with."""
        self.item: RawJson | None = None
        self.waiting: dict[int, list[Arrival]] = {}
        self.waiting_bits = 0
        self.active: dict[int, Firing] = {}
        self.active_bits = 0
        self.ended: list[Arrival] = []
        self.counts: dict[int, int] = {}


class Firing:
    """One start of a place: one step, a group of steps, or scopes of a subgraph."""

    __slots__ = (
        "ahead",
        "held",
        "id",
        "items",
        "number",
        "objection",
        "out",
        "path",
        "pause",
        "place",
        "remaining",
        "results",
        "routes",
        "scope",
        "scopes",
        "version",
    )

    def __init__(self, place: Place, scope: Scope, number: int, version: Version) -> None:
        self.id = f"{scope.prefix}{place.name}#{number}"
        self.path = scope.path + place.node
        """The node as people see it: with the subgraphs around it."""
        self.place = place
        self.scope = scope
        self.number = number
        self.version = version
        """What its instances start with; a sequence's moves on."""
        self.items: tuple[RawJson | None, ...] | None = None
        """None: not a group."""
        self.results: list[Version | None] | tuple[()] = ()
        """A group's instances; empty where there is no group."""
        self.remaining = 0
        self.routes: Mapping[int, tuple[Route, ...]] = _NOTHING
        """What instances returned, for a node that is itself a router."""
        self.ahead: Values | None = None
        """The state after its only step's writes, where a router wanted to see it before they were in the log."""
        self.objection: BaseException | None = None
        """What a router or map edge raised while the step was in flight; the commit makes it that router's failure."""
        self.out: Version | None = None
        """The merged version, once all instances have finished."""
        self.held: str | None = None
        """before or after: the breakpoint that holds it."""
        self.pause: str | None = None
        """The open pause of that breakpoint, once it is in the log."""
        self.scopes: Mapping[int, Scope] = _NOTHING
        """The open scopes of a subgraph's instances."""

    def open_scope(self, plan: Plan, index: int) -> Scope:
        """Open the scope of one instance of a subgraph."""
        instance = self.id if self.items is None else f"{self.id}[{index}]"
        scope = Scope(plan, self, index, f"{instance}/", f"{self.path}/")
        self.scopes = put(self.scopes, index, scope)
        scope.item = self.items[index] if self.items is not None else None
        return scope

    def close_scope(self, index: int) -> None:
        if isinstance(self.scopes, dict):
            del self.scopes[index]

    @property
    def is_shared(self) -> bool:
        """Tell whether several instances start with the same version."""
        return self.items is not None and self.place.fan != "sequence"


class Step:
    """One instance of a firing of a node; attempts at it belong to it."""

    __slots__ = (
        "answers",
        "asked",
        "deaths",
        "failures",
        "firing",
        "id",
        "index",
        "item",
        "path",
        "place",
        "records",
        "retry_at",
        "spent",
        "status",
        "takeovers",
    )

    def __init__(self, firing: Firing, step_id: str, index: int | None, item: RawJson | None) -> None:
        self.firing = firing
        self.id = step_id
        self.path = firing.path
        self.place = firing.place
        self.index = index
        self.item = item
        self.status = "ready"
        """ready (or running: the scheduler does not know), waiting (for an answer), failed."""
        self.failures = 0
        self.spent = 0
        """Failures that count against the retry policy: those since the last explicit resume."""
        self.takeovers = 0
        self.deaths = 0
        """Takeovers since the last explicit resume or the last thing it recorded."""
        self.retry_at: float | None = None
        self.records: Mapping[tuple[str, int], RawJson] = _NOTHING
        self.answers: Mapping[tuple[str, int], RawJson] = _NOTHING
        self.asked: Mapping[tuple[str, int], str] = _NOTHING
        """Questions it asked: (name, nth) -> id of the pause."""

    @property
    def attempt(self) -> int:
        return 1 + self.failures + self.takeovers

    @property
    def version(self) -> Version:
        return self.firing.version

    def inherited_item(self) -> RawJson | None:
        """Return its own item, or that of the nearest group around it."""
        if self.item is not None:
            return self.item
        scope = self.firing.scope
        while scope.item is None and scope.parent is not None:
            scope = scope.parent.scope
        return scope.item

    @property
    def shown_item(self) -> Any:
        """The item as its node sees it; None where there is none."""
        raw = self.inherited_item()
        if raw is None:
            return None
        return (self.place.call.item if self.place.call else ANY).validate_json(raw)


class PauseState:
    """One question or breakpoint, open or answered."""

    __slots__ = ("answered_at", "answered_by", "fact", "firing", "step")

    def __init__(self, fact: Any, firing: Firing | None, step: Step | None) -> None:
        self.fact = fact
        self.firing = firing
        self.step = step
        self.answered_at: float | None = None
        self.answered_by: str | None = None
