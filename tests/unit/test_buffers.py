"""Buffers: how writes to one field merge, and what a change in place is."""

import datetime

import pytest
from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass

from ropewalk import Reduced, merge_by_id
from ropewalk.core.buffers import HistoryBuffer, IncrementalBuffer, Items, LastValueBuffer, ReducedBuffer, alike, thaw


def test_a_last_value_is_replaced():
    assert LastValueBuffer().fold("old", "set", "new") == "new"


def test_a_history_takes_items_one_by_one_or_several():
    buffer = HistoryBuffer()
    items = buffer.fold(Items(["a"]), "add", "b")
    items = buffer.fold(items, "extend", ["c", "d"])
    assert items.to_list() == [*"abcd"]
    assert buffer.fold(items, "set", ["x"]).to_list() == ["x"]


def test_an_increment_is_added_and_set_replaces():
    buffer = IncrementalBuffer()
    assert buffer.fold(2, "add", 3) == 5
    assert buffer.fold("a", "add", "b") == "ab"
    assert buffer.fold(2, "set", 3) == 3


def test_a_reducer_never_gets_the_held_value_itself():
    held = [1]

    def grow(old, new):
        old.append(new)
        return old

    assert ReducedBuffer(grow).fold(held, "add", 2) == [1, 2]
    assert held == [1]


def test_appending_shares_and_a_sibling_that_appended_first_is_not_seen():
    base = Items(["a"])
    left, right = base.plus(["l"]), base.plus(["r"])
    assert base.to_list() == ["a"]
    assert left.to_list() == ["a", "l"]
    assert right.to_list() == ["a", "r"]
    assert left.plus(["x"]).to_list() == ["a", "l", "x"]
    assert left.to_list() == ["a", "l"]
    assert (len(base), len(left)) == (1, 2)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (["a"], ["a", "b", "c"], ("extend", ["b", "c"])),
        ([], ["a"], ("extend", ["a"])),
        (["a", "b"], ["a"], ("set", ["a"])),
        (["a"], ["x", "b"], ("set", ["x", "b"])),
        (["a"], [], ("set", [])),
    ],
)
def test_a_longer_history_with_the_same_beginning_is_an_append_and_any_other_change_a_replacement(old, new, expected):
    assert HistoryBuffer().difference(Items(old), new) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (2, 7, ("add", 5)),
        (2.5, 2.0, ("add", -0.5)),
        ("ab", "abc", ("add", "c")),
        ([1], [1, 2], ("add", [2])),
        ("ab", "xb", ("set", "xb")),
        (None, 3, ("set", 3)),
    ],
)
def test_a_changed_incremental_is_its_difference(old, new, expected):
    assert IncrementalBuffer().difference(old, new) == expected


class Note:
    def __init__(self, id_, text):
        self.id = id_
        self.text = text

    def __eq__(self, other):
        return vars(self) == vars(other)

    __hash__ = None


def test_messages_with_one_id_are_replaced_in_place_and_others_go_to_the_end():
    old = [{"id": 1, "t": "a"}, {"t": "no id"}, {"id": 2, "t": "b"}]
    new = [{"id": 2, "t": "B"}, {"id": 3, "t": "c"}, {"t": "no id"}, {"id": 3, "t": "C"}]
    assert merge_by_id(old, new) == [
        {"id": 1, "t": "a"},
        {"t": "no id"},
        {"id": 2, "t": "B"},
        {"id": 3, "t": "C"},
        {"t": "no id"},
    ]
    assert merge_by_id([Note(1, "a")], [Note(1, "b")]) == [Note(1, "b")]
    assert len(old) == 3


def test_a_reduced_annotation_needs_a_type_and_a_function():
    for wrong in (int, (int,), (int, 5), (int, max, max)):
        with pytest.raises(TypeError, match="type and a function"):
            Reduced[wrong]


def test_what_is_thawed_shares_nothing_that_could_change():
    moment = datetime.datetime(2026, 1, 1)
    value = {"a": [1, {"b": {2}}], "c": (3, [4]), "d": moment, "e": "text"}
    copy = thaw(value)
    assert copy == value
    copy["a"][1]["b"].add(5)
    copy["c"][1].append(6)
    assert value == {"a": [1, {"b": {2}}], "c": (3, [4]), "d": moment, "e": "text"}
    assert thaw(Items([["x"]])) == [["x"]]


def test_dataclasses_with_slots_and_fields_nobody_declared_are_compared_too():
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

        name: str

    @dataclass(frozen=True, slots=True)
    class Slotted:
        name: str

    assert alike([Slotted("a")], [Slotted("a")])
    assert not alike(Slotted("a"), Slotted("b"))
    assert alike(Open(name="a", more=1), Open(name="a", more=1))
    assert not alike(Open(name="a", more=1), Open(name="a", more=2))
