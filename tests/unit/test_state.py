"""The state's shape: writes checked and stored, folded, squashed, brought back."""

import datetime
import random
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from ropewalk import GraphState, History, Incremental, LastValue, Reduced
from ropewalk.codec import dump_json, load_entry
from ropewalk.core.facts import StepFinished, encode
from ropewalk.core.state import EMPTY, Shape, default_state
from ropewalk.errors import NotStorable, UnknownField, WrongType


def union(old: set[int], new: set[int]) -> set[int]:
    return old | new


class Doc(GraphState):
    log: History[str]
    total: Incremental[int] = 0
    name: LastValue[str] = ""
    seen: Reduced[set[int], union] = set()
    when: LastValue[datetime.date | None] = None
    rows: History[dict[str, int]]
    kind: LastValue[Literal["a", "b"]] = "a"
    limit: Annotated[int, Field(ge=0, lt=10)] = 0
    price: float = 0.0


SHAPE = Shape(Doc)
START = SHAPE.values(Doc())


def folded(updates, values=START):
    return SHAPE.to_state(SHAPE.fold(values, SHAPE.returned(updates, "the test")))


def test_each_returned_value_goes_through_its_buffer():
    state = folded({"log": "x", "total": 3, "name": "n", "seen": {1}, "rows": {"a": 1}})
    again = folded({"log": "y", "total": 4, "name": "m", "seen": {2}, "rows": {"b": 2}}, SHAPE.values(state))
    assert again == Doc(log=["x", "y"], total=7, name="m", seen={1, 2}, rows=[{"a": 1}, {"b": 2}])


def test_a_fold_leaves_the_older_values_as_they_were():
    values = SHAPE.fold(START, SHAPE.returned({"log": "x", "seen": {1}}, "t"))
    SHAPE.fold(values, SHAPE.returned({"log": "y", "seen": {2}, "name": "n"}, "t"))
    assert SHAPE.to_state(values) == Doc(log=["x"], seen={1})


@pytest.mark.parametrize(
    "updates",
    [
        {"log": 1},
        {"total": "1"},
        {"name": None},
        {"when": "2026-01-01"},
        {"rows": {"a": "1"}},
        {"kind": "c"},
        {"limit": 10},
        {"limit": -1},
        {"price": "1.0"},
        {"seen": [1]},
        {"total": True},
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_field(updates):
    (field,) = updates
    with pytest.raises(WrongType, match=f"'{field}'") as caught:
        SHAPE.returned(updates, "Node 'n'")
    assert caught.value.field == field
    assert "Node 'n'" in str(caught.value)


def test_an_int_is_taken_for_a_float():
    """primeGraph refused it."""
    assert folded({"price": 3}).price == 3.0


def test_an_unknown_field_is_named_with_the_nearest():
    with pytest.raises(UnknownField, match=r"'naem'.*Did you mean 'name'"):
        SHAPE.returned({"naem": "x"}, "t")
    with pytest.raises(UnknownField, match="naem"):
        SHAPE.replaced({"naem": "x"}, "t")


def test_a_replacement_goes_past_the_buffers():
    values = SHAPE.fold(START, SHAPE.returned({"log": "x", "total": 3}, "t"))
    values = SHAPE.fold(values, SHAPE.replaced({"log": ["a", "b"], "total": 1}, "t"))
    assert SHAPE.to_state(values) == Doc(log=["a", "b"], total=1)


def random_updates(dice):
    every = {
        "log": dice.choice("abc"),
        "total": dice.randint(-5, 5),
        "name": dice.choice("xyz"),
        "seen": {dice.randint(0, 5)},
        "rows": {"n": dice.randint(0, 9)},
        "when": datetime.date(2026, 1, dice.randint(1, 28)),
    }
    return {name: value for name, value in every.items() if dice.random() < 0.5}


@pytest.mark.parametrize("seed", range(30))
def test_squashed_writes_have_the_same_effect(seed):
    dice = random.Random(seed)
    writes = []
    for _ in range(12):
        if dice.random() < 0.15:
            writes += SHAPE.replaced({"log": ["new"], "total": 7, "name": "set"}, "t")
        writes += SHAPE.returned(random_updates(dice), "t")
    squashed = SHAPE.squash(writes)
    assert len(squashed) <= len(writes)
    for values in (START, SHAPE.values(Doc(log=["old"], total=100, seen={9}))):
        assert SHAPE.to_state(SHAPE.fold(values, squashed)) == SHAPE.to_state(SHAPE.fold(values, writes))


@pytest.mark.parametrize("seed", range(10))
def test_writes_come_back_from_an_entry_as_they_were(seed):
    dice = random.Random(seed)
    writes = SHAPE.returned(random_updates(dice), "t")
    _, _, data, _ = load_entry(encode(StepFinished("n#1", "n", 1, writes), 1.0))
    again = SHAPE.load(data.get("writes", ()))
    assert SHAPE.to_state(SHAPE.fold(START, again)) == SHAPE.to_state(SHAPE.fold(START, writes))


def test_a_state_is_made_again_from_its_own_writes():
    state = Doc(log=["x"], total=3, seen={1, 2}, when=datetime.date(2026, 1, 1), rows=[{"a": 1}])
    values = SHAPE.values(state)
    assert SHAPE.to_state(SHAPE.fold(EMPTY, SHAPE.set_all(values))) == state
    plain = SHAPE.to_json(values)
    assert Doc.model_validate_json(dump_json(plain)) == state


def test_a_mirror_shows_values_in_the_user_s_object_and_shares_nothing():
    values = SHAPE.values(Doc(log=["x"]))
    state = Doc()
    SHAPE.mirror(values, state)
    assert state == Doc(log=["x"])
    state.log.append("mine")
    assert SHAPE.to_state(values) == Doc(log=["x"])


class Loose(BaseModel):
    anything: Any = None
    things: History[Any] = []


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "x"]}, [], "text", 5, {}, [[["deep"]]]])
def test_plain_data_of_any_depth_is_stored(value):
    shape = Shape(Loose)
    values = shape.fold(shape.values(Loose()), shape.returned({"anything": value, "things": value}, "t"))
    assert shape.to_state(values) == Loose(anything=value, things=[value])


@pytest.mark.parametrize("value", [{1: 2}, (1,), {1, 2}, datetime.date(2026, 1, 1), b"bytes", object(), Loose()])
def test_data_that_would_come_back_different_is_not(value):
    shape = Shape(Loose)
    for field in ("anything", "things"):
        with pytest.raises(NotStorable, match=f"'{field}'"):
            shape.returned({field: value}, "t")


def test_a_default_state_is_made_only_when_every_field_has_a_value():
    class Needs(GraphState):
        log: History[str]
        name: LastValue[str]

    assert default_state(Needs) is None
    assert default_state(Doc) == Doc()
    assert Shape(Needs).missing() == ["name"]


def test_a_history_begins_empty_unless_told_otherwise():
    class Begun(GraphState):
        log: History[str]
        other: History[str] = ["begun"]
        third: History[str] = Field(default_factory=lambda: ["made"])

    assert Begun() == Begun(log=[], other=["begun"], third=["made"])
    one, two = Begun(), Begun()
    one.log.append("x")
    assert two.log == []


def test_a_graph_state_refuses_unknown_fields_and_wrong_types():
    for wrong in ({"naem": "x"}, {"name": 5}, {"log": "x"}, {"log": [1]}, {"total": "1"}):
        with pytest.raises(ValidationError):
            Doc(**wrong)


def test_a_state_class_may_inherit_from_another():
    class More(Doc):
        extra: History[int]

    shape = Shape(More)
    assert list(shape.fields) == [*SHAPE.fields, "extra"]
    values = shape.fold(shape.values(More()), shape.returned({"extra": 1, "log": "x"}, "t"))
    assert shape.to_state(values) == More(log=["x"], extra=[1])
