"""What the engine itself costs, with no store."""

from benchmarks.case import (
    CPU,
    WALL,
    Case,
    Contestant,
    Shown,
    Target,
    floor,
    langgraph,
    ours,
    primegraph,
    pydantic_graph,
)

_MILLISECONDS = (
    Shown(metric="wall", unit="ms wall", scale=1e3),
    Shown(metric="cpu", unit="ms CPU", scale=1e3),
)
_SLEEP = {"runs": 200, "nodes": 10, "seconds": 0.01}


def cases() -> list[Case]:
    return [_chain(), _fan_out(), _map(), _wide(), _loop(), _concurrent(), _stream()]


def _chain() -> Case:
    return Case(
        name="chain",
        title="chain of 1,000 no-op nodes, per node",
        shown=(CPU, WALL),
        contestants=(
            ours("in_memory:chain", nodes=1000),
            _variant("each adding 1", "in_memory:chain", nodes=1000, writing=True),
            floor("asyncio_tasks:chain", nodes=1000),
            langgraph("chain", nodes=1000),
            primegraph("chain", nodes=1000),
            pydantic_graph("chain", nodes=1000),
        ),
        targets=(
            Target(metric="cpu", limit=1.0, against="floor"),
            Target(metric="cpu", limit=1.0, against="pydantic-graph", times_faster=True),
            Target(metric="cpu", limit=40.0, against="langgraph", times_faster=True),
        ),
    )


def _fan_out() -> Case:
    return Case(
        name="fan-out",
        title="fan-out to 1,000 nodes and join, per branch",
        shown=(CPU, WALL),
        contestants=(
            ours("in_memory:fan_out", branches=1000),
            floor("asyncio_tasks:fan_out", branches=1000),
            langgraph("fan_out", branches=1000, every=3),
            primegraph("fan_out", name="primegraph, 200 branches,", branches=200, every=9),
        ),
        targets=(Target(metric="cpu", limit=2.0, against="floor"),),
    )


def _map() -> Case:
    return Case(
        name="map",
        title="map over 1,000 items and join, per item",
        shown=(CPU, WALL),
        contestants=(
            ours("in_memory:map_over", items=1000),
            floor("asyncio_tasks:fan_out", branches=1000),
            langgraph("send", branches=1000, every=3),
        ),
        targets=(Target(metric="cpu", limit=2.0, against="floor"),),
    )


def _wide() -> Case:
    return Case(
        name="fan-out-10000",
        title="fan-out to 10,000 nodes and join, per branch",
        shown=(CPU, WALL),
        contestants=(
            ours("in_memory:fan_out", branches=10_000),
            _variant("at 1,000", "in_memory:fan_out", branches=1000),
            _variant("a map of 10,000", "in_memory:map_over", items=10_000),
            floor("asyncio_tasks:fan_out", branches=10_000),
        ),
        targets=(
            Target(metric="cpu", limit=2.0, against="floor"),
            Target(metric="cpu", limit=1.5, against="at 1,000", words="linear: ≤ 1.5 x a branch of 1,000"),
        ),
        rounds=7,
    )


def _loop() -> Case:
    return Case(
        name="loop",
        title="loop of 1,000 through a router, per iteration",
        shown=(CPU, WALL),
        contestants=(
            ours("in_memory:loop", iterations=1000),
            floor("asyncio_tasks:chain", nodes=1000),
            langgraph("loop", iterations=1000),
            primegraph("loop", iterations=1000),
            pydantic_graph("chain", nodes=1000),
        ),
        targets=(Target(metric="cpu", limit=1.5, against="floor"),),
    )


def _concurrent() -> Case:
    return Case(
        name="concurrent",
        title="200 runs at once x 10 nodes x 10 ms of sleep",
        shown=_MILLISECONDS,
        contestants=(
            ours("in_memory:sleepers", **_SLEEP),
            floor("asyncio_tasks:sleepers", **_SLEEP),
            langgraph("sleepers", **_SLEEP),
            primegraph("sleepers", **_SLEEP),
            pydantic_graph("sleepers", **_SLEEP),
        ),
        targets=(Target(metric="wall", limit=1.5, against="floor"),),
    )


def _stream() -> Case:
    return Case(
        name="stream",
        title="streaming 10 nodes x 1,000 tokens",
        shown=(Shown(metric="wall", unit="tokens/s", inverse=True),),
        contestants=(
            ours("in_memory:stream", nodes=10, tokens=1000),
            floor("asyncio_tasks:stream", nodes=10, tokens=1000),
            langgraph("stream", nodes=10, tokens=1000),
        ),
        targets=(
            Target(
                metric="wall",
                limit=1.0,
                against="langgraph",
                times_faster=True,
                words="as fast as langgraph",
                advisory=True,
            ),
        ),
    )


def _variant(name: str, does: str, **arguments: object) -> Contestant:
    return Contestant(name=name, does=f"benchmarks.ours.{does}", role="variant", arguments=arguments)
