"""The codec: JSON that comes back equal, or an error that says where it would not."""

import math

import pytest
from pydantic import TypeAdapter

from ropewalk.codec import (
    ANY,
    MAX_ENTRY_BYTES,
    MAX_VALUE_BYTES,
    RawJson,
    dump_entry,
    dump_json,
    dump_plain_entry,
    load_entry,
    stored_form,
    to_plain,
)
from ropewalk.errors import NotStorable, TooLarge


def test_an_entry_comes_back_as_it_was():
    body = dump_entry("step_finished", "näme", {"a": [1, {"b": None}], "raw": RawJson(b'{"x":1}')}, 12.5)
    assert load_entry(body) == ("step_finished", "näme", {"a": [1, {"b": None}], "raw": {"x": 1}}, 12.5)
    assert dump_plain_entry("reset", None, {"a": 1}, 1.0) == dump_entry("reset", None, {"a": 1}, 1.0)


def test_raw_json_is_taken_as_it_is_at_any_depth():
    assert dump_json({"a": [RawJson(b"1"), {"b": RawJson(b"[2]")}]}) == b'{"a":[1,{"b":[2]}]}'
    assert to_plain([RawJson(b'"x"')]) == ["x"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'"x"', b"nonsense", b'{"type":"x"}', b"\x80\x04]\x94.", b"5"])
def test_what_is_no_entry_is_a_value_error(body):
    with pytest.raises(ValueError):  # noqa: PT011  any of them
        load_entry(body)


def test_what_comes_back_shares_nothing_with_what_went_in():
    value = {"a": [1]}
    raw, back = stored_form(ANY, value, "it")
    assert raw == b'{"a":[1]}'
    back["a"].append(2)
    assert value == {"a": [1]}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [{"b": (1,)}]}, r"at \['a'\]\[0\]\['b'\] a tuple would come back as a list"),
        ({"a": {1: 2}}, r"at \['a'\] keys"),
        ([{1, 2}], r"at \[0\] a set would come back as a list"),
    ],
)
def test_what_would_come_back_different_is_told_with_its_place(value, where):
    with pytest.raises(NotStorable, match=rf"it cannot be stored: {where}"):
        stored_form(ANY, value, "it")


def test_a_declared_type_makes_the_same_value_storable():
    raw, back = stored_form(TypeAdapter(dict[int, tuple[int, str]]), {1: (2, "x")}, "it")
    assert back == {1: (2, "x")}
    assert raw == b'{"1":[2,"x"]}'


def test_what_is_too_large_is_told_with_its_size():
    with pytest.raises(TooLarge, match="it is 16,777,218 bytes") as caught:
        stored_form(ANY, "x" * MAX_VALUE_BYTES, "it")
    assert caught.value.limit == MAX_VALUE_BYTES
    with pytest.raises(TooLarge, match="step_finished entry of 'n'"):
        dump_entry("step_finished", "n", {"x": RawJson(b"1" * MAX_ENTRY_BYTES)}, 1.0)


def test_a_number_that_json_lacks_is_refused():
    for value in (math.nan, math.inf, [-math.inf]):
        with pytest.raises(NotStorable):
            stored_form(ANY, value, "it")
