"""Where the columns stand and how the lines run between them.

1. A forward line is level wherever it passes a column, and swings only in the free space between two columns: it can't
   run through a box.
2. A line that returns goes down (or up) to a lane of its own under (or over) all it passes, back, and up again. It
   leaves and enters a box from below where nothing is in the way, otherwise from the side, on an upright track between
   the columns. Short returns get the inner lanes.
3. A line from a box to itself is a small bow under the box, within the box's own height.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ropewalk.core.layout_boxes import Box, Link, Point, Port, Route
from ropewalk.core.layout_layers import Layers

LANE_GAP = 16.0
TRACK_GAP = 8.0
ARROW_ROOM = 12.0
_NARROWEST, _WIDEST = 28.0, 130.0
_PROFILE_CELLS = 256
"""Lanes look for free height in so many stretches of the picture at most."""


@dataclass(kw_only=True, slots=True)
class _Return:
    """How one link runs around the columns."""

    number: int
    link: Link
    below: bool
    leaves_upright: bool
    enters_upright: bool
    leaves_x: float = 0.0
    """Upright contact: distance from the box's left; otherwise the track's number."""
    enters_x: float = 0.0
    lane: float = 0.0


@dataclass(kw_only=True, slots=True)
class Frame:
    """What is known of the picture while its lines are drawn."""

    boxes: Sequence[Box]
    links: Sequence[Link]
    layers: Layers
    tops: list[float]
    lefts: list[float]
    column_left: list[float]
    column_right: list[float]


def draw_lines(
    boxes: Sequence[Box], links: Sequence[Link], layers: Layers, tops: list[float]
) -> tuple[list[float], list[Route | None]]:
    """Return the left of each box and the route of each link."""
    returns = [_plan_return(number, boxes, links, layers) for number in layers.around]
    returns.sort(key=lambda way: abs(layers.column_of[way.link.source] - layers.column_of[way.link.target]))
    _share_contacts(returns, boxes)
    leaving, entering = _share_tracks(returns, layers)
    frame = _frame(boxes, links, layers, tops, leaving, entering)
    _assign_lanes(returns, frame)
    routes: list[Route | None] = [None] * len(links)
    for number in layers.chains:
        if not links[number].hidden:
            points = _forward(number, frame)
            routes[number] = Route(points=points, curved=True, back=False)
    for way in returns:
        routes[way.number] = Route(points=_around(way, frame), curved=False, back=way.number in layers.back)
    return frame.lefts, routes


def _plan_return(number: int, boxes: Sequence[Box], links: Sequence[Link], layers: Layers) -> _Return:
    """Choose between under and over by what stands in the way; under when it is all the same."""
    link = links[number]
    leave, enter = boxes[link.source].outlets[link.outlet], boxes[link.target].inlet
    if link.source == link.target:
        below = (True, 0 if leave.from_below else 3, 0)
        return _return(number, link, below)
    ways = [
        (below, _hindrance(leave, link.source, below, boxes, layers), _hindrance(enter, link.target, below, boxes, layers))
        for below in (True, False)
    ]
    return _return(number, link, min(ways, key=lambda way: way[1] + way[2]))


def _return(number: int, link: Link, way: tuple[bool, int, int]) -> _Return:
    below, leave, enter = way
    return _Return(number=number, link=link, below=below, leaves_upright=leave < 3, enters_upright=enter < 3)


def _hindrance(port: Port, box: int, below: bool, boxes: Sequence[Box], layers: Layers) -> int:
    """Return 0 for a free way out of the column, 1 when only lines are crossed, 3 when a box is in the way."""
    if not (port.from_below if below else port.from_above):
        return 3
    column = layers.columns[layers.column_of[box]]
    at = column.index(box)
    beyond = column[at + 1 :] if below else column[:at]
    if any(item < len(boxes) for item in beyond):
        return 3
    return 1 if beyond else 0


def _share_contacts(returns: list[_Return], boxes: Sequence[Box]) -> None:
    """Spread upright lines evenly where several touch one side of a box: returning ones left, leaving ones right."""
    touching: dict[tuple[int, bool, float, float], list[tuple[_Return, bool]]] = defaultdict(list)
    for way in reversed(returns):
        if way.enters_upright:
            port = boxes[way.link.target].inlet
            touching[way.link.target, way.below, port.left, port.right].append((way, True))
    for way in returns:
        if way.leaves_upright:
            port = boxes[way.link.source].outlets[way.link.outlet]
            touching[way.link.source, way.below, port.left, port.right].append((way, False))
    for (_, _, left, right), contacts in touching.items():
        for index, (way, enters) in enumerate(contacts, 1):
            x = left + (right - left) * index / (len(contacts) + 1)
            if enters:
                way.enters_x = x
            else:
                way.leaves_x = x


def _share_tracks(returns: list[_Return], layers: Layers) -> tuple[list[int], list[int]]:
    """Give each line that can't go upright a track beside its column; return how many there are right and left of each."""
    leaving = [0] * len(layers.columns)
    entering = [0] * len(layers.columns)
    for way in returns:
        source, target = layers.column_of[way.link.source], layers.column_of[way.link.target]
        if not way.leaves_upright and way.link.source != way.link.target:
            way.leaves_x = leaving[source]
            leaving[source] += 1
        if not way.enters_upright:
            way.enters_x = entering[target]
            entering[target] += 1
    return leaving, entering


def _frame(
    boxes: Sequence[Box],
    links: Sequence[Link],
    layers: Layers,
    tops: list[float],
    leaving: list[int],
    entering: list[int],
) -> Frame:
    frame = Frame(
        boxes=boxes,
        links=links,
        layers=layers,
        tops=tops,
        lefts=[0.0] * len(boxes),
        column_left=[],
        column_right=[],
    )
    rises = _rises(frame)
    x = 0.0
    for column, items in enumerate(layers.columns):
        width = max((boxes[item].width for item in items if item < len(boxes)), default=0.0)
        if column:
            x += min(_NARROWEST + 0.16 * rises[column - 1], _WIDEST)
            x += ARROW_ROOM + TRACK_GAP * entering[column]
        frame.column_left.append(x)
        for item in items:
            if item < len(boxes):
                frame.lefts[item] = x + (width - boxes[item].width) / 2
        x += width
        frame.column_right.append(x)
        x += TRACK_GAP * (leaving[column] + 1) if leaving[column] else 0.0
    return frame


def _rises(frame: Frame) -> list[float]:
    """Return, for the space right of each column, how far up or down the steepest line goes there."""
    rises = [0.0] * len(frame.layers.columns)
    for number, chain in frame.layers.chains.items():
        for source, target in pairwise(chain):
            column = frame.layers.column_of[source]
            rise = abs(_enters_y(target, frame) - _leaves_y(source, number, frame))
            rises[column] = max(rises[column], rise)
    return rises


def _leaves_y(item: int, number: int, frame: Frame) -> float:
    if item >= len(frame.boxes):
        return frame.tops[item]
    return frame.tops[item] + frame.boxes[item].outlets[frame.links[number].outlet].y


def _enters_y(item: int, frame: Frame) -> float:
    return frame.tops[item] + (frame.boxes[item].inlet.y if item < len(frame.boxes) else 0.0)


def _forward(number: int, frame: Frame) -> tuple[Point, ...]:
    chain = frame.layers.chains[number]
    points: list[Point] = []
    for source, target in pairwise(chain):
        start, end = _leaves_y(source, number, frame), _enters_y(target, frame)
        column = frame.layers.column_of[source]
        x = frame.column_left[column]
        if source < len(frame.boxes):
            x = frame.lefts[source] + frame.boxes[source].outlets[frame.links[number].outlet].x
        points += [(x, start), (frame.column_right[column], start)]
        points.append((frame.column_left[column + 1] - ARROW_ROOM, end))
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


def _assign_lanes(returns: list[_Return], frame: Frame) -> None:
    """Give each return the innermost free lane over or under the columns that it passes."""
    columns = len(frame.layers.columns)
    width = -(-columns // _PROFILE_CELLS)
    lowest = [float("-inf")] * (columns // width + 1)
    highest = [float("inf")] * (columns // width + 1)
    for item, top in enumerate(frame.tops):
        cell = frame.layers.column_of[item] // width
        height = frame.boxes[item].height if item < len(frame.boxes) else 0.0
        lowest[cell] = max(lowest[cell], top + height)
        highest[cell] = min(highest[cell], top)
    for way in returns:
        ends = sorted((frame.layers.column_of[way.link.source], frame.layers.column_of[way.link.target]))
        cells = slice(ends[0] // width, ends[1] // width + 1)
        if way.link.source == way.link.target:
            way.lane = frame.tops[way.link.source] + frame.boxes[way.link.source].height
        elif way.below:
            way.lane = max(lowest[cells]) + LANE_GAP
            lowest[cells] = [way.lane] * len(lowest[cells])
        else:
            way.lane = min(highest[cells]) - LANE_GAP
            highest[cells] = [way.lane] * len(highest[cells])


def _around(way: _Return, frame: Frame) -> tuple[Point, ...]:
    source, target = way.link.source, way.link.target
    leave, enter = frame.boxes[source].outlets[way.link.outlet], frame.boxes[target].inlet
    left, top = frame.lefts[source], frame.tops[source]
    if way.leaves_upright:
        x = left + way.leaves_x
        start = [(x, top + (leave.bottom if way.below else leave.top))]
    elif source == target:
        x = left + frame.boxes[source].width
        start = [(left + leave.x, top + leave.y), (x, top + leave.y)]
    else:
        x = frame.column_right[frame.layers.column_of[source]] + TRACK_GAP * (way.leaves_x + 1)
        start = [(left + leave.x, top + leave.y), (x, top + leave.y)]
    left, top = frame.lefts[target], frame.tops[target]
    if way.enters_upright:
        end_x = left + way.enters_x
        end = [(end_x, top + (enter.bottom if way.below else enter.top))]
    else:
        end_x = frame.column_left[frame.layers.column_of[target]] - ARROW_ROOM - TRACK_GAP * way.enters_x
        end = [(end_x, top + enter.y), (left + enter.x, top + enter.y)]
    return (*start, (x, way.lane), (end_x, way.lane), *end)
