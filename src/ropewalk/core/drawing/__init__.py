"""A plan as a picture: SVG, Mermaid or DOT text. No binary, no font, no network is needed for it.

Nodes are named by their path (``load``, ``sub/check``), START and END by ``__start__`` and ``__end__``.
"""

from collections.abc import Mapping

from ropewalk.core.drawing.compose import compose
from ropewalk.core.drawing.dot import write_dot
from ropewalk.core.drawing.mermaid import write_mermaid
from ropewalk.core.drawing.outline import outline
from ropewalk.core.drawing.progress import Progress
from ropewalk.core.drawing.svg import write_svg
from ropewalk.core.plan import Plan


def to_svg(
    plan: Plan,
    *,
    statuses: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
    taken: Mapping[tuple[str, str], int] | None = None,
    transparent: bool = False,
) -> str:
    """Return ``plan`` as one SVG element, with what a run has done so far where that is given.

    ``statuses`` maps a node path to pending, running, waiting, failed or done; another word is shown, but not coloured.
    With a mapping, even an empty one, every node keeps room for its sign, so the picture of a run never moves.
    ``counts`` says how many steps ran at a node. ``taken`` says how often an edge was taken, by the paths of its two
    ends; it is never guessed from statuses, for a finished node doesn't tell which way the run came. Where it isn't
    ``transparent`` it brings its own background, light or dark as its viewer likes it.

    Parts are marked for scripts: ``data-node``, ``data-status``, ``data-edge`` (``source->target``), ``data-kind``
    (arrow, router, map), ``data-taken``, and ``data-back`` where an edge closes a loop.
    """
    shapes = outline(plan)
    progress = Progress(statuses=statuses, counts=counts or {}, taken=taken or {})
    return write_svg(shapes, compose(shapes, icons=statuses is not None), progress, paper=not transparent)


def to_mermaid(plan: Plan, statuses: Mapping[str, str] | None = None) -> str:
    """Return ``plan`` as a Mermaid flowchart."""
    return write_mermaid(outline(plan), statuses or {})


def to_dot(plan: Plan, statuses: Mapping[str, str] | None = None, transparent: bool = True) -> str:
    """Return ``plan`` as a DOT digraph; where it isn't ``transparent`` its background is white."""
    return write_dot(outline(plan), statuses or {}, transparent=transparent)
