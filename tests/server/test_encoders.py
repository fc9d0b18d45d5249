"""A run's events in the words of chat user interfaces: pure functions, told one event after the other."""

import asyncio
import json
from typing import Any

from tests.server.talking import finder, look_up, mailer

from ropewalk import (
    END,
    START,
    Agent,
    Graph,
    Retrying,
    RetryPolicy,
    ScriptedModel,
    ScriptedReply,
    ToolCall,
    ToolGraph,
    ToolLoopOptions,
)
from ropewalk.errors import ModelStreamBroken
from ropewalk.events import Event
from ropewalk.server.encoders.ag_ui import AgUi
from ropewalk.server.encoders.heard import Hearing
from ropewalk.server.encoders.openai_chunks import ChatChunks
from ropewalk.server.encoders.ui_messages import UiMessages
from ropewalk.server.encoders.words import (
    Heard,
    StepEnded,
    Text,
    TextEnds,
    ToolCalled,
    ToolDropped,
    ToolEnded,
    ToolTold,
)


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


def test_another_attempt_that_says_less_is_shown_as_it_is() -> None:
    first = [BEGAN, event("1.2", "text", text="row your boat")]
    failed = event("2", "step_failed", step="say#1", attempt=1, code="node_failed", message="")
    second = [event("2.2", "text", text="row"), event("3", "step_finished", step="say#1", attempt=2, text="row")]
    assert text_of(heard(*first, failed, *second)) == "row your boat|row|"


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


def told(graph: Graph[Any], text: str, *answers: Any) -> list[Event]:
    """Return what a run of a tool loop tells its readers, through all its questions."""

    async def follow() -> list[Event]:
        run = graph.start(graph.drawing.state_class(messages=[{"role": "user", "content": text}]))  # type: ignore[misc]
        events = [event async for event in run.events()]
        for answer in answers:
            await run.answer(run.pauses[0].id, answer)
            events += [event async for event in run.events(after=events[-1].id)]
        return events

    return asyncio.run(follow())


def in_order(types: list[str]) -> list[str]:
    """Return types without those that repeat the one before."""
    return [one for i, one in enumerate(types) if not i or types[i - 1] != one]


def in_ui(events: list[Event], chunks: UiMessages | None = None) -> list[dict[str, Any]]:
    hearing, chunks = Hearing(), chunks or UiMessages("r1", "m1")
    said = [chunk for event in events for one in hearing.hear(event) for chunk in chunks.say(one)]
    return [*chunks.begin(), *said, *chunks.answer(None), *chunks.end(hearing.usage)]


def in_ag_ui(events: list[Event], kind: str = "run_done") -> list[dict[str, Any]]:
    hearing, chunks = Hearing(), AgUi("r1", thread="t", run="x")
    said = [chunk for event in events for one in hearing.hear(event) for chunk in chunks.say(one)]
    return [*chunks.begin(), *said, *chunks.end({"n": 1}, hearing.usage, kind=kind)]


def test_a_tool_loop_in_the_words_of_the_ai_sdk() -> None:
    chunks = in_ui(told(finder(), "Ann and Nobody"))
    assert in_order([chunk["type"] for chunk in chunks]) == [
        "start",
        "start-step",
        "reasoning-start",
        "reasoning-delta",
        "reasoning-end",
        "text-start",
        "text-delta",
        *["tool-input-start", "tool-input-delta"] * 2,
        "text-end",
        "tool-input-available",
        "tool-output-available",
        "tool-output-error",
        "text-start",
        "text-delta",
        "text-end",
        "finish-step",
        "finish",
    ]
    calls = [chunk for chunk in chunks if chunk["type"] == "tool-input-available"]
    assert [(one["toolName"], one["input"]) for one in calls] == [
        ("look_up", {"name": "Ann"}),
        ("look_up", {"name": "Nobody"}),
    ]
    pieces = [
        one["inputTextDelta"]
        for one in chunks
        if one.get("toolCallId") == calls[0]["toolCallId"] and "inputTextDelta" in one
    ]
    assert json.loads("".join(pieces)) == {"name": "Ann"}
    done = next(one for one in chunks if one["type"] == "tool-output-available")
    assert (done["toolCallId"], done["output"]) == (calls[0]["toolCallId"], "Ann, Rope Street 7")
    failed = next(one for one in chunks if one["type"] == "tool-output-error")
    assert failed["errorText"] == "look_up failed. LookupError: no such person"
    usage = chunks[-1]["messageMetadata"]["usage"]
    assert (usage["model_calls"], usage["tool_calls"]) == (2, 2)
    assert usage["output_tokens"] > 0


def test_a_tool_loop_in_the_words_of_ag_ui() -> None:
    events = in_ag_ui(told(finder(), "Ann and Nobody"))
    assert in_order([one["type"] for one in events]) == [
        "RUN_STARTED",
        "STEP_STARTED",
        "REASONING_START",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
        "REASONING_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        *["TOOL_CALL_START", "TOOL_CALL_ARGS"] * 2,
        "TEXT_MESSAGE_END",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "STEP_FINISHED",
        "STATE_SNAPSHOT",
        "RUN_FINISHED",
    ]
    started = [one["toolCallId"] for one in events if one["type"] == "TOOL_CALL_START"]
    for call_id, name in zip(started, ("Ann", "Nobody"), strict=True):
        pieces = [one["delta"] for one in events if one["type"] == "TOOL_CALL_ARGS" and one["toolCallId"] == call_id]
        assert json.loads("".join(pieces)) == {"name": name}
    results = [(one["toolCallId"], one["content"]) for one in events if one["type"] == "TOOL_CALL_RESULT"]
    assert results == [
        (started[0], "Ann, Rope Street 7"),
        (started[1], "look_up failed. LookupError: no such person"),
    ]
    assert events[-1]["outcome"] == {"type": "success"}
    assert events[-1]["usage"][0]["outputTokens"] > 0


def test_a_tool_loop_says_each_reply_once_to_who_was_there_and_to_who_comes_late() -> None:
    everything = told(finder(), "Ann")
    entries = [event for event in everything if "." not in event.id]
    assert text_of(heard(*everything)) == "Let me look.|They live at Ann, Rope Street 7.|"
    assert text_of(heard(*entries)) == text_of(heard(*everything))
    calls = [one for one in heard(*entries) if isinstance(one, ToolCalled | ToolEnded)]
    assert [type(one).__name__ for one in calls] == ["ToolCalled", "ToolCalled", "ToolEnded"]
    for cut in range(len(everything)):  # what was missed live is in the entry
        late = [event for event in everything[cut:] if "." not in event.id]
        assert text_of(heard(*everything[:cut], *late)) == "Let me look.|They live at Ann, Rope Street 7.|"


def test_what_a_tool_says_is_told_and_is_no_part_of_the_answer() -> None:
    events = told(mailer(), "write", {"approve": True}, "Bob")
    assert text_of(heard(*events)) == "I will write to Ann.|Sent, signed by Bob.|"
    (progress,) = [one for one in in_ui(events) if one["type"] == "data-tool-progress"]
    assert (progress["data"]["toolName"], progress["data"]["data"]) == ("send_letter", {"envelope": "Ann"})
    (custom,) = [one for one in in_ag_ui(events) if one["type"] == "CUSTOM"]
    assert (custom["name"], custom["value"]["data"]) == ("tool_progress", {"envelope": "Ann"})


def test_an_approval_of_a_real_call_is_asked_in_the_sdks_own_way() -> None:
    chunks = in_ui(told(mailer(), "write"))
    called = next(one for one in chunks if one["type"] == "tool-input-available")
    asked = next(one for one in chunks if one["type"] == "tool-approval-request")
    assert asked["toolCallId"] == called["toolCallId"]
    assert sum(one["type"] == "tool-input-available" for one in chunks) == 1
    (interrupt,) = in_ag_ui(told(mailer(), "write"), "run_paused")[-1]["outcome"]["interrupts"]
    assert (interrupt["reason"], interrupt["metadata"]["payload"]["tool"]) == ("tool_call", "send_letter")


def test_arguments_that_a_person_has_changed_are_told_again() -> None:
    chunks = in_ui(told(mailer(), "write", {"approve": True, "arguments": {"to": "Eve"}}))
    assert [one["input"] for one in chunks if one["type"] == "tool-input-available"] == [{"to": "Ann"}, {"to": "Eve"}]


def test_a_rejected_call_is_denied() -> None:
    chunks = in_ui(told(mailer(), "write", {"approve": False, "reason": "too early"}))
    assert [one["type"] for one in chunks if one["type"].startswith("tool-output")] == ["tool-output-denied"]


def test_a_reply_that_begins_anew_takes_back_the_call_it_was_writing() -> None:
    broken = ScriptedReply(
        text="One moment.", tool_calls=[ToolCall("look_up", {"name": "Ann"})], error=ModelStreamBroken("cut")
    )
    graph: ToolGraph[Any] = ToolGraph("again")
    model = Retrying(ScriptedModel([broken, "One moment. I need no tool."]), RetryPolicy(backoff_seconds=0.001))
    graph.add_tool_node("agent", [look_up], model, ToolLoopOptions(stream=True))
    events = told(graph.add_edge(START, "agent").add_edge("agent", END), "Ann")
    assert text_of(heard(*events)) == "One moment. I need no tool.|", "what is the same is passed over"
    (dropped,) = [one for one in heard(*events) if isinstance(one, ToolDropped)]
    assert dropped.tool == "look_up"
    types = [one["type"] for one in in_ag_ui(events)]
    assert types.index("TOOL_CALL_END") < types.index("TOOL_CALL_RESULT") < types.index("RUN_FINISHED")
    assert [one["type"] for one in in_ui(events) if one["type"].startswith("tool-")][-1] == "tool-input-error"


def test_the_words_of_an_agent_that_another_one_asked_are_not_the_answer() -> None:
    inner = Agent(name="scout", model=ScriptedModel(["Inner words."]), options=ToolLoopOptions(stream=True))
    model = ScriptedModel([ToolCall("scout", {"task": "look"}), "Outer words."])
    graph: ToolGraph[Any] = ToolGraph("asks")
    graph.add_tool_node("agent", [inner.as_tool()], model, ToolLoopOptions(stream=True))
    events = told(graph.add_edge(START, "agent").add_edge("agent", END), "Ann")
    assert text_of(heard(*events)) == "Outer words.|"
    said = [one.data["text"] for one in heard(*events) if isinstance(one, ToolTold)]
    assert "".join(said) == "Inner words."


def test_a_node_may_tell_anything_else() -> None:
    custom = event("4.1", "custom", progress=0.5)
    (chunk,) = [chunk for one in heard(custom) for chunk in UiMessages("r", "m").say(one)]
    assert chunk == {"type": "data-custom", "data": {"node": "say", "data": {"progress": 0.5}}, "transient": True}
    assert heard(event("5", "unheard_of", step="say#1")) == []


def test_what_the_client_knows_of_a_call_is_not_told_again() -> None:
    events = told(mailer(), "write", {"approve": True}, "Bob")
    paused = next(i for i, one in enumerate(events) if one.type == "run_paused")
    call = next(one for one in heard(*events) if isinstance(one, ToolCalled))
    chunks = in_ui(events[paused + 1 :], UiMessages("r", "m", {call.call_id: {"to": "Ann"}}))
    assert "tool-input-available" not in [one["type"] for one in chunks]
    assert "tool-output-available" in [one["type"] for one in chunks]


def test_parts_of_text_stand_apart_in_a_completion() -> None:
    chunks = ChatChunks("c", "m", 1)
    for one in (Text("a", "first"), TextEnds("a"), Text("b", "second"), TextEnds("b")):
        chunks.say(one)
    assert chunks.text == "first\n\nsecond"
    assert chunks.answer("second") == []
    chunks.answer("third")
    assert chunks.text == "first\n\nsecond\n\nthird"
