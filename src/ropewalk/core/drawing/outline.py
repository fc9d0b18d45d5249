"""What there is to draw of a plan: shapes and lines with their words, as yet without a place or a format."""

from dataclasses import dataclass
from typing import Literal

from ropewalk.core.drawing.text import TIMES, clean
from ropewalk.core.plan import Place, Plan, Router

ShapeKind = Literal["start", "end", "node", "choice", "group"]
LineKind = Literal["arrow", "router", "map"]
NoteKind = Literal["fan", "names", "pause"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A few words under a name: how often it runs, where the run pauses."""

    kind: NoteKind
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """A router that is drawn with a sign of its own where its lines leave the shape."""

    edge: int
    label: str
    """The name of the callable; empty when the node itself chooses."""
    unknown: bool
    """Its routes could not be found: a question mark is drawn in place of lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """One place of the plan."""

    path: str
    """Names from the outermost plan down, joined by slashes: the node path of steps and statuses."""
    label: str
    kind: ShapeKind
    """``choice`` is a node that chooses by what it returns."""
    notes: tuple[Note, ...]
    exits: tuple[Exit, ...]
    inner: "Outline | None"

    @property
    def stacked(self) -> bool:
        return any(note.kind == "fan" for note in self.notes)

    @property
    def asks(self) -> bool:
        """It has a router that may lead anywhere."""
        return any(exit.unknown for exit in self.exits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """An edge to one of its targets; ``source`` and ``target`` are positions in the outline's shapes."""

    edge: int
    source: int
    target: int
    kind: LineKind
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """The shapes and lines of one plan; START is the first shape, END the last."""

    name: str
    shapes: tuple[Shape, ...]
    lines: tuple[Line, ...]


def outline(plan: Plan, above: str = "") -> Outline:
    """Return what there is to draw of ``plan``; ``above`` is put before each path."""
    shapes = tuple(_shape(place, above) for place in plan.places)
    lines = [line for place in plan.places for line in _lines(place)]
    return Outline(name=clean(plan.name), shapes=shapes, lines=tuple(lines))


def _shape(place: Place, above: str) -> Shape:
    path = above + place.name
    label = place.kind if place.kind in {"start", "end"} else clean(place.node) or "(no name)"
    return Shape(
        path=path,
        label=label,
        kind=_kind(place),
        notes=tuple(_notes(place)),
        exits=tuple(
            Exit(edge=router.edge, label=_router_label(router), unknown=router.open)
            for router in place.routers
            if router.choose or router.open
        ),
        inner=outline(place.plan, f"{path}/") if place.plan else None,
    )


def _kind(place: Place) -> ShapeKind:
    if place.plan:
        return "group"
    if place.kind in {"start", "end"}:
        return "start" if place.kind == "start" else "end"
    return "choice" if any(router.choose is None for router in place.routers) else "node"


def _notes(place: Place) -> list[Note]:
    notes: list[Note] = []
    if place.fan == "map":
        notes.append(Note(kind="fan", text="for each item"))
    elif place.fan:
        how = "parallel" if place.fan == "parallel" else "in sequence"
        notes.append(Note(kind="fan", text=f"{TIMES}{place.repeat} {how}"))
    if place.labels:
        notes.append(Note(kind="names", text=clean(", ".join(place.labels))))
    if place.interrupt:
        notes.append(Note(kind="pause", text=f"pause {place.interrupt}"))
    return notes


def _lines(place: Place) -> list[Line]:
    """Return the lines that leave ``place`` in the order of its edges, those on the same way as one line."""
    found: dict[tuple[int, LineKind, int], Line] = {}

    def add(edge: int, target: int, kind: LineKind, label: str = "", way: int = -1) -> None:
        line = Line(edge=edge, source=place.index, target=target, kind=kind, label=label)
        found.setdefault((target, kind, way), line)

    for arrow in place.arrows:
        add(arrow.edge, arrow.target, "arrow")
    for spread in place.spreads:
        add(spread.edge, spread.target, "map")
    for router in place.routers:
        for target in () if router.open else router.routes.values():
            way = router.edge if router.choose else -1
            add(router.edge, target, "router", _router_label(router), way)
    return sorted(found.values(), key=lambda line: line.edge)


def _router_label(router: Router) -> str:
    return clean(router.label) or "router" if router.choose else ""
