"""In which order the items of a column stand, so that few lines cross.

Each column is sorted by the mean position of what its items are linked to, forwards and backwards in turn; the order
with the fewest crossings is kept. It begins with the declared order, and ties leave it as it is.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ropewalk.core.drawing.layout.boxes import Box, Link
from ropewalk.core.drawing.layout.layers import Layers

MOST_SWEEPS = 16
SWEPT_ITEMS = 60_000
"""Sweeps times items: what a large picture may cost."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """For each item, what it is linked to in the column before and in the column after."""

    before: list[list[tuple[int, float]]]
    """(item, how far down in it the line leaves, from 0 to below 1)"""
    after: list[list[int]]


def order_columns(boxes: Sequence[Box], links: Sequence[Link], layers: Layers) -> None:
    """Sort ``layers.columns`` in place."""
    ends = _ends(boxes, links, layers)
    columns = _first_order(layers, ends)
    sweeps = min(MOST_SWEEPS, max(2, SWEPT_ITEMS // len(layers.column_of)))
    fewest = _crossings(columns, ends)
    best = columns
    for sweep in range(sweeps):
        if not fewest:
            break
        columns = _swept(columns, ends, forwards=sweep % 2 == 0)
        crossings = _crossings(columns, ends)
        if crossings < fewest:
            best, fewest = columns, crossings
    layers.columns = best


def _ends(boxes: Sequence[Box], links: Sequence[Link], layers: Layers) -> _Ends:
    before: list[list[tuple[int, float]]] = [[] for _ in layers.column_of]
    after: list[list[int]] = [[] for _ in layers.column_of]
    for number, chain in layers.chains.items():
        link = links[number]
        share = link.outlet / len(boxes[link.source].outlets)
        for source, target in pairwise(chain):
            before[target].append((source, share if source == link.source else 0.0))
            after[source].append(target)
    return _Ends(before, after)


def _first_order(layers: Layers, ends: _Ends) -> list[list[int]]:
    """Return the columns as a walk in declared order meets their items."""
    columns: list[list[int]] = []
    met: list[int] = []
    for column in layers.columns:
        reached = dict.fromkeys(target for source in met for target in ends.after[source])
        met = [*reached, *(item for item in column if item not in reached)]
        columns.append(met)
    return columns


def _swept(columns: list[list[int]], ends: _Ends, *, forwards: bool) -> list[list[int]]:
    swept = [*columns]
    steps = range(1, len(columns)) if forwards else range(len(columns) - 2, -1, -1)
    for step in steps:
        near = {item: position for position, item in enumerate(swept[step - 1 if forwards else step + 1])}
        keys: dict[int, float] = {}
        for position, item in enumerate(swept[step]):
            if forwards:
                ranks = [near[source] + share for source, share in ends.before[item]]
            else:
                ranks = [float(near[target]) for target in ends.after[item]]
            keys[item] = sum(ranks) / len(ranks) if ranks else float(position)
        swept[step] = sorted(swept[step], key=keys.__getitem__)
    return swept


def _crossings(columns: list[list[int]], ends: _Ends) -> int:
    """Count the pairs of lines that cross: inversions, found by keeping what was passed sorted."""
    crossings = 0
    for left, right in pairwise(columns):
        position = {item: index for index, item in enumerate(left)}
        passed: list[float] = []
        for item in right:
            starts = [position[source] + share for source, share in ends.before[item]]
            crossings += sum(len(passed) - bisect_right(passed, start) for start in starts)
            for start in starts:
                insort(passed, start)
    return crossings
