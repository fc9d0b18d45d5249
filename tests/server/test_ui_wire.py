"""Graphs behind the wires of chat user interfaces, over a real socket; their own clients meet them in the drill."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.server.graphs import quick
from tests.server.serving import Served, until
from tests.server.talking import broken, echo, mailer


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(echo(), echo("slow", 0.2), broken(), mailer(), quick()) as running:
        yield running


def read(answer: httpx.Response) -> list[Any]:
    """Return the data of each event; the SDK's end is told as it is."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def said(text: str, id: str = "m1") -> dict[str, Any]:
    return {"id": id, "role": "user", "parts": [{"type": "text", "text": text}]}


def chat(served: Served, graph: str, *messages: dict[str, Any], id: str = "c1") -> list[Any]:
    return read(served.client.post(f"/graphs/{graph}/chat", json={"id": id, "messages": messages}))


def agent(served: Served, graph: str, *messages: dict[str, Any], **more: Any) -> list[Any]:
    body = {"threadId": "t1", "runId": "r1", "messages": messages, "tools": [], "context": [], **more}
    return read(served.client.post(f"/graphs/{graph}/ag-ui", json=body))


def test_a_turn_in_the_words_of_the_ai_sdk(served: Served) -> None:
    answer = served.client.post("/graphs/echo/chat", json={"id": "c1", "messages": [said("hi")]})
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    chunks = read(answer)
    assert "".join(chunk.get("delta", "") for chunk in chunks[:-1]) == "You said: hi"
    assert [chunk["type"] for chunk in chunks[-4:-1]] == ["text-end", "finish-step", "finish"]
    assert chunks[-1] == "[DONE]"
    assert served.look(answer.headers["x-run-id"])["session"] == "c1"


def test_an_approval_is_asked_and_answered_in_the_sdks_own_way(served: Served) -> None:
    first = chat(served, "mailer", said("write"), id="c2")
    request = next(chunk for chunk in first if chunk["type"] == "tool-approval-request")
    text = "".join(chunk.get("delta", "") for chunk in first[:-1])
    assert text == "I will write to Ann.", "what a client can ask by itself is not told as text"
    part = {"type": "dynamic-tool", "state": "approval-responded"}
    part["approval"] = {"id": request["approvalId"], "approved": True}  # type: ignore[assignment]
    message = {"id": "a1", "role": "assistant", "parts": [{"type": "text", "text": text}, part]}
    second = chat(served, "mailer", said("write"), message, id="c2")
    assert second[0]["messageId"] == "a1", "the message goes on"
    asked = next(chunk for chunk in second if chunk["type"] == "data-pause")["data"]
    assert (asked["kind"], asked["payload"]) == ("question", "Who signs it?")
    notice = "".join(chunk.get("delta", "") for chunk in second[:-1])
    assert notice.startswith("This run waits for you.")


def test_whoever_comes_back_gets_the_whole_turn_and_nothing_after_it(served: Served) -> None:
    with served.client.stream("POST", "/graphs/slow/chat", json={"id": "c3", "messages": [said("a b")]}) as answer:
        next(answer.iter_lines())
    again = read(served.client.get("/graphs/slow/chat/c3/stream"))
    assert "".join(chunk.get("delta", "") for chunk in again[:-1]) == "You said: a b"
    until(lambda: served.client.get("/graphs/slow/chat/c3/stream").status_code == 204)


def test_a_turn_in_the_words_of_ag_ui(served: Served) -> None:
    events = agent(served, "echo", {"id": "m1", "role": "user", "content": "hi"})
    assert events[0]["type"] == "RUN_STARTED"
    assert (events[0]["threadId"], events[0]["runId"]) == ("t1", "r1")
    assert "".join(one["delta"] for one in events if one["type"] == "TEXT_MESSAGE_CONTENT") == "You said: hi"
    assert events[-2]["snapshot"]["seen"] == 1
    assert events[-1]["outcome"] == {"type": "success"}


def test_an_interrupt_is_resumed_and_what_was_said_is_not_said_again(served: Served) -> None:
    user = {"id": "m1", "role": "user", "content": "write"}
    (interrupt,) = agent(served, "mailer", user)[-1]["outcome"]["interrupts"]
    call = {"id": interrupt["toolCallId"], "type": "function", "function": {"name": "send_letter", "arguments": "{}"}}
    before = {"id": "m2", "role": "assistant", "content": "I will write to Ann.", "toolCalls": [call]}
    entry = {"interruptId": interrupt["id"], "status": "cancelled"}
    events = agent(served, "mailer", user, before, runId="r2", resume=[entry])
    assert "".join(one.get("delta", "") for one in events) == "Not sent: None"


def test_failures_are_told_and_never_by_their_words(served: Served) -> None:
    error = next(chunk for chunk in chat(served, "broken", said("hi")) if chunk["type"] == "error")
    assert error["errorText"] == "The run failed: node_failed."
    events = agent(served, "broken", {"id": "m1", "role": "user", "content": "hi"})
    assert events[-1] == {"type": "RUN_ERROR", "message": "The run failed: node_failed.", "code": "node_failed"}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/graphs/quick/chat", {"id": "c", "messages": [said("hi")]}, "graph_not_found"),
        ("/graphs/echo/chat", {"id": "c", "messages": []}, "input_invalid"),
        (
            "/graphs/echo/ag-ui",
            {"threadId": "t", "runId": "r", "messages": [], "resume": [{"interruptId": "nonsense"}]},
            "request_malformed",
        ),
        (
            "/graphs/echo/ag-ui",
            {"threadId": "t", "runId": "r", "messages": [], "resume": [{"interruptId": "run_0/p_0"}]},
            "run_not_found",
        ),
    ],
)
def test_what_does_not_fit_is_a_problem(served: Served, path: str, body: dict[str, Any], code: str) -> None:
    assert served.client.post(path, json=body).json()["code"] == code
