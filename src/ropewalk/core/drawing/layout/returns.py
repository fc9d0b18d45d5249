"""Lines that run around the columns: the ways back of loops, and bows from a box to itself.

1. Each chooses between under and over the columns by what stands in its way.
2. It leaves and enters a box from there where no other box is in the way, otherwise from the side, on an
   upright track of its own beside the column.
3. It gets a lane of its own, short ones the inner lanes, so that loops within loops don't cross.
"""

from collections import defaultdict
from dataclasses import dataclass

from ropewalk.core.drawing.layout.boxes import Point, Port
from ropewalk.core.drawing.layout.columns import ARROW_ROOM, TRACK_GAP, Frame

LANE_GAP = 16.0
_MOST_CELLS = 256
"""Lanes look for free height in so many stretches of the picture at most."""
_BLOCKED = 3


@dataclass(kw_only=True, slots=True)
class Return:
    """How one link runs around the columns."""

    number: int
    source: int
    target: int
    outlet: int
    below: bool
    leaves_upright: bool
    enters_upright: bool
    leaves_at: float = 0.0
    """Upright: how far from the box's left. From the side: the number of its track."""
    enters_at: float = 0.0
    lane: float = 0.0


def plan_returns(frame: Frame) -> list[Return]:
    """Return the ways of the links around the columns, the shortest first."""
    column_of = frame.layers.column_of
    returns = [_return(number, frame) for number in frame.layers.around]
    returns.sort(key=lambda way: abs(column_of[way.source] - column_of[way.target]))
    _share_contacts(returns, frame)
    return returns


def _return(number: int, frame: Frame) -> Return:
    link = frame.links[number]
    leave, enter = frame.boxes[link.source].outlets[link.outlet], frame.boxes[link.target].inlet
    ways: list[tuple[int, int, bool]] = []
    for below in (True, False):
        ways.append(
            (
                _hindrance(leave, link.source, frame, below),
                _hindrance(enter, link.target, frame, below),
                below,
            )
        )
    if link.source == link.target:
        ways = [(0 if leave.from_below else _BLOCKED, 0, True)]
    leaving, entering, below = min(ways, key=lambda way: way[0] + way[1])
    return Return(
        number=number,
        source=link.source,
        target=link.target,
        outlet=link.outlet,
        below=below,
        leaves_upright=leaving < _BLOCKED,
        enters_upright=entering < _BLOCKED,
    )


def _hindrance(port: Port, box: int, frame: Frame, below: bool) -> int:
    """Return how bad the way out of the column is: free, over lines only, or blocked by a box."""
    if not (port.from_below if below else port.from_above):
        return _BLOCKED
    column = frame.layers.columns[frame.layers.column_of[box]]
    at = column.index(box)
    beyond = column[at + 1 :] if below else column[:at]
    if any(item < len(frame.boxes) for item in beyond):
        return _BLOCKED
    return 1 if beyond else 0


def _share_contacts(returns: list[Return], frame: Frame) -> None:
    """Spread upright lines where several touch one side of a box: entering ones left, leaving ones right."""
    touching: dict[tuple[int, bool, float, float], list[tuple[Return, bool]]] = defaultdict(list)
    for way in reversed(returns):
        if way.enters_upright:
            port = frame.boxes[way.target].inlet
            touching[way.target, way.below, port.left, port.right].append((way, True))
    for way in returns:
        if way.leaves_upright:
            port = frame.boxes[way.source].outlets[way.outlet]
            touching[way.source, way.below, port.left, port.right].append((way, False))
    for (_, _, left, right), contacts in touching.items():
        for index, (way, enters) in enumerate(contacts, 1):
            x = left + (right - left) * index / (len(contacts) + 1)
            if enters:
                way.enters_at = x
            else:
                way.leaves_at = x


def share_tracks(returns: list[Return], frame: Frame) -> tuple[list[int], list[int]]:
    """Give a track to each line that can't go upright; return how many are right and left of each column."""
    leaving = [0] * len(frame.layers.columns)
    entering = [0] * len(frame.layers.columns)
    for way in returns:
        source, target = frame.layers.column_of[way.source], frame.layers.column_of[way.target]
        if not way.leaves_upright and way.source != way.target:
            way.leaves_at = leaving[source]
            leaving[source] += 1
        if not way.enters_upright:
            way.enters_at = entering[target]
            entering[target] += 1
    return leaving, entering


def assign_lanes(returns: list[Return], frame: Frame) -> None:
    """Give each return the innermost free lane under or over the columns that it passes."""
    width = -(-len(frame.layers.columns) // _MOST_CELLS)
    lowest = [float("-inf")] * (len(frame.layers.columns) // width + 1)
    highest = [float("inf")] * len(lowest)
    for item, top in enumerate(frame.tops):
        cell = frame.layers.column_of[item] // width
        lowest[cell] = max(lowest[cell], top + frame.height(item))
        highest[cell] = min(highest[cell], top)
    for way in returns:
        first, last = sorted(frame.layers.column_of[box] // width for box in (way.source, way.target))
        cells = slice(first, last + 1)
        if way.source == way.target:
            way.lane = frame.tops[way.source] + frame.height(way.source)
        elif way.below:
            way.lane = max(lowest[cells]) + LANE_GAP
            lowest[cells] = [way.lane] * (last + 1 - first)
        else:
            way.lane = min(highest[cells]) - LANE_GAP
            highest[cells] = [way.lane] * (last + 1 - first)


def draw_return(way: Return, frame: Frame) -> tuple[Point, ...]:
    start, end = _beginning(way, frame), _ending(way, frame)
    return (*start, (start[-1][0], way.lane), (end[0][0], way.lane), *end)


def _beginning(way: Return, frame: Frame) -> tuple[Point, ...]:
    left, top = frame.lefts[way.source], frame.tops[way.source]
    port = frame.boxes[way.source].outlets[way.outlet]
    if way.leaves_upright:
        return ((left + way.leaves_at, top + (port.bottom if way.below else port.top)),)
    x = left + frame.boxes[way.source].width
    if way.source != way.target:
        x = frame.column_right[frame.layers.column_of[way.source]] + TRACK_GAP * (way.leaves_at + 1)
    return (left + port.x, top + port.y), (x, top + port.y)


def _ending(way: Return, frame: Frame) -> tuple[Point, ...]:
    left, top = frame.lefts[way.target], frame.tops[way.target]
    port = frame.boxes[way.target].inlet
    if way.enters_upright:
        return ((left + way.enters_at, top + (port.bottom if way.below else port.top)),)
    x = frame.column_left[frame.layers.column_of[way.target]] - ARROW_ROOM - TRACK_GAP * way.enters_at
    return (x, top + port.y), (left + port.x, top + port.y)
