"""How the lines run, and with them where the columns stand.

A forward line is level wherever it passes a column and swings only in the free space between two columns: it can't run
through a box. What runs around the columns is left to ``returns``.
"""

from collections.abc import Sequence
from itertools import pairwise

from ropewalk.core.drawing.layout.boxes import Box, Link, Point, Route
from ropewalk.core.drawing.layout.columns import ARROW_ROOM, Frame, place_columns
from ropewalk.core.drawing.layout.layers import Layers
from ropewalk.core.drawing.layout.returns import assign_lanes, draw_return, plan_returns, share_tracks


def draw_lines(
    boxes: Sequence[Box], links: Sequence[Link], layers: Layers, tops: list[float]
) -> tuple[list[float], list[Route | None]]:
    """Return the left of each box and the route of each link."""
    frame = Frame(boxes=boxes, links=links, layers=layers, tops=tops)
    returns = plan_returns(frame)
    place_columns(frame, *share_tracks(returns, frame))
    assign_lanes(returns, frame)
    routes: list[Route | None] = [None] * len(links)
    for number in layers.chains:
        routes[number] = Route(points=_forward(number, frame), curved=True, back=False)
    for way in returns:
        routes[way.number] = Route(points=draw_return(way, frame), curved=False, back=way.number in layers.back)
    return frame.lefts, routes


def _forward(number: int, frame: Frame) -> tuple[Point, ...]:
    chain = frame.layers.chains[number]
    points: list[Point] = []
    for source, target in pairwise(chain):
        level = frame.leaves_y(source, number)
        column = frame.layers.column_of[source]
        x = frame.column_left[column]
        if source < len(frame.boxes):
            x = frame.lefts[source] + frame.boxes[source].outlets[frame.links[number].outlet].x
        points += [(x, level), (frame.column_right[column], level)]
        points.append((frame.column_left[column + 1] - ARROW_ROOM, frame.enters_y(target)))
    last = chain[-1]
    points.append((frame.lefts[last] + frame.boxes[last].inlet.x, points[-1][1]))
    return _without_stops(points)


def _without_stops(points: list[Point]) -> tuple[Point, ...]:
    """Leave out points that repeat the one before or lie on a level stretch between their neighbours."""
    kept: list[Point] = []
    for point in points:
        if kept and kept[-1] == point:
            continue
        if len(kept) > 1 and kept[-2][1] == kept[-1][1] == point[1]:
            kept.pop()
        kept.append(point)
    return tuple(kept)
