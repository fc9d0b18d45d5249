"""How far down each item stands: as level with its neighbours as the order of the columns allows.

For each column this is solved exactly: the items that would overlap where they want to be become one block, and a block
stands where the weighted sum of the distances to what its items want is least. So a line of single nodes is straight,
two equal branches lie evenly around their fork, and the lighter of two unequal ones steps aside. Bends have next to no
weight in this; when the boxes stand, long links are drawn as straight as the boxes leave room for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ropewalk.core.drawing.layout.boxes import Box, Link
from ropewalk.core.drawing.layout.layers import Layers

BOX_GAP = 24.0
BEND_GAP = 18.0
_LARGE_BLOCK = 256
"""From here on a block stands at the mean of what its items want: quick, and nobody sees the difference."""

_LIGHT = 0.01
"""The weight of a bend's wishes: they count where no box has any."""
_ROUNDS = 3

_Pull = tuple[int, float, float]
"""(neighbour, how far below the neighbour's top this item's top wants to be, weight)"""


@dataclass(slots=True)
class _Block:
    first: int
    count: int
    height: float
    wishes: list[tuple[float, float]]
    """(where the block's top should be for one item, weight), sorted"""
    top: float = 0.0
    total: float = field(default=0.0)
    weight: float = field(default=0.0)


def place_rows(boxes: Sequence[Box], links: Sequence[Link], layers: Layers) -> list[float]:
    """Return the top of each item."""
    before, after = _pulls(boxes, links, layers)
    heights = [box.height for box in boxes] + [0.0] * (len(layers.column_of) - len(boxes))
    gaps = [_gaps(column, len(boxes)) for column in layers.columns]
    tops = [0.0] * len(heights)
    for column, gap in zip(layers.columns, gaps, strict=True):
        _stack(column, gap, heights, tops)
    count = len(layers.columns)
    for pulls, steps in (
        ([before], range(1, count)),
        ([after], range(count - 2, -1, -1)),
        ([before], range(1, count)),
        ([before, after], range(count - 1, -1, -1)),
        ([before, after], range(count)),
    ):
        for step in steps:
            _settle(layers.columns[step], gaps[step], heights, tops, pulls)
    _straighten(boxes, links, layers, gaps, tops)
    return tops


def _pulls(boxes: Sequence[Box], links: Sequence[Link], layers: Layers) -> tuple[list[list[_Pull]], list[list[_Pull]]]:
    before: list[list[_Pull]] = [[] for _ in layers.column_of]
    after: list[list[_Pull]] = [[] for _ in layers.column_of]
    for number, chain in layers.chains.items():
        link = links[number]
        for source, target in pairwise(chain):
            leaves = boxes[source].outlets[link.outlet].y if source < len(boxes) else 0.0
            enters = boxes[target].inlet.y if target < len(boxes) else 0.0
            before[target].append((source, leaves - enters, _weight(target, source, len(boxes))))
            after[source].append((target, enters - leaves, _weight(source, target, len(boxes))))
    return before, after


def _weight(item: int, near: int, boxes: int) -> float:
    if item >= boxes:
        return _LIGHT
    return 2.0 if near < boxes else 1.0


def _gaps(column: list[int], boxes: int) -> list[float]:
    """Return the room below each item of a column but the last."""
    return [BOX_GAP if upper < boxes and lower < boxes else BEND_GAP for upper, lower in pairwise(column)]


def _stack(column: list[int], gaps: list[float], heights: list[float], tops: list[float]) -> None:
    """Put the items of a column close together, their middle at 0."""
    top = -(sum(heights[item] for item in column) + sum(gaps)) / 2
    for item, gap in zip(column, [*gaps, 0.0], strict=True):
        tops[item] = top
        top += heights[item] + gap


def _settle(
    column: list[int],
    gaps: list[float],
    heights: list[float],
    tops: list[float],
    pulls: list[list[list[_Pull]]],
) -> None:
    blocks: list[_Block] = []
    for index, item in enumerate(column):
        wishes = sorted((tops[near] + below, weight) for side in pulls for near, below, weight in side[item])
        wish = _median(wishes, tops[item], stay=len(pulls) > 1) if wishes else tops[item]
        weight = sum(weight for _, weight in wishes) or _LIGHT
        block = _Block(index, 1, heights[item], [(wish, weight)], wish, wish * weight, weight)
        while blocks and blocks[-1].top + blocks[-1].height + gaps[block.first - 1] > block.top:
            block = _joined(blocks.pop(), block, gaps)
        blocks.append(block)
    for block in blocks:
        top = block.top
        for index in range(block.first, block.first + block.count):
            tops[column[index]] = top
            top += heights[column[index]] + (gaps[index] if index < len(gaps) else 0.0)


def _joined(upper: _Block, lower: _Block, gaps: list[float]) -> _Block:
    shift = upper.height + gaps[lower.first - 1]
    joined = _Block(
        upper.first,
        upper.count + lower.count,
        shift + lower.height,
        [],
        total=upper.total + lower.total - shift * lower.weight,
        weight=upper.weight + lower.weight,
    )
    if joined.count > _LARGE_BLOCK:
        joined.top = joined.total / joined.weight
    else:
        joined.wishes = sorted([*upper.wishes, *((wish - shift, weight) for wish, weight in lower.wishes)])
        joined.top = _median(joined.wishes, upper.top, stay=False)
    return joined


def _median(wishes: list[tuple[float, float]], now: float, *, stay: bool) -> float:
    """Return where the weighted distance to all is least.

    Where that is a whole stretch, it is the middle of it, or to ``stay``, what of it is nearest to ``now``.
    """
    heavy = [wish for wish in wishes if wish[1] > _LIGHT * 2] or wishes
    half = sum(weight for _, weight in heavy) / 2
    passed = 0.0
    for index, (wish, weight) in enumerate(heavy):
        passed += weight
        if abs(passed - half) < _LIGHT / 4:
            other = heavy[index + 1][0]
            return min(max(now, wish), other) if stay else (wish + other) / 2
        if passed > half:
            return wish
    return heavy[-1][0]


def _straighten(
    boxes: Sequence[Box], links: Sequence[Link], layers: Layers, gaps: list[list[float]], tops: list[float]
) -> None:
    """Make long links level over as many columns as what stands above and below their bends allows.

    Links beside each other make room one after the other, the outer ones first; hence some rounds.
    """
    at = {item: index for column in layers.columns for index, item in enumerate(column)}
    long = [(links[number], chain) for number, chain in layers.chains.items() if len(chain) > 2]

    def room(bend: int) -> tuple[float, float]:
        column, index = layers.column_of[bend], at[bend]
        items, low, high = layers.columns[column], float("-inf"), float("inf")
        if index:
            above = items[index - 1]
            height = boxes[above].height if above < len(boxes) else 0.0
            low = tops[above] + height + gaps[column][index - 1]
        if index + 1 < len(items):
            high = tops[items[index + 1]] - gaps[column][index]
        return low, high

    for _ in range(_ROUNDS):
        for link, chain in long:
            level = tops[link.source] + boxes[link.source].outlets[link.outlet].y
            end = tops[link.target] + boxes[link.target].inlet.y
            for run, low, high in _runs(chain[1:-1], room):
                level = _level(level, end if run[-1] == chain[-2] else level, low, high)
                for bend in run:
                    tops[bend] = level


def _runs(bends: list[int], room: Callable[[int], tuple[float, float]]) -> list[tuple[list[int], float, float]]:
    """Split a chain's bends into the longest stretches that can be level, each with the room it has."""
    runs: list[tuple[list[int], float, float]] = []
    for bend in bends:
        low, high = room(bend)
        if runs and max(low, runs[-1][1]) <= min(high, runs[-1][2]):
            run, last_low, last_high = runs[-1]
            run.append(bend)
            runs[-1] = (run, max(low, last_low), min(high, last_high))
        else:
            runs.append(([bend], low, high))
    return runs


def _level(start: float, end: float, low: float, high: float) -> float:
    """Return the level of a stretch between ``low`` and ``high``: that of one of its ends, else near both."""
    for level in (start, end):
        if low <= level <= high:
            return level
    return min(max((start + end) / 2, low), high)
