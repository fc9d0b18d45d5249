"""Lines as the path data of SVG: swings, round corners, arrow heads."""

from itertools import pairwise

from ropewalk.core.drawing.layout.boxes import Point

_CORNER = 10.0
_HEAD = 7.0


def number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def tip(points: list[Point]) -> tuple[str, list[Point]]:
    """Return the arrow head at the last point, and the points of a line that ends in the head."""
    (fx, fy), (x, y) = points[-2], points[-1]
    along = (0.0, 1.0 if y > fy else -1.0) if abs(x - fx) < 0.01 else (1.0, 0.0)
    back = (x - along[0] * _HEAD, y - along[1] * _HEAD)
    side = (along[1] * _HEAD * 0.5, along[0] * _HEAD * 0.5)
    corners = [(x, y), (back[0] + side[0], back[1] + side[1]), (back[0] - side[0], back[1] - side[1])]
    head = "M" + "L".join(f"{number(cx)} {number(cy)}" for cx, cy in corners) + "Z"
    return head, [*points[:-1], (x - along[0] * 4, y - along[1] * 4)]


def curve(points: list[Point]) -> str:
    """Draw a line that is level, or swings between two levels."""
    path = f"M{number(points[0][0])} {number(points[0][1])}"
    for (x, y), (next_x, next_y) in pairwise(points):
        if abs(y - next_y) < 0.01:
            path += f"H{number(next_x)}"
        else:
            middle = number((x + next_x) / 2)
            path += f"C{middle} {number(y)} {middle} {number(next_y)} {number(next_x)} {number(next_y)}"
    return path


def bow(points: list[Point]) -> str:
    """Draw a line of straight stretches with round corners."""
    path = f"M{number(points[0][0])} {number(points[0][1])}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _toward(corner, before), _toward(corner, after)
        path += f"L{number(start[0])} {number(start[1])}"
        path += f"Q{number(corner[0])} {number(corner[1])} {number(end[0])} {number(end[1])}"
    return path + f"L{number(points[-1][0])} {number(points[-1][1])}"


def _toward(corner: Point, other: Point) -> Point:
    x, y = other[0] - corner[0], other[1] - corner[1]
    length = max(abs(x), abs(y)) or 1.0
    share = min(_CORNER, length / 2) / length
    return corner[0] + x * share, corner[1] + y * share
