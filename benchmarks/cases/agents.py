"""What a tool loop costs beside the same loop written by hand over the bare SDK, all against one local provider."""

from benchmarks.case import Case, Contestant, Shown, Target, agents, floor, ours

_CPU = Shown(metric="cpu", unit="ms CPU", scale=1e3)
_WALL = Shown(metric="wall", unit="ms wall", scale=1e3)
_PEERS = {
    "pydantic-ai": ("pydantic-ai-slim", "pydantic_ai"),
    "openai-agents": ("openai-agents", "openai_agents"),
    "langgraph": ("langgraph", "langgraph_agent"),
}
_AT_ONCE = {"times": 200, "at_once": 100}


def cases() -> list[Case]:
    return [_loop(), _durable_loop(), _first_token(), _at_once()]


def _loop() -> Case:
    return Case(
        name="agent-loop",
        title="agent: loop of 2 model calls and 1 tool",
        shown=(_CPU, _WALL),
        contestants=(ours("agents:loops", times=100), _sdk("loops", times=100), *_peers("loops", times=50)),
        targets=(_at_most_more("cpu", 1.5, "CPU"),),
        server="models",
    )


def _durable_loop() -> Case:
    return Case(
        name="agent-loop-durable",
        title="agent: the same, durable on SQLite",
        shown=(_CPU, _WALL),
        contestants=(
            ours("agents:loops", times=100, durable=True),
            _sdk("loops", times=100),
            agents("openai-agents", "openai-agents", "openai_agents:loops", times=50, durable=True),
            agents("langgraph", "langgraph", "langgraph_agent:durable_loops", times=50),
        ),
        targets=(_at_most_more("cpu", 3.0, "CPU"),),
        server="models",
    )


def _first_token() -> Case:
    return Case(
        name="agent-first-token",
        title="agent: first streamed token",
        shown=(Shown(metric="first", unit="ms wall", scale=1e3),),
        contestants=(
            ours("agents:first_token", times=50),
            _on_sqlite("first_token", times=50),
            _sdk("first_token", times=50),
            *_peers("first_token", times=50),
        ),
        targets=(_at_most_more("first", 1.0, "wall"),),
        server="models",
    )


def _at_once() -> Case:
    return Case(
        name="agent-loops-at-once",
        title="agent: 100 loops at once",
        shown=(Shown(metric="wall", unit="loops/s", inverse=True), _CPU),
        contestants=(
            ours("agents:loops", **_AT_ONCE),
            _on_sqlite("loops", **_AT_ONCE),
            _sdk("loops", **_AT_ONCE),
            *_peers("loops", **_AT_ONCE),
        ),
        targets=(Target(metric="wall", limit=0.8, against="floor", times_faster=True, words="≥ 80 % of the SDK"),),
        server="models",
    )


def _sdk(does: str, **arguments: object) -> Contestant:
    return floor(f"openai_sdk:{does}", version_of="openai", **arguments)


def _peers(does: str, **arguments: object) -> list[Contestant]:
    return [
        agents(name, distribution, f"{module}:{does}", every=3, **arguments)
        for name, (distribution, module) in _PEERS.items()
    ]


def _on_sqlite(does: str, **arguments: object) -> Contestant:
    return Contestant(
        name="on SQLite",
        does=f"benchmarks.ours.agents:{does}",
        role="variant",
        arguments={**arguments, "durable": True},
    )


def _at_most_more(metric: str, milliseconds: float, unit: str) -> Target:
    return Target(
        metric=metric,
        limit=milliseconds / 1e3,
        against="floor",
        more=True,
        words=f"≤ SDK + {milliseconds:g} ms {unit}",
    )
