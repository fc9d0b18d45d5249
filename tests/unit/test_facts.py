"""Facts: the closed set of what can happen to a run, to entries and back."""

import pytest

from ropewalk import GraphState, History, Incremental
from ropewalk.codec import RawJson
from ropewalk.core.facts import (
    Answered,
    Choice,
    Paused,
    Reset,
    Route,
    RunStarted,
    RunStopped,
    StateEdited,
    StepFailed,
    StepFinished,
    StepRecorded,
    decode,
    encode,
    read_entry,
    to_entry,
)
from ropewalk.core.state import Shape
from ropewalk.events import Entry


class Log(GraphState):
    log: History[str]
    n: Incremental[int] = 0


SHAPE = Shape(Log)
WRITES = SHAPE.returned({"log": "x", "n": 2}, "t") + SHAPE.replaced({"log": ["ü"]}, "t")
CHOICES = (Choice("a#1", 0, (Route("b"), Route("c", RawJson(b'{"x":1}')))), Choice("a#1", 1, ()))
FACTS = [
    RunStarted("g", "p", SHAPE.initial(Log(log=["a"]))),
    RunStarted("g", "p", [], CHOICES, fork_of="other", fork_at=7),
    RunStarted("g", "p", SHAPE.initial(Log()), request="d", behind="r", webhook="u", turn=3, note={"n": [1, "x"]}),
    StepFinished("a#1", "a", 1, []),
    StepFinished("a#1", "a", 2, WRITES, (Route("b"),), CHOICES, "text"),
    StepFinished("a#1", "a", 1, [], ()),
    StepRecorded("a#1", "a", "name", 2, RawJson(b"[1,null]")),
    StepRecorded("a#1", "a", "name", 1, RawJson(b"{}"), "tool_call"),
    StepFailed("a#1", "a", 3, "node_failed", "message", "OSError", "trace", 12.5),
    StepFailed("a#1", "a", 1, "code", "", "E"),
    Paused("p_1", "question", "a", "a#1", RawJson(b'{"q":1}'), "ask", 2),
    Paused("p_1", "breakpoint", "a", "a#1", RawJson(b'{"when":"before"}')),
    Answered("p_1", "a", RawJson(b"null")),
    Answered("p_1", "a", RawJson(b'"yes"'), "ann", CHOICES),
    StateEdited(WRITES, "ann"),
    StateEdited([], None),
    Reset("taken_over", 3, False),
    Reset("resumed", 3, True, CHOICES),
    RunStopped("run_paused"),
    RunStopped("run_done"),
    RunStopped("run_failed", "code", "a", 2, "message"),
    RunStopped("run_cancelled", code="run_cancelled", message="reason"),
]


def same(fact):
    """Return the fact with its writes as what they do: raw JSON may or may not be kept."""
    parts = {key: value for key, value in fact._asdict().items() if key != "writes"}
    return type(fact), parts, [(write.field, write.op, write.value) for write in getattr(fact, "writes", ())]


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_comes_back_from_its_entry(fact):
    entry = read_entry(5, encode(fact, 1.5))
    assert (entry.number, entry.at) == (5, 1.5)
    assert same(decode(entry, SHAPE)) == same(fact)


@pytest.mark.parametrize("fact", FACTS)
def test_a_reader_sees_the_same_entry_before_and_after_it_was_stored(fact):
    assert to_entry(5, fact, 1.5) == read_entry(5, encode(fact, 1.5))


def test_an_entry_of_an_unknown_type_is_a_value_error():
    with pytest.raises(ValueError, match="teleported"):
        decode(Entry(number=1, type="teleported", node=None, data={}, at=1.0), SHAPE)


def test_a_field_that_is_gone_is_a_key_error_with_its_name():
    entry = Entry(number=1, type="state_edited", node=None, data={"writes": [["gone", "set", 1]], "by": None}, at=1.0)
    with pytest.raises(KeyError, match="gone"):
        decode(entry, SHAPE)


def test_nothing_is_written_that_says_nothing():
    assert to_entry(1, StepFinished("a#1", "a", 1, []), 1.0).data == {"step": "a#1", "attempt": 1}
    assert to_entry(1, RunStopped("run_done"), 1.0).data == {}
