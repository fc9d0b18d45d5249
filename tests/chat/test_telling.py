"""The text of a message, folded from its run's events."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.chat.telling import Added, Anew, Telling, answer_in
from ropewalk.events import Event


def live(kind: str, node: str | None, **data: Any) -> Event:
    return Event(id="1.1", type=kind, node=node, data=data)


def replied(node: str, text: str, name: str = "model 1", model: str = "m") -> Event:
    value = {"message": {"role": "assistant", "content": text}, "model": model}
    return Event(id="2", type="model_replied", node=node, data={"step": "a#1", "name": name, "value": value})


def test_tokens_are_added_and_the_entry_that_has_them_adds_nothing() -> None:
    telling = Telling()
    assert telling.take([live("text", "say", text="Hel"), live("text", "say", text="lo")]) == Added("Hello")
    assert telling.take([live("step_finished", "say", step="say#1", text="Hello")]) is None
    assert telling.shown == "Hello"


def test_a_step_that_nobody_heard_is_told_by_its_entry() -> None:
    assert Telling().take([live("step_finished", "say", text="Hello")]) == Added("Hello")


def test_replies_of_a_model_stand_apart_and_unusable_ones_are_taken_back() -> None:
    telling = Telling()
    telling.take([live("text", "agent", text="Let me see."), replied("agent", "Let me see.")])
    assert telling.take([live("text", "agent", text="It")]) == Added("\n\nIt")
    assert telling.take([replied("agent", "It", name="model 2 unusable")]) == Anew("Let me see.")
    assert telling.take([replied("agent", "It rains.", name="model 2")]) == Added("\n\nIt rains.")
    assert telling.model == "m"


def test_words_of_an_agent_that_another_one_asked_are_not_told() -> None:
    assert Telling().take([replied("agent", "secret", name="call 1.1/model 1")]) is None


def test_what_an_attempt_said_that_failed_or_died_is_void() -> None:
    for void in (live("step_failed", "say"), live("paused", "say"), live("reset", None, reason="taken_over")):
        telling = Telling()
        telling.take([live("text", "say", text="Hel")])
        assert telling.take([void]) == Anew("")
        assert telling.take([live("text", "say", text="Hello")]) == Added("Hello")


@pytest.mark.parametrize("end", ["run_failed", "run_cancelled"])
def test_what_no_entry_has_is_void_when_the_run_ends_over_it(end: str) -> None:
    telling = Telling()
    telling.take([live("step_finished", "first", text="First."), live("text", "say", text="Hel")])
    assert telling.take([live(end, None)]) == Anew("First.")


def test_a_model_that_begins_anew_replaces_what_it_said() -> None:
    telling = Telling()
    telling.take([live("text", "say", text="abc")])
    assert telling.take([live("reset", "say", text="a")]) == Anew("a")


def test_nodes_that_speak_at_once_are_told_one_after_the_other() -> None:
    telling = Telling()
    assert telling.take([live("text", "a", text="A1"), live("text", "b", text="B1")]) == Added("A1")
    assert telling.take([live("text", "b", text="B2"), live("text", "a", text="A2")]) == Added("A2")
    assert telling.take([live("step_finished", "a", text="A1A2")]) == Added("\n\nB1B2")


def test_the_end_says_what_was_not_said_and_takes_back_what_is_not_the_answer() -> None:
    telling = Telling()
    telling.take([live("text", "say", text="Hello ")])
    assert telling.show("Hello world") == Added("world")
    assert telling.show("Other") == Anew("Other")
    assert telling.show("Other") is None


def test_the_answer_is_all_that_the_assistant_said_after_the_newest_question() -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "old"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "", "tool_calls": []},
        {"role": "tool", "content": "result"},
        {"role": "assistant", "content": [{"type": "text", "text": "new"}]},
        {"role": "assistant", "content": "end"},
    ]
    assert answer_in(messages, "hi") == "new\n\nend"
    assert answer_in(messages, "nobody asked") is None
    assert answer_in(messages[:1], "hi") is None


EVENTS = st.one_of(
    st.builds(lambda node, text: live("text", node, text=text), st.sampled_from("ab"), st.text("xy ", max_size=3)),
    st.builds(
        lambda node, text: live("step_finished", node, text=text), st.sampled_from("ab"), st.text("xy", max_size=3)
    ),
    st.builds(lambda node, text: live("reset", node, text=text), st.sampled_from("ab"), st.text("xy", max_size=3)),
    st.builds(lambda node: live("step_failed", node), st.sampled_from("ab")),
    st.just(live("reset", None)),
)


@given(st.lists(st.lists(EVENTS, max_size=4), max_size=12))
def test_whoever_follows_what_is_told_has_the_text(batches: list[list[Event]]) -> None:
    telling, text = Telling(), ""
    for batch in batches:
        told = telling.take(batch)
        match told:
            case Added(more):
                text += more
            case Anew(whole):
                text = whole
            case None:
                pass
        assert text == telling.text


@given(st.lists(EVENTS, max_size=20), st.integers(0, 20))
def test_how_events_are_batched_does_not_change_the_text(events: list[Event], cut: int) -> None:
    whole, parts = Telling(), Telling()
    whole.take(events)
    parts.take(events[:cut])
    parts.take(events[cut:])
    assert whole.text == parts.text
