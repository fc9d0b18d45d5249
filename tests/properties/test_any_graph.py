"""Whatever is drawn and however long its nodes take, what happens is what docs/how-a-run-moves.md says."""

import random
from typing import Any

from hypothesis import given, reject
from hypothesis import strategies as st
from tests.properties.drawings import Drawing, State
from tests.properties.graphs import any_drawings, built
from tests.properties.reference import Reference, TooLarge
from tests.properties.virtual import VirtualLoop, on
from tests.properties.witness import Witness, plain, replayed

from ropewalk import Graph, RunStatus
from ropewalk.stores.memory import MemoryRunStore

SEEDS = st.integers(0, 2**32)


def reference(drawing: Drawing, **options: Any) -> Reference:
    try:
        return Reference(drawing, **options)
    except TooLarge:
        reject()


def run_to_the_end(
    drawing: Drawing, seed: int, store: Any = None
) -> tuple[Graph[State], Witness, dict[str, Any], list[Any]]:
    witness = Witness(seed)
    loop = VirtualLoop(seed)
    graph = built(
        drawing, witness, kind=on(loop), store=store, max_concurrency=random.Random(seed).choice((None, None, 1, 3))
    )
    graph.execution_timeout = None

    async def main() -> tuple[dict[str, Any], list[Any]]:
        run = graph.start(run_id="r")
        state = await run
        assert run.status is RunStatus.DONE
        return plain(state), await run.history()

    state, history = loop.live(main())
    return graph, witness, state, history


@given(any_drawings(), SEEDS)
def test_the_rule_itself_does_not_depend_on_timing(drawing: Drawing, seed: int) -> None:
    one, other = reference(drawing), reference(drawing, order=random.Random(seed))
    assert one.past == other.past
    assert one.steps == other.steps
    assert one.final == other.final


@given(any_drawings(), SEEDS)
def test_each_step_runs_exactly_when_it_should_and_sees_its_causal_past(drawing: Drawing, seed: int) -> None:
    """Promises 6, 7 and 8."""
    expected = reference(drawing)
    for store in (None, MemoryRunStore()):
        _, witness, state, _ = run_to_the_end(drawing, seed, store)
        for step in witness.ran:
            assert step in expected.steps, f"{step} must not run at all"
            seen = expected.steps[step]
            assert witness.shown[step] == seen.state, f"{step} was shown another state"
            assert witness.told[step] == (seen.path, seen.item, seen.index)
        assert sorted(witness.ran) == sorted(expected.steps)
        assert state == expected.final
        seed += 1


@given(any_drawings(), SEEDS)
def test_every_prefix_of_a_log_can_be_folded_and_holds_every_finished_step_once(drawing: Drawing, seed: int) -> None:
    """Section 1: everything is a reading of the log."""
    expected = reference(drawing)
    store = MemoryRunStore()
    graph, _, state, history = run_to_the_end(drawing, seed, store)
    assert [entry.number for entry in history] == list(range(1, len(history) + 1))
    finished = [entry.data["step"] for entry in history if entry.type == "step_finished"]
    assert sorted(finished) == sorted(expected.steps)
    bodies = [body for _, body in VirtualLoop().live(store.read("r"))]
    told = replayed(graph, "r", bodies)
    for _, so_far, union in told:
        assert sorted(union["ids"]) == so_far
    assert told[-1][0] == "DONE"
    assert told[-1][2] == state
