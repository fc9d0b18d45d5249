"""What a process costs: to import, to come back after a death, to stay."""

from benchmarks.case import Case, Contestant, Shown, Target, floor, ours

_MILLISECONDS = (
    Shown(metric="cpu", unit="ms CPU", scale=1e3),
    Shown(metric="wall", unit="ms wall", scale=1e3),
)
_IMPORT = "benchmarks.floors.imports:statement"


def cases(*, quick: bool) -> list[Case]:
    iterations = 20_000 if quick else 100_000
    return [_import(), _resume(), _long_loop(iterations, durable=False), _long_loop(iterations, durable=True)]


def _import() -> Case:
    peers = {
        "langgraph": "langgraph.graph",
        "primeGraph": "primeGraph",
        "pydantic-graph": "pydantic_graph",
        "dbos": "dbos",
    }
    return Case(
        name="import",
        title="`import ropewalk`",
        shown=_MILLISECONDS,
        contestants=(
            Contestant(name="ropewalk", does=_IMPORT, role="ours", arguments={"statement": "import ropewalk"}),
            floor("imports:statement", name="pydantic", statement="from pydantic import BaseModel"),
            *(
                Contestant(
                    name=name.lower(),
                    does=_IMPORT,
                    role="peer",
                    arguments={"statement": f"import {module}"},
                    distribution=name,
                    every=3,
                )
                for name, module in peers.items()
            ),
        ),
        targets=(
            Target(metric="cpu", limit=2.0, against="pydantic"),
            Target(metric="sdks", limit=0, unit="SDKs", words="loads no SDK of a provider or server"),
        ),
        rounds=11,
        quick_rounds=5,
    )


def _resume() -> Case:
    return Case(
        name="resume",
        title="resume a run of 10,000 entries after kill -9, to its first step",
        shown=(
            Shown(metric="first_step", unit="ms from `open`", scale=1e3),
            Shown(metric="spawn", unit="ms from process start", scale=1e3),
        ),
        contestants=(
            ours("resume:first_step", entries=10_000),
            floor("reading:log", name="reading and decoding 10,000 rows", entries=10_000),
        ),
        targets=(
            Target(metric="first_step", limit=0.5, words="< 0.5 s"),
            Target(metric="spawn", limit=0.5, words="from process start < 0.5 s", advisory=True),
        ),
    )


def _long_loop(iterations: int, *, durable: bool) -> Case:
    where = " on SQLite" if durable else ""
    return Case(
        name="memory-durable" if durable else "memory",
        title=f"loop of {iterations:,} iterations{where}: memory from the first fifth to the last",
        shown=(
            Shown(metric="growth", unit="MB more", scale=1e-6),
            Shown(metric="cpu", unit="µs CPU per iteration", scale=1e6),
        ),
        contestants=(ours("long_loop:flat", iterations=iterations, durable=durable),),
        targets=(
            Target(metric="growth", limit=4e6, words="≤ 4 MB"),
            Target(metric="drift", limit=1.5, words="last fifth ≤ 1.5 x the second in CPU"),
        ),
        rounds=1,
        quick_rounds=1,
        warm_up=False,
        repetition_timeout_seconds=600,
    )
