"""How large each shape is and what stands where in it; from that, a picture with a place for everything.

All measures are in pixels, from the upper left corner of the figure they belong to.
"""

from dataclasses import dataclass

from ropewalk.core.drawing_outline import Exit, Line, Note, Outline, Shape
from ropewalk.core.drawing_text import fit, text_width
from ropewalk.core.layout import lay_out
from ropewalk.core.layout_boxes import Box, Layout, Link, Point, Port

NAME_SIZE = 13.0
NOTE_SIZE = 11.0
LONGEST_NAME = 230.0
LONGEST_NOTE = 190.0
ICON = 20.0
"""Room for a sign and the air beside it."""
NOTE_ICON = 13.0
STACK = 4.0
"""How far a card of a stack shows under the one before."""
TITLE_HEIGHT = 32.0
PADDING = 18.0
BOW = 18.0
PILL_HEIGHT = 20.0
STUB = 34.0
"""Room for a question mark and the line to it."""
_PILL_AWAY = 12.0
_PILL_STEP = 28.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rect:
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Pill:
    """A router's sign, right of the shape that its lines leave."""

    rect: Rect
    text: str
    exit: Exit

    @property
    def far(self) -> float:
        """Where it ends on the right, the question mark included."""
        return self.rect.right + (STUB if self.exit.unknown else 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Leaving:
    """What else leaves a shape."""

    plain: bool
    """Lines without a pill."""
    bow: bool
    """A line to the shape itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    shape: Shape
    box: Box
    body: Rect
    """The shape itself, without its pills, its stack and the room for a bow."""
    label: str
    notes: tuple[Note, ...]
    pills: tuple[Pill, ...]
    stems: tuple[tuple[Point, Point], ...]
    """From the body to each pill, where there are any."""
    inner: "Picture | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    figures: tuple[Figure, ...]
    lines: tuple[Line, ...]
    layout: Layout
    """Its links are the lines, in the same order; hidden ones come after them."""


def compose(outline: Outline, *, icons: bool, depth: int = 0) -> Picture:
    """Measure and place everything; with ``icons`` each shape gets room for the sign of its status."""
    figures = tuple(_figure(index, outline, icons=icons, depth=depth) for index in range(len(outline.shapes)))
    links = [
        Link(source=line.source, target=line.target, outlet=_outlet(outline.shapes[line.source], line))
        for line in outline.lines
    ]
    layout = lay_out([figure.box for figure in figures], [*links, *_guesses(outline)])
    return Picture(figures=figures, lines=outline.lines, layout=layout)


def _outlet(shape: Shape, line: Line) -> int:
    """Return which outlet of the shape's box a line leaves by: 0 is the body, then one for each pill."""
    edges = [exit.edge for exit in shape.exits]
    return edges.index(line.edge) + 1 if line.label and line.edge in edges else 0


def _guesses(outline: Outline) -> list[Link]:
    """Return hidden links to shapes that only a router with unknown routes can lead to, so that they stand behind it."""
    asking = [index for index, shape in enumerate(outline.shapes) if any(exit.unknown for exit in shape.exits)]
    if not asking:
        return []
    reached = {line.target for line in outline.lines} | {0, len(outline.shapes) - 1}
    return [
        Link(source=asking[0] if asking[0] != index else 0, target=index, hidden=True)
        for index in range(len(outline.shapes))
        if index not in reached
    ]


def _figure(index: int, outline: Outline, *, icons: bool, depth: int) -> Figure:
    shape = outline.shapes[index]
    leaving = [line for line in outline.lines if line.source == index]
    way = _Leaving(
        plain=any(not _outlet(shape, line) for line in leaving),
        bow=any(line.target == index for line in leaving),
    )
    if shape.inner:
        return _group(shape, way, compose(shape.inner, icons=icons, depth=depth + 1), icons=icons)
    if shape.kind in {"start", "end"}:
        if depth:
            return _finished(shape, way, width=14.0, height=14.0)
        return _finished(shape, way, width=text_width(shape.label, 12.0) + 26.0, height=26.0, label=shape.label)
    label = fit(shape.label, NAME_SIZE, LONGEST_NAME)
    notes = _fitted(shape.notes)
    name = text_width(label, NAME_SIZE) + (ICON if icons else 0.0)
    width = max(name, 40.0, *map(note_width, notes)) + (44.0 if shape.kind == "choice" else 28.0)
    return _finished(shape, way, width=width, height=38.0 + 16.0 * len(notes), label=label, notes=notes)


def _group(shape: Shape, way: _Leaving, inner: Picture, *, icons: bool) -> Figure:
    label = fit(shape.label, NAME_SIZE, LONGEST_NAME)
    notes = _fitted(shape.notes)
    title = text_width(label, NAME_SIZE) + (ICON if icons else 0.0) + sum(note_width(note) + 14.0 for note in notes)
    enters, leaves = (
        TITLE_HEIGHT + inner.layout.corners[index][1] + inner.figures[index].body.middle for index in (0, -1)
    )
    return _finished(
        shape,
        way,
        width=max(inner.layout.width, title) + 2 * PADDING,
        height=inner.layout.height + TITLE_HEIGHT + PADDING,
        label=label,
        notes=notes,
        inner=inner,
        levels=(enters, leaves),
    )


def _fitted(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    return tuple(Note(kind=note.kind, text=fit(note.text, NOTE_SIZE, LONGEST_NOTE)) for note in notes)


def note_width(note: Note) -> float:
    return text_width(note.text, NOTE_SIZE) + (NOTE_ICON if note.kind == "pause" else 0.0)


def _finished(
    shape: Shape,
    way: _Leaving,
    *,
    width: float,
    height: float,
    label: str = "",
    notes: tuple[Note, ...] = (),
    inner: Picture | None = None,
    levels: tuple[float, float] | None = None,
) -> Figure:
    """Put pills and ports around a body of this size; lines enter and leave it at ``levels``, or else in the middle."""
    enters, leaves = levels or (height / 2, height / 2)
    stack = 2 * STACK if shape.stacked else 0.0
    slots = len(shape.exits) + way.plain if shape.exits else 0
    above = 0.0 if way.plain else max(0, slots - 1) / 2 * _PILL_STEP
    lift = max(0.0, above + PILL_HEIGHT / 2 - leaves)
    body = Rect(x=0.0, y=lift, width=width, height=height)
    fork = (width + stack, lift + leaves)
    heights = [fork[1] - above + slot * _PILL_STEP for slot in range(slots)]
    pills = [_pill(exit, fork[0], y) for exit, y in zip(shape.exits, heights[-len(shape.exits) :], strict=True)] if slots else []
    plain = (fork[0] + _PILL_AWAY, heights[0]) if slots and way.plain else fork
    box = Box(
        width=max([fork[0], plain[0], *(pill.far for pill in pills)]) + (_PILL_AWAY if way.bow and slots > 1 else 0.0),
        height=max([body.bottom + stack, *(pill.rect.bottom for pill in pills)]) + (BOW if way.bow else 0.0),
        inlet=_touched(body, (0.0, lift + enters), stack, shape, entering=True),
        outlets=(_touched(body, plain, stack, shape, entering=False), *_pill_ports(pills, alone=slots == 1)),
    )
    return Figure(
        shape=shape,
        box=box,
        body=body,
        label=label,
        notes=notes,
        pills=tuple(pills),
        stems=tuple((fork, end) for end in [plain, *((pill.rect.x, pill.rect.middle) for pill in pills)] if end != fork),
        inner=inner,
    )


def _pill(exit: Exit, x: float, y: float) -> Pill:
    if not exit.label:
        return Pill(rect=Rect(x=x, y=y - PILL_HEIGHT / 2, width=0.0, height=PILL_HEIGHT), text="", exit=exit)
    text = fit(exit.label, NOTE_SIZE, LONGEST_NOTE)
    width = text_width(text, NOTE_SIZE) + NOTE_ICON + 16.0
    return Pill(rect=Rect(x=x + _PILL_AWAY, y=y - PILL_HEIGHT / 2, width=width, height=PILL_HEIGHT), text=text, exit=exit)


def _touched(body: Rect, at: Point, stack: float, shape: Shape, *, entering: bool) -> Port:
    """Return the port of a body; a line from below touches a group near its beginning or end, other shapes anywhere."""
    left, right = body.x, body.right
    if shape.kind == "group":
        left, right = (left, left + 72.0) if entering else (right - 72.0, right)
    return Port(x=at[0], y=at[1], left=left, right=right, top=body.y, bottom=body.bottom + stack)


def _pill_ports(pills: list[Pill], *, alone: bool) -> list[Port]:
    return [
        Port(
            x=pill.rect.right,
            y=pill.rect.middle,
            left=pill.rect.x,
            right=pill.rect.right,
            top=pill.rect.y,
            bottom=pill.rect.bottom,
            from_above=alone,
            from_below=pill is pills[-1],
        )
        for pill in pills
    ]
