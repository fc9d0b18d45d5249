"""A run's events in the words of chat user interfaces: pure functions, told one event after the other."""

from typing import Any

import pytest

from ropewalk.events import Event
from ropewalk.server.encoders.ag_ui import AgUi
from ropewalk.server.encoders.heard import Heard, Hearing, StepEnded, Text, TextEnds
from ropewalk.server.encoders.openai_chunks import ChatChunks
from ropewalk.server.encoders.ui_messages import UiMessages


def event(id: str, type: str, node: str | None = "say", **data: Any) -> Event:
    return Event(id=id, type=type, node=node, data=data)


def heard(*events: Event) -> list[Heard]:
    hearing = Hearing()
    return [one for each in events for one in hearing.hear(each)]


def text_of(found: list[Heard]) -> str:
    """Return what a reader sees; a part that ended is told by a bar."""
    return "".join(one.text if isinstance(one, Text) else "|" for one in found if isinstance(one, Text | TextEnds))


BEGAN = event("1.1", "step_started", step="say#1", attempt=1)


def test_text_is_shown_once_whether_it_was_heard_live_or_not() -> None:
    live = [BEGAN, event("1.2", "text", text="row "), event("1.3", "text", text="boat")]
    end = event("2", "step_finished", step="say#1", attempt=1, text="row boat")
    assert text_of(heard(*live, end)) == "row boat|"
    assert text_of(heard(*live[:2], end)) == "row boat|"
    assert text_of(heard(end)) == "row boat|"


def test_steps_of_one_node_that_speak_at_once_are_shown_once() -> None:
    pieces = [event(f"1.{i}", "text", text=text) for i, text in enumerate(["ab", "xy", "cd", "z"], 3)]
    ends = [
        event("2", "step_finished", step="say#1[0]", text="abcd"),
        event("3", "step_finished", step="b", text="xyz"),
    ]
    assert text_of(heard(*pieces, *ends)) == "abxycdz|"


def test_another_attempt_that_says_the_same_is_passed_over() -> None:
    first = [BEGAN, event("1.2", "text", text="row your")]
    failed = event("2", "step_failed", step="say#1", attempt=1, code="node_failed", message="")
    second = [event("2.2", "text", text="row"), event("2.3", "text", text=" your boat")]
    end = event("3", "step_finished", step="say#1", attempt=2, text="row your boat")
    assert text_of(heard(*first, failed, *second, end)) == "row your boat|"


def test_another_attempt_that_says_something_else_is_a_part_of_its_own() -> None:
    first = [BEGAN, event("1.2", "text", text="row your")]
    again = event("2", "reset", None, reason="taken_over", epoch=2, explicit=False)
    second = [event("2.2", "text", text="row"), event("2.3", "text", text=" no more")]
    end = event("3", "step_finished", step="say#1", attempt=2, text="row no more")
    assert text_of(heard(*first, again, *second, end)) == "row your|row no more|"


def test_a_step_that_was_answered_says_nothing_twice_to_who_was_there_before() -> None:
    hearing = Hearing("I will write.")
    pieces = [event("4.2", "text", text="I will"), event("4.3", "text", text=" write. Done.")]
    assert text_of([one for each in pieces for one in hearing.hear(each)]) == " Done."
    other = Hearing("I will write.")
    assert text_of([*other.hear(event("4.2", "text", text="No."))]) == "|No."


def test_a_live_reset_tells_what_a_slow_reader_missed() -> None:
    told = [BEGAN, event("1.2", "text", text="one "), event("1.9", "reset", text="one two three ")]
    assert text_of(heard(*told, event("1.10", "text", text="four"))) == "one two three four"


def test_a_step_that_asks_has_ended_for_readers() -> None:
    asked = event("2", "paused", step="say#1", pause="p_1", kind="question", payload="who?", name="ask", nth=1)
    assert StepEnded("say", "say#1") in heard(BEGAN, asked)


TOOL = {"tool": "add", "call_id": "c1", "arguments": {"a": 1}}
RUN = [
    event("1", "run_started", None, graph="g"),
    BEGAN,
    event("1.2", "thinking", text="hm"),
    event("1.3", "text", text="hi"),
    event("2", "tool_started", step="say#1", name="start 1.1", nth=1, value=TOOL),
    event("3", "tool_finished", step="say#1", name="tool 1.1", nth=1, value={**TOOL, "status": "ok", "result": 2}),
    event("4", "model_replied", step="say#1", name="model 1", nth=1, value={}, usage={"input_tokens": 3, "cost": None}),
    event("4.1", "custom", progress=0.5),
    event("5", "unheard_of", step="say#1"),
    event("6", "step_finished", step="say#1", attempt=1, text="hi"),
    event("7", "run_done", None),
]


def test_a_run_in_the_words_of_the_ai_sdk() -> None:
    hearing, chunks = Hearing(), UiMessages("r1", "m1")
    told = [
        *chunks.begin(),
        *(chunk for one in RUN for each in hearing.hear(one) for chunk in chunks.say(each)),
        *chunks.answer("hi"),
        *chunks.end(hearing.usage),
    ]
    assert [chunk["type"] for chunk in told] == [
        "start",
        "start-step",
        "reasoning-start",
        "reasoning-delta",
        "reasoning-end",
        "text-start",
        "text-delta",
        "tool-input-available",
        "tool-output-available",
        "data-custom",
        "text-end",
        "finish-step",
        "finish",
    ]
    assert told[-1]["messageMetadata"]["usage"] == {"input_tokens": 3}
    assert told[7] == {
        "type": "tool-input-available",
        "toolCallId": "c1",
        "toolName": "add",
        "input": {"a": 1},
        "dynamic": True,
    }


def test_a_run_in_the_words_of_ag_ui() -> None:
    hearing, events = Hearing(), AgUi("r1", thread="t", run="x")
    told = [
        *events.begin(),
        *(told for one in RUN for each in hearing.hear(one) for told in events.say(each)),
        *events.end({"n": 1}, hearing.usage, kind="run_done"),
    ]
    assert [one["type"] for one in told] == [
        "RUN_STARTED",
        "STEP_STARTED",
        "REASONING_START",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
        "REASONING_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
        "CUSTOM",
        "TEXT_MESSAGE_END",
        "STEP_FINISHED",
        "STATE_SNAPSHOT",
        "RUN_FINISHED",
    ]
    assert told[-1]["outcome"] == {"type": "success"}
    assert told[-1]["usage"] == [{"inputTokens": 3}]


@pytest.mark.parametrize("status", ["rejected", "error", "ok"])
def test_how_a_tool_ended_is_told_also_to_who_did_not_hear_it_begin(status: str) -> None:
    ended = event("3", "tool_result", **TOOL, status=status, result=2, error=None if status == "ok" else "no")
    chunks = [chunk["type"] for one in heard(ended) for chunk in UiMessages("r", "m").say(one)]
    ends = {"rejected": "tool-output-denied", "error": "tool-output-error", "ok": "tool-output-available"}
    assert chunks == ["tool-input-available", ends[status]]


def test_parts_of_text_stand_apart_in_a_completion() -> None:
    chunks = ChatChunks("c", "m", 1)
    for one in (Text("a", "first"), TextEnds("a"), Text("b", "second"), TextEnds("b")):
        chunks.say(one)
    assert chunks.text == "first\n\nsecond"
    assert chunks.answer("second") == []
    chunks.answer("third")
    assert chunks.text == "first\n\nsecond\n\nthird"
