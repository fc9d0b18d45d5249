"""From an outline to a picture: every shape measured and placed, groups from the inside out."""

from ropewalk.core.drawing.figures import Leaving, Picture, measure
from ropewalk.core.drawing.layout import lay_out
from ropewalk.core.drawing.layout.boxes import Link
from ropewalk.core.drawing.outline import Line, Outline, Shape


def compose(outline: Outline, *, icons: bool, depth: int = 0) -> Picture:
    """Measure and place everything; with ``icons`` each shape gets room for the sign of its status."""
    links = [
        Link(
            source=line.source,
            target=line.target,
            outlet=_outlet(outline.shapes[line.source], line),
            chosen=line.kind == "router",
        )
        for line in outline.lines
    ]
    plain = {link.source for link in links if not link.outlet}
    bowed = {link.source for link in links if link.source == link.target}
    figures = tuple(
        measure(
            shape,
            Leaving(plain=index in plain, bow=index in bowed),
            compose(shape.inner, icons=icons, depth=depth + 1) if shape.inner else None,
            icons=icons,
            depth=depth,
        )
        for index, shape in enumerate(outline.shapes)
    )
    layout = lay_out([figure.box for figure in figures], [*links, *_guesses(outline)])
    return Picture(figures=figures, lines=outline.lines, layout=layout)


def _outlet(shape: Shape, line: Line) -> int:
    """Return which outlet of its box a line leaves by: 0 is the body, then one for each pill."""
    edges = [exit.edge for exit in shape.exits]
    return edges.index(line.edge) + 1 if line.edge in edges else 0


def _guesses(outline: Outline) -> list[Link]:
    """Return hidden links that put what only unknown routes can lead to behind a router with such."""
    asking = [index for index, shape in enumerate(outline.shapes) if shape.asks]
    reached = {line.target for line in outline.lines} | {0, len(outline.shapes) - 1}
    return [
        Link(source=asking[0] if asking[0] != index else 0, target=index, hidden=True)
        for index in range(len(outline.shapes) if asking else 0)
        if index not in reached
    ]
