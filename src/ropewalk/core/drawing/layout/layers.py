"""Into which column each box goes, and which links are drawn around the columns instead of through them.

1. Without the links that close a loop (``loops``), a box stands one column behind the last of its
   predecessors; the last box ends the picture.
2. A link that skips columns gets a bend in each of them, so that no box is put in its way. Where that would
   take more bends than anybody could follow, the longest links are led around everything instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ropewalk.core.drawing.layout.boxes import Link
from ropewalk.core.drawing.layout.loops import find_back_links

MOST_BENDS = 12_000


@dataclass(kw_only=True, slots=True)
class Layers:
    """Items in columns. Items below the number of boxes are boxes, the others bends of long links."""

    columns: list[list[int]]
    column_of: list[int]
    chains: dict[int, list[int]]
    """Link -> its source, bends and target, for links drawn through the columns."""
    back: set[int]
    around: list[int]
    """Links drawn around the columns."""


def find_layers(count: int, links: Sequence[Link]) -> Layers:
    """Put ``count`` boxes and the bends of their links into columns, in no order yet."""
    back = find_back_links(count, links)
    column_of = _columns(count, links, back)
    spans = {
        number: column_of[link.target] - column_of[link.source]
        for number, link in enumerate(links)
        if number not in back and not link.hidden
    }
    around = [number for number in sorted(back) if not links[number].hidden]
    bends = sum(span - 1 for span in spans.values())
    for number in sorted(spans, key=lambda number: -spans[number]):
        if bends <= MOST_BENDS:
            break
        bends -= spans.pop(number) - 1
        around.append(number)
    chains = {number: _chain(links[number], column_of) for number in sorted(spans)}
    columns: list[list[int]] = [[] for _ in range(max(column_of, default=-1) + 1)]
    for item, column in enumerate(column_of):
        columns[column].append(item)
    return Layers(columns=columns, column_of=column_of, chains=chains, back=back, around=around)


def _chain(link: Link, column_of: list[int]) -> list[int]:
    """Return the items along ``link``, adding a bend to ``column_of`` for every column it passes."""
    chain = [link.source]
    for column in range(column_of[link.source] + 1, column_of[link.target]):
        chain.append(len(column_of))
        column_of.append(column)
    return [*chain, link.target]


def _columns(count: int, links: Sequence[Link], back: set[int]) -> list[int]:
    following: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for number, link in enumerate(links):
        if number not in back:
            following[link.source].append(link.target)
            waiting[link.target] += 1
    column_of = [min(1, box) for box in range(count)]
    ready = [box for box in range(count) if not waiting[box]]
    for box in ready:
        for target in following[box]:
            column_of[target] = max(column_of[target], column_of[box] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if count and not following[-1]:
        column_of[-1] = max(column_of)
    return column_of
