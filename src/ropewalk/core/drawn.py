"""The drawing before it is compiled: what the user said, in the order it was said."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ropewalk.core.retry import NO_RETRY, Retry


class NodeDrawn(NamedTuple):
    name: str
    fn: Callable[..., Any] | None = None
    inner: "Drawing | None" = None
    """The subgraph's drawing, for a node that is one."""
    metadata: Mapping[str, Any] = MappingProxyType({})
    interrupt: str | None = None
    retry: Retry = NO_RETRY
    timeout: float | None = None


class EdgeDrawn(NamedTuple):
    start: str
    end: str
    name: str | None = None


class RouterDrawn(NamedTuple):
    start: str
    router: Callable[..., Any] | str
    """A function, or the name of a node that returns where to go."""
    routes: tuple[str, ...] | None


class FanDrawn(NamedTuple):
    start: str
    node: str
    end: str
    over: Callable[..., Any] | None = None
    """A map edge's items; None for a repeat."""
    repeat: int = 1
    parallel: bool = False
    labels: tuple[str, ...] = ()


Drawn = EdgeDrawn | RouterDrawn | FanDrawn


class Drawing:
    """Nodes and edges of one graph; edges keep the order in which they were drawn."""

    def __init__(self, name: str, state_class: type[Any] | None) -> None:
        self.name = name
        self.state_class = state_class
        self.nodes: dict[str, NodeDrawn] = {}
        self.doubled: list[str] = []
        """Names given to a second node."""
        self.edges: list[Drawn] = []

    def with_edges(self, edges: list[Drawn]) -> "Drawing":
        """Return the same nodes with other edges."""
        drawing = Drawing(self.name, self.state_class)
        drawing.nodes, drawing.doubled, drawing.edges = self.nodes, self.doubled, edges
        return drawing
