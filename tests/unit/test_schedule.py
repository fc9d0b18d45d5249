"""The schedule: what is ready, as a pure function of plan and log."""

import pytest

from ropewalk import END, START, Graph, GraphState, History, Incremental
from ropewalk.codec import RawJson
from ropewalk.core.facts import (
    Answered,
    Choice,
    Paused,
    Reset,
    Route,
    RunStarted,
    RunStopped,
    StepFailed,
    StepFinished,
    StepRecorded,
)
from ropewalk.core.resuming import reset_of
from ropewalk.core.schedule import DEATHS_ALLOWED, Schedule, pause_id
from ropewalk.core.state import Shape


class Log(GraphState):
    log: History[str]
    n: Incremental[int] = 0


SHAPE = Shape(Log)


class Played:
    """A schedule that is fed facts and tells the ids of what is ready."""

    def __init__(self, graph, *, limit=100):
        self.schedule = Schedule(graph.plan, SHAPE, "r", max_iterations=limit)
        self.apply(RunStarted("g", "p", SHAPE.initial(Log()), limit=limit))

    def apply(self, fact):
        self.schedule.apply(self.schedule.number + 1, 1.0, fact)
        return self.ready()

    def ready(self):
        return [step.id for step in self.schedule.pending()]

    def finish(self, step_id, *, routes=None, choices=()):
        path = self.schedule.steps[step_id].path
        return self.apply(StepFinished(step_id, path, 1, SHAPE.returned({"log": step_id}, "t"), routes, choices))

    @property
    def log(self):
        return SHAPE.to_state(self.schedule.union()).log


def drawn(nodes, edges):
    graph = Graph(Log)
    for node in nodes.split():
        name, _, interrupt = node.partition(":")
        graph.add_node(lambda: None, name=name, interrupt=interrupt or None)
    for edge in edges.split():
        one, _, other = edge.partition("-")
        graph.add_edge(START if one == "<" else one, END if other == ">" else other)
    return graph


def test_a_join_is_ready_when_its_last_branch_has_arrived():
    run = Played(drawn("a b c j", "<-a a-b a-c b-j c-j j->"))
    assert run.ready() == ["a#1"]
    assert run.finish("a#1") == ["b#1", "c#1"]
    assert run.finish("c#1") == ["b#1"]
    assert run.finish("b#1") == ["j#1"]
    assert run.finish("j#1") == []
    assert run.log == ["a#1", "b#1", "c#1", "j#1"]
    assert run.schedule.final is not None


def test_a_choice_decides_what_is_reached():
    graph = drawn("a b c j", "<-a b-j c-j j->").add_router_edge("a", lambda: "b", routes=["b", "c"])
    run = Played(graph)
    assert run.finish("a#1", choices=(Choice("a#1", 0, (Route("c"),)),)) == ["c#1"]
    assert run.finish("c#1") == ["j#1"]


def test_a_departure_waits_until_everything_is_chosen():
    graph = drawn("a b c", "<-a b-> c->")
    graph.add_router_edge("a", lambda: "b", routes=["b"]).add_router_edge("a", lambda: "c", routes=["c"])
    run = Played(graph)
    assert run.finish("a#1") == []
    assert list(run.schedule.undecided) == ["a#1"]
    run.schedule.decide(Choice("a#1", 0, (Route("b"),)))
    assert run.ready() == []
    run.schedule.decide(Choice("a#1", 1, (Route("c"),)))
    assert run.ready() == ["b#1", "c#1"]


def test_rounds_of_a_loop_are_numbered():
    graph = drawn("a", "<-a").add_router_edge("a", lambda: "a", routes=["a", END])
    run = Played(graph)
    for number in range(1, 4):
        step = f"a#{number}"
        assert run.finish(step, choices=(Choice(step, 0, (Route("a"),)),)) == [f"a#{number + 1}"]


def test_the_limit_stops_the_node_that_reached_it():
    run = Played(drawn("a", "<-a").add_router_edge("a", lambda: "a", routes=["a", END]), limit=2)
    run.finish("a#1", choices=(Choice("a#1", 0, (Route("a"),)),))
    run.finish("a#2", choices=(Choice("a#2", 0, (Route("a"),)),))
    assert run.ready() == []
    assert (run.schedule.failure.code, run.schedule.failure.node) == ("too_many_iterations", "a")
    assert run.schedule.is_blocked()


def test_instances_of_a_map_are_ready_together_and_join_once():
    graph = drawn("a w j", "<-a j->").add_map_edge("a", "w", "j", over=lambda: [])
    run = Played(graph)
    items = tuple(Route("", RawJson(b"%d" % number)) for number in range(3))
    assert run.finish("a#1", choices=(Choice("a#1", 0, items),)) == ["w#1[0]", "w#1[1]", "w#1[2]"]
    assert [run.schedule.steps[step].item for step in run.ready()] == [b"0", b"1", b"2"]
    run.finish("w#1[2]")
    run.finish("w#1[0]")
    assert run.finish("w#1[1]") == ["j#1"]
    run.finish("j#1")
    assert run.log == ["a#1", "w#1[0]", "w#1[1]", "w#1[2]", "j#1"]


def test_an_empty_map_starts_its_target():
    run = Played(drawn("a w j", "<-a j->").add_map_edge("a", "w", "j", over=lambda: []))
    assert run.finish("a#1", choices=(Choice("a#1", 0, ()),)) == ["j#1"]


def test_a_sequence_starts_one_after_the_other():
    run = Played(drawn("a w j", "<-a j->").add_repeating_edge("a", "w", "j", repeat=2))
    assert run.finish("a#1") == ["w#1[0]"]
    assert run.finish("w#1[0]") == ["w#1[1]"]
    assert run.finish("w#1[1]") == ["j#1"]


def test_ids_of_steps_in_a_subgraph_begin_with_its_firing():
    graph = drawn("a", "<-a")
    graph.subgraph(name="sub")(lambda: drawn("x y", "<-x x-y y->"))
    graph.add_edge("a", "sub").add_edge("sub", END)
    run = Played(graph)
    assert run.finish("a#1") == ["sub#1/x#1"]
    assert run.schedule.steps["sub#1/x#1"].path == "sub/x"
    assert run.finish("sub#1/x#1") == ["sub#1/y#1"]


def test_a_breakpoint_is_announced_and_keeps_everything_from_starting():
    run = Played(drawn("a b:before c", "<-a a-b a-c b-> c->"))
    run.finish("a#1")
    assert [firing.id for firing in run.schedule.unannounced] == ["b#1"]
    assert run.schedule.is_blocked()
    run.apply(Paused("p_1", "breakpoint", "b", "b#1", RawJson(b"{}")))
    run.apply(RunStopped("run_paused"))
    assert run.schedule.status == "PAUSED"
    assert sorted(run.apply(Answered("p_1", "b", RawJson(b"null")))) == ["b#1", "c#1"]
    assert not run.schedule.is_blocked()


def test_a_step_that_waits_again_when_the_run_stops_is_no_longer_ready():
    """Found by a drawn run: the list kept it, so that its second answer, beside the breakpoint's, started it twice."""
    run = Played(drawn("a b:before c", "<-a a-b a-c b-> c->"))
    run.finish("a#1")
    run.apply(Paused("p_0", "breakpoint", "b", "b#1", RawJson(b"{}")))
    for pause, name in (("p_1", "one"), ("p_2", "two")):
        run.apply(Paused(pause, "question", "c", "c#1", RawJson(b"1"), name, 1))
    run.schedule.ready.clear()  # as a driver does that has started what was ready
    run.apply(RunStopped("run_paused"))
    run.apply(Answered("p_1", "c", RawJson(b"1")))
    run.apply(RunStopped("run_paused"))
    run.apply(Answered("p_0", "b", RawJson(b"null")))
    assert [step.id for step in run.schedule.ready] == run.ready() == ["b#1"]


def test_a_failure_keeps_everything_from_starting_until_a_reset():
    run = Played(drawn("a b", "<-a <-b a-> b->"))
    run.apply(StepFailed("a#1", "a", 1, "node_failed", "down", "OSError"))
    assert run.schedule.is_blocked()
    assert run.ready() == ["b#1"]
    run.apply(RunStopped("run_failed", "node_failed", "a", 1, "down"))
    assert run.schedule.status == "FAILED"
    assert sorted(run.apply(Reset("resumed", 1, True))) == ["a#1", "b#1"]
    assert run.schedule.steps["a#1"].attempt == 2
    assert run.schedule.steps["b#1"].attempt == 1


def test_an_attempt_counts_failures_and_takeovers_but_no_answers():
    run = Played(drawn("a", "<-a a->"))
    step = run.schedule.steps["a#1"]
    run.apply(Paused("p_1", "question", "a", "a#1", RawJson(b"1"), "ask", 1))
    run.apply(Answered("p_1", "a", RawJson(b"2")))
    assert step.attempt == 1
    assert step.answers == {("ask", 1): b"2"}
    run.apply(StepFailed("a#1", "a", 1, "c", "m", "E", None, 5.0))
    assert (step.attempt, step.retry_at) == (2, 5.0)
    run.apply(Reset("taken_over", 2, False))
    assert step.attempt == 3


def test_a_step_that_was_in_flight_at_too_many_deaths_poisons_the_run_and_progress_clears_the_count():
    run = Played(drawn("a", "<-a a->"))
    for epoch in range(2, DEATHS_ALLOWED + 1):
        facts = reset_of(run.schedule, epoch, reason="taken_over", explicit=False)
        assert [type(fact) for fact in facts] == [Reset]
        run.apply(facts[0])
    facts = reset_of(run.schedule, 9, reason="taken_over", explicit=False)
    assert [type(fact) for fact in facts] == [Reset, RunStopped]
    assert (facts[1].code, facts[1].node) == ("poisoned", "a")
    run.apply(StepRecorded("a#1", "a", "kept", 1, RawJson(b"1")))
    assert len(reset_of(run.schedule, 9, reason="taken_over", explicit=False)) == 1


def test_a_fork_asks_again_and_counts_afresh():
    run = Played(drawn("a", "<-a a->"))
    run.apply(StepFailed("a#1", "a", 1, "c", "m", "E", None, 5.0))
    run.apply(Paused("p_1", "question", "a", "a#1", RawJson(b"1"), "ask", 1))
    assert run.apply(RunStarted("g", "p", [], fork_of="r", fork_at=3)) == ["a#1"]
    assert run.schedule.open_pauses == {}
    assert run.schedule.steps["a#1"].attempt == 1
    assert run.schedule.status == "RUNNING"


def test_pause_ids_depend_on_run_step_and_question_alone():
    ids = {pause_id(run, step, name, nth) for run in "rs" for step in "ab" for name in "xy" for nth in (1, 2)}
    assert len(ids) == 16
    assert pause_id("r", "a", "x", 1) == pause_id("r", "a", "x", 1)


def test_an_entry_about_an_unknown_step_is_a_key_error():
    run = Played(drawn("a", "<-a a->"))
    with pytest.raises(KeyError, match="b#1"):
        run.apply(StepFinished("b#1", "b", 1, []))
