"""Tells which nodes of a drawing can be handed an item: those that a map, a repeat or a `Send` may lead to."""

from ropewalk.core.drawn import Drawing, FanDrawn, RouterDrawn
from ropewalk.core.signatures import may_send


def handed_nodes(drawing: Drawing) -> frozenset[str]:
    """Return their names. Where nobody can tell what a router does, it may send to each node it may choose."""
    names: set[str] = set()
    for edge in drawing.edges:
        if isinstance(edge, FanDrawn):
            names.add(edge.node)
        elif isinstance(edge, RouterDrawn) and _may_send(edge, drawing):
            names |= set(edge.routes or drawing.nodes)
    return frozenset(names)


def _may_send(edge: RouterDrawn, drawing: Drawing) -> bool:
    if not isinstance(edge.router, str):
        return may_send(edge.router)
    node = drawing.nodes.get(edge.router)
    return node is None or node.fn is None or may_send(node.fn)
