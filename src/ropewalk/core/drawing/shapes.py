"""One shape as SVG: its body, words and signs, what a run has done there, and the routers that leave it."""

from collections.abc import Iterator
from html import escape

from ropewalk.core.drawing.figures import (
    ICON,
    NAME_SIZE,
    NOTE_AWAY,
    NOTE_ICON,
    STACK,
    STUB,
    Figure,
    Pill,
    Rect,
    note_width,
)
from ropewalk.core.drawing.layout.boxes import Point
from ropewalk.core.drawing.outline import Note
from ropewalk.core.drawing.paths import curve, number
from ropewalk.core.drawing.progress import Progress
from ropewalk.core.drawing.style import DIAMOND, SIGNS
from ropewalk.core.drawing.text import TIMES, clean, legal, text_width

_BASELINE = 23.5
"""From the top of a node to the foot of its name; each note stands a line lower."""
_LINE = 16.0
_SIGN_UP = 11.5
_BLANKS = str.maketrans({"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})
"""Written plainly, a reader of XML would make spaces of them."""


def write_shape(figure: Figure, place: Point, progress: Progress) -> str:
    """Return the element of ``figure`` with its box's upper left corner at ``place``."""
    shape, status = figure.shape, (progress.statuses or {}).get(figure.shape.path)
    count = progress.counts.get(shape.path, 0)
    names = ["pole", shape.kind] if shape.kind in {"start", "end"} else ["node"]
    names += [shape.kind] if shape.kind in {"choice", "group"} else []
    names += [status] if status in SIGNS else []
    marks = f" data-status={attribute(status)}" if status else ""
    body = Rect(x=place[0], y=place[1] + figure.body.y, width=figure.body.width, height=figure.body.height)
    return "".join(
        [
            f'<g class="{" ".join(names)}" data-node={attribute(shape.path)}{marks}>',
            f"<title>{escape(_title(figure, status, count))}</title>",
            *_body(figure, body),
            *_words(figure, body, status),
            _badge(body, count) if count else "",
            "</g>",
            *_stems(figure, place),
            *(_pill(pill, place) for pill in figure.pills),
        ]
    )


def attribute(value: str) -> str:
    """Return ``value`` quoted for an attribute; only what XML can't hold is replaced."""
    return f'"{escape(legal(value)).translate(_BLANKS)}"'


def plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def _title(figure: Figure, status: str | None, count: int) -> str:
    words = [clean(status)] if status else []
    words += [f"ran {plural(count, 'time')}"] if count else []
    words += [note.text for note in figure.shape.notes]
    words += ["chooses where to go"] if figure.shape.kind == "choice" else []
    return clean(figure.shape.path) + (": " + ", ".join(words) if words else "")


def _body(figure: Figure, body: Rect) -> Iterator[str]:
    kind = figure.shape.kind
    radius = 12 if kind == "group" else 9
    for step in (2 * STACK, STACK) if figure.shape.stacked else ():
        card = Rect(x=body.x + step, y=body.y + step, width=body.width, height=body.height)
        yield _rect("card", card, radius)
    if kind == "choice":
        yield f'<path class="body" d="{_hexagon(body)}"/>'
        return
    yield _rect("body", body, body.height / 2 if kind in {"start", "end"} else radius)
    if kind == "end" and not figure.label:
        yield _rect("dot", Rect(x=body.x + 4, y=body.y + 4, width=body.width - 8, height=body.height - 8), 3)


def _rect(name: str, rect: Rect, radius: float) -> str:
    return (
        f'<rect class="{name}" x="{number(rect.x)}" y="{number(rect.y)}" width="{number(rect.width)}" '
        f'height="{number(rect.height)}" rx="{number(radius)}"/>'
    )


def _hexagon(body: Rect) -> str:
    left, right, top, bottom, middle = (number(v) for v in (body.x, body.right, body.y, body.bottom, body.middle))
    near, far = number(body.x + 13), number(body.right - 13)
    return f"M{left} {middle}L{near} {top}H{far}L{right} {middle}L{far} {bottom}H{near}Z"


def _words(figure: Figure, body: Rect, status: str | None) -> Iterator[str]:
    if figure.shape.kind == "group":
        yield from _group_title(figure, body, status)
        return
    middle = body.x + body.width / 2
    if figure.shape.kind in {"start", "end"}:
        if figure.label:
            yield _text("middle", middle, body.middle + 4.2, figure.label)
        return
    y, icon = body.y + _BASELINE, ICON if status in SIGNS else 0.0
    yield _sign(status, middle - (text_width(figure.label, NAME_SIZE) + icon) / 2, y - _SIGN_UP)
    yield _text("name middle", middle + icon / 2, y, figure.label)
    for line, note in enumerate(figure.notes, 1):
        yield _note(note, middle - note_width(note) / 2, y + _LINE * line)


def _group_title(figure: Figure, body: Rect, status: str | None) -> Iterator[str]:
    x, y = body.x + NOTE_AWAY, body.y + 21
    yield _sign(status, x, y - _SIGN_UP)
    x += ICON if status in SIGNS else 0.0
    yield _text("name", x, y, figure.label)
    x += text_width(figure.label, NAME_SIZE) + NOTE_AWAY
    for note in figure.notes:
        yield _note(note, x, y)
        x += note_width(note) + NOTE_AWAY


def _sign(status: str | None, x: float, y: float) -> str:
    if status not in SIGNS:
        return ""
    sign = f'<path class="sign{" turning" if status == "running" else ""}" d="{SIGNS[status]}"/>'
    return f'<g class="{status}" transform="translate({number(x)} {number(y)})">{sign}</g>'


def _text(name: str, x: float, y: float, text: str) -> str:
    return f'<text class="{name}" x="{number(x)}" y="{number(y)}">{escape(text)}</text>'


def _note(note: Note, x: float, y: float) -> str:
    """Write a note that begins at ``x``, its words in the middle of their room, however wide the font is."""
    room = note_width(note)
    if note.kind != "pause":
        return _text("note middle", x + room / 2, y, note.text)
    bars = f'<path class="pause" d="M{number(x)} {number(y - 8)}h3v8h-3zm5 0h3v8h-3z"/>'
    return bars + _text("note pause", x + NOTE_ICON, y, note.text)


def _badge(body: Rect, count: int) -> str:
    text = f"{TIMES}{count}"
    width = text_width(text, 11.0) + 12
    rect = Rect(x=body.right - width + 8, y=body.y - 9, width=width, height=17)
    words = _text("middle", rect.x + width / 2, rect.y + 12.5, text)
    return f'<g class="count">{_rect("", rect, 8.5)}{words}</g>'


def _stems(figure: Figure, place: Point) -> Iterator[str]:
    for start, end in figure.stems:
        ends = [(x + place[0], y + place[1]) for x, y in (start, end)]
        yield f'<path class="stem" d="{curve(ends)}"/>'


def _pill(pill: Pill, place: Point) -> str:
    rect = Rect(x=pill.rect.x + place[0], y=pill.rect.y + place[1], width=pill.rect.width, height=pill.rect.height)
    sign = ""
    if pill.text:
        diamond = f'<path d="{DIAMOND}" transform="translate({number(rect.x + 14)} {number(rect.middle)})"/>'
        words = _text("middle", rect.x + 20 + (rect.width - 26) / 2, rect.y + 14, pill.text)
        sign = _rect("", rect, 10) + diamond + words
    if not pill.exit.unknown:
        return f'<g class="pill">{sign}</g>'
    end, middle = number(rect.right + STUB - 20), number(rect.middle)
    stub = f'<path class="stub" d="M{number(rect.right)} {middle}H{end}"/>'
    mark = _rect("", Rect(x=rect.right + STUB - 20, y=rect.middle - 10, width=20, height=20), 10)
    words = _text("middle", rect.right + STUB - 10, rect.middle + 4, "?")
    return f'<g class="pill unknown"><title>routes unknown: any node</title>{sign}{stub}{mark}{words}</g>'
