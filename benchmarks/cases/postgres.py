"""What a step costs on a PostgreSQL server that writes to its disk, in time and in bytes."""

from benchmarks.case import Case, Contestant, Shown, Target, dbos, floor, ours, peer

_RATE = Shown(metric="wall", unit="steps/s", inverse=True)
_CPU = Shown(metric="cpu", unit="µs CPU", scale=1e6)
_LANGGRAPH = ("langgraph", "langgraph-checkpoint-postgres")
_EMPTY = "with an empty history"


def cases() -> list[Case]:
    return [_runs(1, steps=200), _runs(10, steps=100), _runs(100, steps=50), _history(), _bytes()]


def _runs(runs: int, *, steps: int) -> Case:
    size = {"runs": runs, "steps": steps}
    small = {"runs": runs, "steps": max(10, steps // 5)}
    targets = [Target(metric="wall", limit=0.5, against="floor", times_faster=True, words="≥ 50 % of floor")]
    if runs == 100:
        targets.append(Target(metric="wall", limit=30.0, against="langgraph", times_faster=True))
    return Case(
        name=f"postgres-{runs}",
        title=f"PostgreSQL, durable, {f'{runs} runs at once' if runs > 1 else 'one run'}",
        shown=(_RATE, _CPU),
        contestants=(
            ours("postgres:steps", **size),
            floor("postgres_writer:steps", version_of="PostgreSQL", **size),
            peer(*_LANGGRAPH, "langgraph_postgres:steps", every=3, **small),
            dbos("postgres", every=3, **small),
        ),
        targets=tuple(targets),
        quick_rounds=4,
        server="postgres",
    )


def _history() -> Case:
    return Case(
        name="postgres-history",
        title="PostgreSQL, per step of one run with a 1,000-message history, each adding a message of 100 B",
        shown=(Shown(metric="wall", unit="µs wall", scale=1e6), _CPU),
        contestants=_with_history(steps=1000),
        targets=(
            Target(metric="cpu", limit=1.2, against=_EMPTY, words="CPU time: ≤ 1.2 x with an empty history"),
            Target(metric="wall", limit=1.2, against=_EMPTY, words="wall: ≤ 1.2 x with an empty history"),
        ),
        rounds=7,
        quick_rounds=5,
        warm_up=False,
        server="postgres",
    )


def _bytes() -> Case:
    return Case(
        name="postgres-bytes",
        title="PostgreSQL, bytes per step, the same",
        shown=(Shown(metric="logical", unit="B"), Shown(metric="wal", unit="B of write-ahead log")),
        contestants=_with_history(steps=100),
        targets=(
            Target(metric="logical", limit=1.2, against=_EMPTY),
            Target(metric="wal", limit=1.2, against=_EMPTY, words="log: ≤ 1.2 x with an empty history"),
            Target(metric="logical", limit=1024 + 120, words="≤ 1 KB + the change"),
        ),
        rounds=1,
        quick_rounds=1,
        warm_up=False,
        server="postgres",
    )


def _with_history(*, steps: int) -> tuple[Contestant, ...]:
    empty = {"steps": steps, "messages": 0}
    return (
        ours("postgres:history", steps=steps, messages=1000),
        Contestant(name=_EMPTY, does="benchmarks.ours.postgres:history", role="variant", arguments=empty),
        peer(*_LANGGRAPH, "langgraph_postgres:history", steps=min(steps, 50), messages=1000, every=3),
    )
