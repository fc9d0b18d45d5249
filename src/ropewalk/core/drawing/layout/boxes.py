"""What a layout is given and what it gives back: boxes, links between them, and where all of it lies."""

from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """Where lines touch a box, measured from the box's upper left corner.

    Lines that run forward touch it at ``x``, ``y`` from the side. A line that returns may touch the rectangle from
    below or above, unless something of the same box is in the way.
    """

    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    from_above: bool = True
    from_below: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    width: float
    height: float
    inlet: Port
    outlets: tuple[Port, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A line to draw from an outlet of one box to the inlet of another, or of the same."""

    source: int
    target: int
    outlet: int = 0
    chosen: bool = False
    """It may be taken or not; rather such a link is taken to close a loop than another."""
    hidden: bool = False
    """Counts when the boxes are placed, but is not drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Where a link runs.

    Between two points of different height the line of a curved route swings from level to level; other routes have
    level and upright stretches only.
    """

    points: tuple[Point, ...]
    curved: bool
    back: bool
    """It leads back to where its walk came from: it closes a loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    width: float
    height: float
    corners: tuple[Point, ...]
    """The upper left corner of each box."""
    routes: tuple[Route | None, ...]
    """The route of each link; None for a hidden one."""
