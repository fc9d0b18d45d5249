"""A layered layout: boxes in columns from left to right, loops as return lines under or over them.

1. The links that close a loop (``loops``), and the column of each box without them
   (``layers``).
2. The order within each column, for few crossings (``order``).
3. How far down each box stands, for straight lines (``rows``).
4. Where the columns stand (``columns``) and how the lines run (``lines``, ``returns``).

A thousand boxes take about a second; of a picture that nobody could follow anyway the order is only sketched.
"""

from collections.abc import Sequence

from ropewalk.core.drawing.layout.boxes import Box, Layout, Link, Point, Route
from ropewalk.core.drawing.layout.layers import find_layers
from ropewalk.core.drawing.layout.lines import draw_lines
from ropewalk.core.drawing.layout.order import order_columns
from ropewalk.core.drawing.layout.rows import place_rows


def lay_out(boxes: Sequence[Box], links: Sequence[Link]) -> Layout:
    """Place ``boxes``, the first one leftmost, and draw ``links`` between them."""
    layers = find_layers(len(boxes), links)
    order_columns(boxes, links, layers)
    tops = place_rows(boxes, links, layers)
    lefts, routes = draw_lines(boxes, links, layers, tops)
    corners = list(zip(lefts, tops, strict=False))
    return _moved_to_origin(boxes, corners, routes)


def _moved_to_origin(boxes: Sequence[Box], corners: list[Point], routes: list[Route | None]) -> Layout:
    points = [point for route in routes if route for point in route.points]
    edges = [
        *corners,
        *((x + box.width, y + box.height) for (x, y), box in zip(corners, boxes, strict=True)),
        *points,
    ]
    left, top = min(x for x, _ in edges), min(y for _, y in edges)
    return Layout(
        width=max(x for x, _ in edges) - left,
        height=max(y for _, y in edges) - top,
        corners=tuple((x - left, y - top) for x, y in corners),
        routes=tuple(route and _moved(route, left, top) for route in routes),
    )


def _moved(route: Route, left: float, top: float) -> Route:
    points = tuple((x - left, y - top) for x, y in route.points)
    return Route(points=points, curved=route.curved, back=route.back)
