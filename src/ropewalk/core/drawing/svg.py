"""A picture as SVG: one self-contained element, readable in light and dark, its parts marked for scripts."""

from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from itertools import pairwise

from ropewalk.core.drawing.figures import PADDING, TITLE_HEIGHT, Picture
from ropewalk.core.drawing.layout.boxes import Point, Route
from ropewalk.core.drawing.outline import Line, Outline
from ropewalk.core.drawing.paths import bow, curve, number, tip
from ropewalk.core.drawing.progress import Progress
from ropewalk.core.drawing.shapes import attribute, plural, write_shape
from ropewalk.core.drawing.style import ROOT, stylesheet
from ropewalk.core.drawing.text import TIMES, clean

MARGIN = 20.0


def write_svg(outline: Outline, picture: Picture, progress: Progress, *, paper: bool = True) -> str:
    """Return the SVG element of ``picture``; without ``paper`` what lies under it shines through."""
    width, height = number(picture.layout.width + 2 * MARGIN), number(picture.layout.height + 2 * MARGIN)
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{ROOT}" role="img" '
            f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
            f"<title>{escape(f'Graph {outline.name}')}</title>",
            f"<desc>{escape(_summary(outline, progress.statuses))}</desc>",
            f"<style>{stylesheet(statuses=progress.statuses is not None)}</style>",
            f'<rect class="paper" width="{width}" height="{height}" rx="12"/>' if paper else "",
            *_level(picture, progress, (MARGIN, MARGIN)),
            "</svg>",
        ]
    )


def _summary(outline: Outline, statuses: Mapping[str, str] | None) -> str:
    nodes, edges = _sizes(outline)
    words = [f"{plural(nodes, 'node')}, {plural(edges, 'edge')}"]
    words += [f"{count} {clean(status)}" for status, count in Counter((statuses or {}).values()).items()]
    return ", ".join(words)


def _sizes(outline: Outline) -> tuple[int, int]:
    """Return how many nodes and edges there are, at every depth; START and END are no nodes."""
    nodes, edges = len(outline.shapes) - 2, len(outline.lines)
    for shape in outline.shapes:
        if shape.inner:
            inner = _sizes(shape.inner)
            nodes, edges = nodes + inner[0], edges + inner[1]
    return nodes, edges


def _level(picture: Picture, progress: Progress, at: Point) -> Iterator[str]:
    """Write one plan: groups and what is in them at the bottom, lines over them, other shapes on top."""
    places = [(x + at[0], y + at[1]) for x, y in picture.layout.corners]
    shapes = list(zip(picture.figures, places, strict=True))
    for figure, place in shapes:
        if figure.inner:
            yield write_shape(figure, place, progress)
            room = figure.body.width - 2 * PADDING - figure.inner.layout.width
            inside = (place[0] + PADDING + room / 2, place[1] + figure.body.y + TITLE_HEIGHT)
            yield '<g class="inside">'
            yield from _level(figure.inner, progress, inside)
            yield "</g>"
    paths = [figure.shape.path for figure in picture.figures]
    for line, route in zip(picture.lines, picture.layout.routes, strict=False):
        if route:
            yield _edge(line, (paths[line.source], paths[line.target]), route, at, progress)
    for figure, place in shapes:
        if not figure.inner:
            yield write_shape(figure, place, progress)


def _edge(line: Line, ends: tuple[str, str], route: Route, at: Point, progress: Progress) -> str:
    times = progress.taken.get(ends, 0)
    title = f"{ends[0]} → {ends[1]}" + (f", chosen by {line.label}" if line.label else "")
    marks = f'data-edge={attribute(f"{ends[0]}->{ends[1]}")} data-kind="{line.kind}"'
    if route.back:
        marks += ' data-back="true"'
    if times:
        marks += f' data-taken="{times}"'
        title += f", taken {plural(times, 'time')}"
    points = [(x + at[0], y + at[1]) for x, y in route.points]
    head, shaft = tip(points)
    drawn = curve(shaft) if route.curved else bow(shaft)
    return (
        f'<g class="edge {line.kind}{" taken" if times else ""}" {marks}>'
        f"<title>{escape(clean(title))}</title>"
        f'<path class="wire" d="{drawn}"/><path class="head" d="{head}"/>'
        f"{_times(points, times) if times > 1 else ''}</g>"
    )


def _times(points: list[Point], times: int) -> str:
    """Write how often a line was taken at the middle of its longest stretch."""
    stretches = list(pairwise(points))
    (x, y), (end_x, end_y) = max(stretches, key=lambda ends: abs(ends[0][0] - ends[1][0]))
    place = f'x="{number((x + end_x) / 2)}" y="{number((y + end_y) / 2 - 4)}"'
    return f'<text class="times middle" {place}>{TIMES}{times}</text>'
