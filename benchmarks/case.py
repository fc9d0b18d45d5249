"""What a benchmark case is: contestants that do the same work, and targets between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from benchmarks.servers import Server

Metric = str
"""The name of one cost that a repetition returns; lower is always better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """One way to do a case's work, run in a process of its own."""

    name: str
    does: str
    """``module:function``; called with ``arguments``, it returns a repetition (see `worker.py`)."""
    role: Literal["ours", "floor", "variant", "peer"]
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    distribution: str | None = None
    """Whose version is named under the table; what the work itself says of its version comes first."""
    every: int = 1
    """Repeats only in every n-th round; for peers that take long."""
    environment: Literal["bench", "bench-agents", "bench-server"] = "bench"
    """Where a peer is installed; all others run where Ropewalk does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What our cost must be, against another contestant's or in itself."""

    metric: Metric
    limit: float
    against: str | None = None
    """A contestant's name; None when the limit is an amount of its own."""
    times_faster: bool = False
    """True: their cost / ours must be at least ``limit``; False: ours / theirs at most ``limit``."""
    more: bool = False
    """True: ours - theirs must be at most ``limit``, which is then an amount and not a ratio."""
    unit: str = "x"
    """Of an amount that is not among the metrics shown."""
    words: str = ""
    """What the table says when the plain sentence would not do."""
    advisory: bool = False
    """Printed, never counted as missed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """How a metric stands in the table."""

    metric: Metric
    unit: str
    scale: float = 1.0
    inverse: bool = False
    """Show how many per ``unit`` instead of how much for one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    title: str
    shown: tuple[Shown, ...]
    contestants: tuple[Contestant, ...]
    targets: tuple[Target, ...]
    rounds: int = 9
    quick_rounds: int = 3
    repetition_timeout_seconds: float = 180.0
    warm_up: bool = True
    server: Server | None = None
    """What is started for the case alone; each contestant gets its ``url``."""


CPU = Shown(metric="cpu", unit="µs CPU", scale=1e6)
WALL = Shown(metric="wall", unit="µs wall", scale=1e6)


def ours(does: str, **arguments: object) -> Contestant:
    return Contestant(name="ropewalk", does=f"benchmarks.ours.{does}", role="ours", arguments=arguments)


def floor(does: str, *, name: str = "floor", version_of: str | None = None, **arguments: object) -> Contestant:
    return Contestant(
        name=name, does=f"benchmarks.floors.{does}", role="floor", arguments=arguments, distribution=version_of
    )


def langgraph(does: str, *, every: int = 1, **arguments: object) -> Contestant:
    return peer("langgraph", "langgraph", f"langgraph:{does}", every=every, **arguments)


def primegraph(does: str, *, name: str = "primegraph", every: int = 1, **arguments: object) -> Contestant:
    return peer(name, "primeGraph", f"primegraph:{does}", every=every, **arguments)


def pydantic_graph(does: str, *, every: int = 1, **arguments: object) -> Contestant:
    return peer("pydantic-graph", "pydantic-graph", f"pydantic_graph:{does}", every=every, **arguments)


def dbos(does: str, *, every: int = 1, **arguments: object) -> Contestant:
    return peer("dbos", "dbos", f"dbos:{does}", every=every, **arguments)


def agents(name: str, distribution: str, does: str, *, every: int = 1, **arguments: object) -> Contestant:
    """Return a peer that is a framework of agents."""
    return replace(peer(name, distribution, does, every=every, **arguments), environment="bench-agents")


def server_peer(name: str, distribution: str, does: str, *, every: int = 1, **arguments: object) -> Contestant:
    """Return a peer that is a server of its own."""
    return replace(peer(name, distribution, does, every=every, **arguments), environment="bench-server")


def peer(name: str, distribution: str, does: str, *, every: int = 1, **arguments: object) -> Contestant:
    return Contestant(
        name=name,
        does=f"benchmarks.peers.{does}",
        role="peer",
        arguments=arguments,
        distribution=distribution,
        every=every,
    )
