"""How large each shape is, and what stands where in it.

All measures are in pixels, from the upper left corner of the figure's box.
"""

from dataclasses import dataclass

from ropewalk.core.drawing.layout.boxes import Box, Layout, Point, Port
from ropewalk.core.drawing.outline import Exit, Line, Note, Shape
from ropewalk.core.drawing.text import fit, text_width

NAME_SIZE = 13.0
NOTE_SIZE = 11.0
POLE_SIZE = 12.0
LONGEST_NAME = 230.0
LONGEST_NOTE = 190.0
ICON = 20.0
"""Room for a sign and the air beside it."""
NOTE_ICON = 13.0
NOTE_AWAY = 14.0
STACK = 4.0
"""How far a card of a stack shows from under the one before."""
TITLE_HEIGHT = 32.0
PADDING = 18.0
STUB = 34.0
"""Room for a question mark and the line to it."""
_BOW = 18.0
_DOOR = 72.0
_PILL_HEIGHT = 20.0
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

    @property
    def beginning(self) -> Point:
        return self.rect.x, self.rect.middle


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A shape with its measures."""

    shape: Shape
    box: Box
    body: Rect
    """The shape itself, without its pills, its stack and the room for a bow."""
    label: str
    notes: tuple[Note, ...]
    pills: tuple[Pill, ...]
    stems: tuple[tuple[Point, Point], ...]
    """From the body to each pill."""
    inner: "Picture | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """The figures and lines of one plan, with a place for each."""

    figures: tuple[Figure, ...]
    lines: tuple[Line, ...]
    layout: Layout
    """Its routes are those of the lines, in the same order; what comes after them is not drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaving:
    """What leaves a shape."""

    plain: bool
    """Lines that come from no pill."""
    bow: bool
    """A line to the shape itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Content:
    """What a body holds, and how large that makes it."""

    width: float
    height: float
    enters: float
    """How far down lines enter; in a group, level with its START."""
    leaves: float
    label: str = ""
    notes: tuple[Note, ...] = ()
    inner: Picture | None = None


def measure(shape: Shape, leaving: Leaving, inner: Picture | None, *, icons: bool, depth: int) -> Figure:
    """Put pills and ports around the body of ``shape``; with ``icons`` it has room for a status."""
    if inner:
        content = _group(shape, inner, icons=icons)
    elif shape.kind in {"start", "end"}:
        content = _pole(shape, depth)
    else:
        content = _node(shape, icons=icons)
    stack = 2 * STACK if shape.stacked else 0.0
    slots = len(shape.exits) + (leaving.plain and bool(shape.exits))
    # Plain lines go on straight, with the pills under them; pills alone stand evenly around the middle.
    above = 0.0 if leaving.plain else max(0, slots - 1) / 2 * _PILL_STEP
    lift = max(0.0, above + _PILL_HEIGHT / 2 - content.leaves)
    body = Rect(x=0.0, y=lift, width=content.width, height=content.height)
    fork = (content.width + stack, lift + content.leaves)
    first = fork[1] - above + (slots - len(shape.exits)) * _PILL_STEP
    pills = tuple(_pill(exit, fork[0], first + slot * _PILL_STEP) for slot, exit in enumerate(shape.exits))
    right, bottom = (
        max([fork[0], *(pill.far for pill in pills)]),
        max([body.bottom + stack, *(pill.rect.bottom for pill in pills)]),
    )
    box = Box(
        width=right + (_PILL_AWAY if leaving.bow and slots > 1 else 0.0),
        height=bottom + (_BOW if leaving.bow else 0.0),
        inlet=_body_port(shape, body, (0.0, lift + content.enters), stack),
        outlets=(
            _body_port(shape, body, fork, stack),
            *(_pill_port(pill, first=slots == 1, last=pill is pills[-1]) for pill in pills),
        ),
    )
    return Figure(
        shape=shape,
        box=box,
        body=body,
        label=content.label,
        notes=content.notes,
        pills=pills,
        stems=tuple((fork, pill.beginning) for pill in pills if pill.text),
        inner=inner,
    )


def _node(shape: Shape, *, icons: bool) -> _Content:
    label, notes = fit(shape.label, NAME_SIZE, LONGEST_NAME), _fitted(shape.notes)
    name = text_width(label, NAME_SIZE) + (ICON if icons else 0.0)
    width = max(40.0, name, *map(note_width, notes)) + (44.0 if shape.kind == "choice" else 28.0)
    height = 38.0 + 16.0 * len(notes)
    return _Content(width=width, height=height, enters=height / 2, leaves=height / 2, label=label, notes=notes)


def _pole(shape: Shape, depth: int) -> _Content:
    """Measure START or END: a word outermost, a dot in a group."""
    if depth:
        return _Content(width=14.0, height=14.0, enters=7.0, leaves=7.0)
    width = text_width(shape.label, POLE_SIZE) + 26.0
    return _Content(width=width, height=26.0, enters=13.0, leaves=13.0, label=shape.label)


def _group(shape: Shape, inner: Picture, *, icons: bool) -> _Content:
    label, notes = fit(shape.label, NAME_SIZE, LONGEST_NAME), _fitted(shape.notes)
    title = text_width(label, NAME_SIZE) + (ICON if icons else 0.0)
    title += sum(note_width(note) + NOTE_AWAY for note in notes)
    enters, leaves = (
        TITLE_HEIGHT + inner.layout.corners[index][1] + inner.figures[index].body.middle for index in (0, -1)
    )
    return _Content(
        width=max(inner.layout.width, title) + 2 * PADDING,
        height=inner.layout.height + TITLE_HEIGHT + PADDING,
        enters=enters,
        leaves=leaves,
        label=label,
        notes=notes,
        inner=inner,
    )


def _fitted(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    return tuple(Note(kind=note.kind, text=fit(note.text, NOTE_SIZE, LONGEST_NOTE)) for note in notes)


def note_width(note: Note) -> float:
    return text_width(note.text, NOTE_SIZE) + (NOTE_ICON if note.kind == "pause" else 0.0)


def _pill(exit: Exit, x: float, middle: float) -> Pill:
    y = middle - _PILL_HEIGHT / 2
    if not exit.label:
        return Pill(rect=Rect(x=x, y=y, width=0.0, height=_PILL_HEIGHT), text="", exit=exit)
    text = fit(exit.label, NOTE_SIZE, LONGEST_NOTE)
    width = text_width(text, NOTE_SIZE) + NOTE_ICON + 16.0
    return Pill(rect=Rect(x=x + _PILL_AWAY, y=y, width=width, height=_PILL_HEIGHT), text=text, exit=exit)


def _body_port(shape: Shape, body: Rect, at: Point, stack: float) -> Port:
    """Return where lines touch a body: from above or below, a group only near its beginning or its end."""
    left, right = body.x, body.right
    if shape.kind == "group":
        left, right = (right - _DOOR, right) if at[0] else (left, left + _DOOR)
    return Port(x=at[0], y=at[1], left=left, right=right, top=body.y, bottom=body.bottom + stack)


def _pill_port(pill: Pill, *, first: bool, last: bool) -> Port:
    rect = pill.rect
    return Port(
        x=rect.right,
        y=rect.middle,
        left=rect.x,
        right=rect.right,
        top=rect.y,
        bottom=rect.bottom,
        from_above=first,
        from_below=last,
    )
