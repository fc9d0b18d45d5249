"""What a run has done to its graph, read from its log: statuses and counts of nodes, and how often each edge was taken.

1. A step's id tells where it ran: ``sub#1[0]/check#2`` is the second firing of ``check`` in instance 0 of ``sub``.
2. A firing has departed once none of its steps is unfinished; then all its plain edges have been taken.
3. What routers and map edges chose stands in the entries, under the id of the firing that departed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ropewalk.core.plan import START, Place, Plan
from ropewalk.events import Entry

_NUMBER = re.compile(r"#\d+(\[\d+\])?$")
_INSTANCE = re.compile(r"\[\d+\]$")
_WORST_FIRST = ("failed", "waiting", "running", "done")


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What a run has done so far, by node path."""

    statuses: Mapping[str, str] | None = None
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    taken: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])


class _Reading:
    """The three readings in the making."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.taken: Counter[tuple[str, str]] = Counter()


def progress_of(plan: Plan, entries: Iterable[Entry], unfinished: Mapping[str, str], status: str) -> Progress:
    """Return what ``entries`` tell; ``unfinished``: steps that have begun and not ended, ``status``: the run's."""
    log = _Log(entries)
    reading = _Reading()
    for step in log.finished:
        _raise_to(reading, path_of(step), "done")
        reading.counts[path_of(step)] += 1
    over = status in {"CANCELLED", "DONE"}  # nobody can answer any more
    going = {"ready": "running" if status == "RUNNING" else "pending", "waiting": "pending" if over else "waiting"}
    for step, is_now in unfinished.items():
        _raise_to(reading, path_of(step), going.get(is_now, is_now))
    for firing in () if over else log.held:
        _raise_to(reading, path_of(firing), "waiting")
    for path in _paths(plan) if status in {"RUNNING", "PAUSED"} else ():
        reading.statuses.setdefault(path, "pending")
    _count_edges(reading, plan, log, {*unfinished, *log.held})
    return Progress(statuses=reading.statuses, counts=reading.counts, taken=reading.taken)


def path_of(step: str) -> str:
    """Return the node path of a step's or a firing's id."""
    return "/".join(_NUMBER.sub("", part) for part in step.split("/"))


class _Log:
    """The facts of a log that matter here."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.finished: list[str] = []
        self.choices: list[tuple[str, int, list[str]]] = []
        """(firing that departed, which of its ways, names it chose)."""
        self.returned: dict[str, set[str]] = {}
        """What nodes that are routers themselves chose, by firing."""
        held: dict[str, str] = {}
        for entry in entries:
            data = entry.data
            if entry.type == "step_finished":
                self.finished.append(data["step"])
                if "routes" in data:
                    self.returned.setdefault(firing_of(data["step"]), set()).update(_names(data["routes"]))
            elif entry.type == "paused" and data["kind"] == "breakpoint":
                held[data["pause"]] = data["step"]
            elif entry.type == "answered":
                held.pop(data["pause"], None)
            elif entry.type == "run_started":  # of a fork: what its parent held is not its own
                held.clear()
            for departure, way, routes in data.get("choices", ()):
                self.choices.append((departure, way, _names(routes)))
        self.held = set(held.values())

    def firings(self) -> set[str]:
        """Return every firing that has a finished step, those of the subgraphs around included."""
        return {above for step in self.finished for above in _lineage(step)}


def firing_of(step: str) -> str:
    """Return the firing that a step belongs to: its id without its place in the group."""
    return _INSTANCE.sub("", step)


def _names(routes: list[list[Any]]) -> list[str]:
    return [route[0] for route in routes]


def _lineage(step: str) -> list[str]:
    parts = step.split("/")
    return [firing_of("/".join(parts[: depth + 1])) for depth in range(len(parts))]


def _raise_to(reading: _Reading, path: str, status: str) -> None:
    """Give a node, and the subgraphs around it, ``status`` unless a step there says something worse."""
    parts = path.split("/")
    for depth in range(len(parts)):
        node = "/".join(parts[: depth + 1])
        known = reading.statuses.get(node)
        if known not in _WORST_FIRST or (
            status in _WORST_FIRST and _WORST_FIRST.index(status) < _WORST_FIRST.index(known)
        ):
            reading.statuses[node] = status


def _paths(plan: Plan, above: str = "") -> Iterable[str]:
    for place in plan.places[1:-1]:
        yield above + place.name
        if place.plan is not None:
            yield from _paths(place.plan, f"{above}{place.name}/")


def _count_edges(reading: _Reading, plan: Plan, log: _Log, unfinished: set[str]) -> None:
    open_firings = {above for step in unfinished for above in _lineage(step)}
    scopes = {""} | {step.rpartition("/")[0] for step in [*log.finished, *unfinished]}
    for scope in {part for whole in scopes for part in _prefixes(whole)}:
        _follow_arrows(reading, plan, f"{scope}/{START}" if scope else START)
        if scope and firing_of(scope) not in open_firings:
            reading.counts[path_of(scope)] += 1
    departed = log.firings() - open_firings
    for firing in departed:
        _follow_arrows(reading, plan, firing)
    for firing, way, names in log.choices:
        _follow_way(reading, plan, firing, way, names)
    for firing, chosen in log.returned.items():
        place, inner = _placed(plan, firing)
        for router in place.routers if firing in departed else ():
            if router.choose is None:
                for name in chosen & router.routes.keys():
                    _take(reading, inner, firing, router.routes[name])


def _follow_arrows(reading: _Reading, plan: Plan, firing: str) -> None:
    place, inner = _placed(plan, firing)
    for arrow in place.arrows:
        _take(reading, inner, firing, arrow.target)


def _follow_way(reading: _Reading, plan: Plan, firing: str, way: int, names: list[str]) -> None:
    place, inner = _placed(plan, firing)
    if way < len(place.routers):
        routes = place.routers[way].routes
        for target in dict.fromkeys(routes[name] for name in names if name in routes):
            _take(reading, inner, firing, target)
        return
    target = place.spreads[way - len(place.routers)].target
    _take(reading, inner, firing, target)
    if not names:  # nothing to do for each of no items: the place was passed at once
        above = firing.rpartition("/")[0]
        _follow_arrows(reading, plan, f"{above}/{inner.places[target].name}".lstrip("/"))


def _take(reading: _Reading, inner: Plan, firing: str, target: int) -> None:
    source = path_of(firing)
    above = source.rpartition("/")[0]
    reading.taken[source, f"{above}/{inner.places[target].name}".lstrip("/")] += 1


def _placed(plan: Plan, firing: str) -> tuple[Place, Plan]:
    """Return the place of a firing and the plan it is in. Raises KeyError when the graph has no such place any more."""
    *above, name = path_of(firing).split("/")
    for outer in above:
        inside = plan.by_name[outer].plan
        if inside is None:
            raise KeyError(outer)
        plan = inside
    return plan.by_name[name], plan


def _prefixes(scope: str) -> list[str]:
    parts = scope.split("/") if scope else []
    return ["/".join(parts[:depth]) for depth in range(len(parts) + 1)]
