"""Where the columns stand: wide enough for their boxes, far enough apart for the lines between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ropewalk.core.drawing.layout.boxes import Box, Link
from ropewalk.core.drawing.layout.layers import Layers

TRACK_GAP = 8.0
ARROW_ROOM = 12.0
"""Left of each column lines are level again, so that arrow heads lie straight."""
_NARROWEST, _WIDEST = 28.0, 130.0


@dataclass(kw_only=True, slots=True)
class Frame:
    """What is known of the picture while its lines are drawn."""

    boxes: Sequence[Box]
    links: Sequence[Link]
    layers: Layers
    tops: list[float]
    lefts: list[float] = field(default_factory=list[float])
    column_left: list[float] = field(default_factory=list[float])
    column_right: list[float] = field(default_factory=list[float])

    def leaves_y(self, item: int, number: int) -> float:
        """Return how far down link ``number`` leaves a box or bend."""
        if item >= len(self.boxes):
            return self.tops[item]
        return self.tops[item] + self.boxes[item].outlets[self.links[number].outlet].y

    def enters_y(self, item: int) -> float:
        return self.tops[item] + (self.boxes[item].inlet.y if item < len(self.boxes) else 0.0)

    def height(self, item: int) -> float:
        return self.boxes[item].height if item < len(self.boxes) else 0.0


def place_columns(frame: Frame, leaving: Sequence[int], entering: Sequence[int]) -> None:
    """Set the columns' sides and the boxes' lefts.

    ``leaving`` and ``entering`` say how many upright tracks there must be right and left of each column.
    """
    frame.lefts = [0.0] * len(frame.boxes)
    rises = _rises(frame)
    x = 0.0
    for column, items in enumerate(frame.layers.columns):
        boxes = [item for item in items if item < len(frame.boxes)]
        width = max((frame.boxes[item].width for item in boxes), default=0.0)
        if column:
            x += min(_NARROWEST + 0.16 * rises[column - 1], _WIDEST)
            x += ARROW_ROOM + TRACK_GAP * entering[column]
        for item in boxes:
            frame.lefts[item] = x + (width - frame.boxes[item].width) / 2
        frame.column_left.append(x)
        x += width
        frame.column_right.append(x)
        x += TRACK_GAP * (leaving[column] + 1) if leaving[column] else 0.0


def _rises(frame: Frame) -> list[float]:
    """Return, for the space right of each column, how far up or down the steepest line goes there."""
    rises = [0.0] * len(frame.layers.columns)
    for number, chain in frame.layers.chains.items():
        for source, target in pairwise(chain):
            column = frame.layers.column_of[source]
            rise = abs(frame.enters_y(target) - frame.leaves_y(source, number))
            rises[column] = max(rises[column], rise)
    return rises
