"""What a durable step costs, in time and in bytes."""

from benchmarks.case import Case, Contestant, Shown, Target, dbos, floor, langgraph, ours, pydantic_graph

_RATE = Shown(metric="wall", unit="steps/s", inverse=True)
_CPU = Shown(metric="cpu", unit="µs CPU", scale=1e6)
_BYTES = (Shown(metric="logical", unit="B"), Shown(metric="file", unit="B of file"))


def cases() -> list[Case]:
    return [_one_run(), _hundred_runs(), _bytes(append=False), _bytes(append=True)]


def _one_run() -> Case:
    return Case(
        name="durable-one",
        title="SQLite, durable, one run, per step",
        shown=(Shown(metric="wall", unit="µs wall", scale=1e6), _CPU),
        contestants=(
            ours("durable:steps", runs=1, steps=200),
            floor("sqlite_writer:steps", runs=1, steps=200),
            langgraph("durable", runs=1, steps=100),
            pydantic_graph("durable", steps=40),
            dbos("durable", runs=1, steps=100, every=3),
        ),
        targets=(Target(metric="wall", limit=1.3, against="floor"),),
        rounds=15,
        quick_rounds=5,
    )


def _hundred_runs() -> Case:
    return Case(
        name="durable-hundred",
        title="SQLite, durable, 100 runs at once",
        shown=(_RATE, _CPU),
        contestants=(
            ours("durable:steps", runs=100, steps=50),
            floor("sqlite_writer:steps", runs=100, steps=50),
            langgraph("durable", runs=100, steps=10, every=3),
            dbos("durable", runs=100, steps=5, every=3),
        ),
        targets=(
            Target(metric="wall", limit=0.5, against="floor", times_faster=True, words="≥ 50 % of floor"),
            Target(metric="wall", limit=40.0, against="langgraph", times_faster=True),
            Target(metric="wall", limit=50.0, against="dbos", times_faster=True),
        ),
    )


def _bytes(*, append: bool) -> Case:
    size = {"steps": 100, "append": append}
    empty = Contestant(
        name="with an empty history",
        does="benchmarks.ours.durable:stored",
        role="variant",
        arguments={**size, "messages": 0},
    )
    change = 120 if append else 0
    touched = "each adding a message of 100 B" if append else "not touched"
    return Case(
        name="bytes-append" if append else "bytes",
        title=f"bytes per step, 1,000-message history, {touched}",
        shown=_BYTES,
        contestants=(
            ours("durable:stored", messages=1000, **size),
            empty,
            langgraph("stored", messages=1000, **size),
        ),
        targets=(
            Target(metric="logical", limit=1.2, against=empty.name),
            Target(metric="file", limit=1.2, against=empty.name, words="file: ≤ 1.2 x with an empty history"),
            Target(metric="logical", limit=1024 + change, words="≤ 1 KB + the change"),
        ),
        rounds=1,
        quick_rounds=1,
        warm_up=False,
    )
