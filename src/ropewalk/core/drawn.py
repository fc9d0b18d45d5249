"""The drawing before it is compiled: what the user said, in the order it was said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ropewalk.core.retry import NO_RETRY, Retry


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeDrawn:
    name: str
    fn: Callable[..., Any] | None = None
    inner: "Drawing | None" = None
    """The subgraph's drawing, for a node that is one."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    interrupt: str | None = None
    retry: Retry = NO_RETRY
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeDrawn:
    start: str
    end: str
    name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RouterDrawn:
    start: str
    router: Callable[..., Any] | str
    """A function, or the name of a node that returns where to go."""
    routes: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FanDrawn:
    start: str
    node: str
    end: str
    over: Callable[..., Any] | None = None
    """A map edge's items; None for a repeat."""
    repeat: int = 1
    parallel: bool = False
    labels: tuple[str, ...] = ()


Drawn = EdgeDrawn | RouterDrawn | FanDrawn


@dataclass(slots=True)
class Drawing:
    """Nodes and edges of one graph; edges keep the order in which they were drawn."""

    name: str
    state_class: type[Any] | None
    nodes: dict[str, NodeDrawn] = field(default_factory=dict[str, NodeDrawn])
    doubled: list[str] = field(default_factory=list[str])
    """Names given to a second node."""
    edges: list[Drawn] = field(default_factory=list[Drawn])
