"""Tool loops in chats: what a model says and calls, and what a person is asked about it, over each chat's own wire."""

import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.server.serving import Served
from tests.server.talking import clerk, finder, handyman, judge, mailer
from tests.server.test_ui_wire import agent, chat
from tests.server.test_ui_wire import said as said_in_parts


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(mailer(), finder(), handyman(), clerk(), judge()) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as one:
        yield one


class Talk:
    """A conversation as a chat client keeps it: everything that was said is sent each time."""

    def __init__(self, client: OpenAI, model: str) -> None:
        self._client = client
        self._model = model
        self.said: list[Any] = []

    def say(self, text: str) -> str:
        self.said.append({"role": "user", "content": text})
        chunks = self._client.chat.completions.create(model=self._model, messages=self.said, stream=True)
        answer = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.said.append({"role": "assistant", "content": answer})
        return answer


def test_each_reply_of_the_model_is_a_part_of_the_answer(client: OpenAI) -> None:
    assert Talk(client, "finder").say("Ann") == "Let me look.\n\nThey live at Ann, Rope Street 7."
    done = client.chat.completions.create(model="finder", messages=[{"role": "user", "content": "Ann"}])
    assert done.choices[0].message.content == "They live at Ann, Rope Street 7."
    assert done.usage is not None
    assert done.usage.prompt_tokens > 0
    assert done.usage.completion_tokens > 0


def test_what_a_model_thinks_is_told_apart(client: OpenAI) -> None:
    chunks = client.chat.completions.create(model="finder", messages=[{"role": "user", "content": "Ann"}], stream=True)
    thought = "".join(getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in chunks)
    assert thought == "who is it?"


def test_a_conversation_with_a_loop_goes_on(client: OpenAI, served: Served) -> None:
    talk = Talk(client, "finder")
    talk.say("Ann")
    assert talk.say("Bob").endswith("They live at Bob, Rope Street 7.")
    newest = served.client.get("/runs", params={"graph": "finder", "limit": 1}).json()["items"][0]
    roles = [message["role"] for message in served.look(newest["run_id"])["state"]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize("model", ["mailer", "clerk"])
def test_what_a_run_asks_is_answered_in_the_chat(client: OpenAI, model: str) -> None:
    talk = Talk(client, model)
    assert talk.say("write to Ann").startswith("I will write to Ann.\n\nThis run waits for you.")
    question = talk.say("approve")
    assert question.startswith("This run waits for you."), "what was said before is not said again"
    assert "Who signs it?" in question
    assert talk.say("Bob") == "Sent, signed by Bob."


def test_a_new_reply_that_begins_like_the_one_before_is_told_whole(client: OpenAI) -> None:
    talk = Talk(client, "handyman")
    assert "The tool burn wants to run" in talk.say("burn I heard")
    assert talk.say("approve") == "I heard: I heard is ashes"


def test_two_calls_wait_and_each_is_answered_by_its_id(client: OpenAI) -> None:
    talk = Talk(client, "handyman")
    first, second = re.findall(r'"approve ([^"]+)"', talk.say("burn one and burn two"))
    with pytest.raises(openai.BadRequestError) as unclear:
        talk.say("approve")
    assert first in str(unclear.value)
    talk.said.pop()
    assert second in talk.say(f"approve {first}")
    answer = talk.say(f"reject {second} keep it")
    assert "one is ashes; burn was not run: a person rejected it. Reason: keep it" in answer


def test_a_result_counts_when_a_person_says_so(client: OpenAI) -> None:
    talk = Talk(client, "handyman")
    assert 'The tool weigh has run with {"what":"feather"}: 7' in talk.say("weigh feather")
    assert talk.say("yes") == "I heard: 7"
    talk = Talk(client, "handyman")
    talk.say("weigh feather")
    assert "a person refused its result. Reason: too light" in talk.say("reject too light")


def test_a_call_that_nobody_knows_the_end_of_is_settled_in_the_chat(client: OpenAI) -> None:
    talk = Talk(client, "handyman")
    asked = talk.say("transfer 7")
    assert "nobody knows whether it took effect" in asked
    assert '"happened ' in asked
    assert talk.say("happened moved 7") == "I heard: moved 7"


def test_an_answer_that_comes_too_late_lets_the_run_go_on_without_it(client: OpenAI) -> None:
    import time

    talk = Talk(client, "handyman")
    talk.say("hurry up")
    time.sleep(0.1)
    assert "nobody approved it in time" in talk.say("approve")


def test_what_does_not_answer_an_approval_is_told(client: OpenAI) -> None:
    talk = Talk(client, "handyman")
    talk.say("burn it")
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        talk.say("happened yesterday")
    assert refused.value.code == "answer_invalid"


def test_a_structure_is_the_answer_where_there_is_no_text(client: OpenAI) -> None:
    assert Talk(client, "judge").say("judge him") == '{"guilty":true,"years":3}'


def test_the_ai_sdk_is_told_of_a_call_once_and_of_its_end(served: Served) -> None:
    *first, _ = chat(served, "mailer", said_in_parts("write"), id="c9")
    request = next(one for one in first if one["type"] == "tool-approval-request")
    assert [one["type"] for one in first if one["type"].startswith("tool-input-available")] == ["tool-input-available"]
    part = {"type": "dynamic-tool", "state": "approval-responded", "toolCallId": request["toolCallId"]}
    part["input"] = {"to": "Ann"}  # type: ignore[assignment]
    part["approval"] = {"id": request["approvalId"], "approved": False, "reason": "too early"}  # type: ignore[assignment]
    message = {"id": "a9", "role": "assistant", "parts": [{"type": "text", "text": "I will write to Ann."}, part]}
    *second, _ = chat(served, "mailer", said_in_parts("write"), message, id="c9")
    of_the_call = [one["type"] for one in second if one["type"].startswith("tool-")]
    assert of_the_call == ["tool-output-denied"]
    assert "".join(one.get("delta", "") for one in second) == "Not sent: too early"


def test_the_ai_sdk_answers_two_approvals_at_once(served: Served) -> None:
    ask = said_in_parts("burn one and burn two")
    *first, _ = chat(served, "handyman", ask, id="c10")
    requests = [one for one in first if one["type"] == "tool-approval-request"]
    parts = [
        {
            "type": "dynamic-tool",
            "state": "approval-responded",
            "toolCallId": one["toolCallId"],
            "approval": {"id": one["approvalId"], "approved": True},
        }
        for one in requests
    ]
    *second, _ = chat(served, "handyman", ask, {"id": "a10", "role": "assistant", "parts": parts}, id="c10")
    assert len(requests) == 2
    assert sum(one["type"] == "tool-output-available" for one in second) == 2
    assert "".join(one.get("delta", "") for one in second) == "I heard: one is ashes; two is ashes"


def test_ag_ui_resumes_a_call_with_other_arguments(served: Served) -> None:
    user = {"id": "m1", "role": "user", "content": "burn one"}
    (interrupt,) = agent(served, "handyman", user)[-1]["outcome"]["interrupts"]
    payload = {"approve": True, "arguments": {"letter": "two"}}
    entry = {"interruptId": interrupt["id"], "status": "resolved", "payload": payload}
    call = {"id": interrupt["toolCallId"], "type": "function", "function": {"name": "burn", "arguments": "{}"}}
    told = {"id": "m2", "role": "assistant", "toolCalls": [call]}
    events = agent(served, "handyman", user, told, runId="r2", resume=[entry])
    types = [one["type"] for one in events]
    assert "TOOL_CALL_START" not in types, "the client has it from before"
    assert next(one["content"] for one in events if one["type"] == "TOOL_CALL_RESULT") == "two is ashes"
    assert events[-1]["outcome"] == {"type": "success"}
