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

from ropewalk.runtime import Entry, Graph, Picture, Place, Plan, Run, unfinished_steps

_NUMBER = re.compile(r"#\d+(\[\d+\])?$")
_INSTANCE = re.compile(r"\[\d+\]$")
_START = "__start__"
_WORST_FIRST = ("failed", "waiting", "running", "done")


@dataclass(slots=True)
class Progress:
    """The three readings, by node path."""

    statuses: dict[str, str] = field(default_factory=dict[str, str])
    counts: Counter[str] = field(default_factory=Counter[str])
    taken: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])


async def picture_of(graph: Graph[Any], run: Run[Any], entries: Iterable[Entry]) -> Picture:
    """Return the graph's picture with what ``entries``, the log of ``run``, tell of it."""
    progress = progress_of(graph.plan, entries, await unfinished_steps(run), run.status)
    several = {path: count for path, count in progress.counts.items() if count > 1}  # a 1 on each node says nothing
    return Picture(graph.plan, statuses=progress.statuses, counts=several, taken=progress.taken)


def progress_of(plan: Plan, entries: Iterable[Entry], unfinished: Mapping[str, str], status: str) -> Progress:
    """Return what ``entries`` tell; ``unfinished``: steps that have begun and not ended, ``status``: the run's."""
    log = _Log(entries)
    progress = Progress()
    for step in log.finished:
        _raise_to(progress, path_of(step), "done")
        progress.counts[path_of(step)] += 1
    going = "running" if status == "RUNNING" else "pending"
    for step, is_now in unfinished.items():
        _raise_to(progress, path_of(step), {"ready": going}.get(is_now, is_now))
    for firing in log.held:
        _raise_to(progress, path_of(firing), "waiting")
    unvisited = {"RUNNING", "PAUSED"} & {status}
    for path in _paths(plan) if unvisited else ():
        progress.statuses.setdefault(path, "pending")
    _count_edges(progress, plan, log, {*unfinished, *log.held})
    return progress


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


def _raise_to(progress: Progress, path: str, status: str) -> None:
    """Give a node, and the subgraphs around it, ``status`` unless a step there says something worse."""
    parts = path.split("/")
    for depth in range(len(parts)):
        node = "/".join(parts[: depth + 1])
        known = progress.statuses.get(node)
        if known not in _WORST_FIRST or (
            status in _WORST_FIRST and _WORST_FIRST.index(status) < _WORST_FIRST.index(known)
        ):
            progress.statuses[node] = status


def _paths(plan: Plan, above: str = "") -> Iterable[str]:
    for place in plan.places[1:-1]:
        yield above + place.name
        if place.plan is not None:
            yield from _paths(place.plan, f"{above}{place.name}/")


def _count_edges(progress: Progress, plan: Plan, log: _Log, unfinished: set[str]) -> None:
    open_firings = {above for step in unfinished for above in _lineage(step)}
    scopes = {""} | {step.rpartition("/")[0] for step in [*log.finished, *unfinished]}
    for scope in {part for whole in scopes for part in _prefixes(whole)}:
        _follow_arrows(progress, plan, f"{scope}/{_START}" if scope else _START)
        if scope and firing_of(scope) not in open_firings:
            progress.counts[path_of(scope)] += 1
    departed = log.firings() - open_firings
    for firing in departed:
        _follow_arrows(progress, plan, firing)
    for firing, way, names in log.choices:
        _follow_way(progress, plan, firing, way, names)
    for firing, chosen in log.returned.items():
        place, inner = _placed(plan, firing)
        for router in place.routers if firing in departed else ():
            if router.choose is None:
                for name in chosen:
                    _take(progress, inner, firing, router.routes[name])


def _follow_arrows(progress: Progress, plan: Plan, firing: str) -> None:
    place, inner = _placed(plan, firing)
    for arrow in place.arrows:
        _take(progress, inner, firing, arrow.target)


def _follow_way(progress: Progress, plan: Plan, firing: str, way: int, names: list[str]) -> None:
    place, inner = _placed(plan, firing)
    if way < len(place.routers):
        routes = place.routers[way].routes
        for target in dict.fromkeys(routes[name] for name in names if name in routes):
            _take(progress, inner, firing, target)
        return
    target = place.spreads[way - len(place.routers)].target
    _take(progress, inner, firing, target)
    if not names:  # nothing to do for each of no items: the place was passed at once
        above = firing.rpartition("/")[0]
        _follow_arrows(progress, plan, f"{above}/{inner.places[target].name}".lstrip("/"))


def _take(progress: Progress, inner: Plan, firing: str, target: int) -> None:
    source = path_of(firing)
    above = source.rpartition("/")[0]
    progress.taken[source, f"{above}/{inner.places[target].name}".lstrip("/")] += 1


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
