"""Event ids: an entry's number, or a live event's place behind it; they compare as integers."""

import pytest

from ropewalk import Entry, Event, Token
from ropewalk.events import parse_event_id


@pytest.mark.parametrize(
    ("text", "place"),
    [("12", (12, 0)), ("12.3", (12, 3)), (12, (12, 0)), (None, (0, 0)), ("0", (0, 0)), ("9.10", (9, 10))],
)
def test_an_id_is_read(text, place):
    assert parse_event_id(text) == place


def test_ids_compare_as_integers():
    assert parse_event_id("9.9") < parse_event_id("9.10") < parse_event_id("10")


@pytest.mark.parametrize("text", ["", "x", "1.", "1.x", ".1", "-1", "1.2.3", " 1", "1e3"])
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ValueError, match="no event id"):
        parse_event_id(text)


def test_words_are_values():
    assert Event(id="1", type="text", node="n", data={}) == Event(id="1", type="text", node="n", data={})
    assert Token("x") == Token("x")
    entry = Entry(number=1, type="reset", node=None, data={}, at=1.0)
    with pytest.raises(AttributeError):
        entry.number = 2
