"""Graphs behind OpenAI's wire: the real `openai` SDK against a real server."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.server.graphs import quick
from tests.server.serving import Served
from tests.server.talking import broken, echo, mailer, mute


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(echo(), mute(), broken(), mailer(), quick()) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key="none") as one:
        yield one


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def streamed(client: OpenAI, model: str, messages: list[Any]) -> str:
    chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_models_are_the_graphs_that_one_can_talk_to(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["echo", "mute", "broken", "mailer"]
    assert client.models.retrieve("echo").owned_by == "ropewalk"


@pytest.mark.parametrize("model", ["quick", "nobody"])
def test_a_graph_that_one_cannot_talk_to_is_no_model(client: OpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model=model, messages=[user("hi")])
    assert caught.value.code == "graph_not_found"


def test_a_completion_is_the_newest_message_of_the_assistant(client: OpenAI) -> None:
    done = client.chat.completions.create(model="echo", messages=[user("hello there")])
    (choice,) = done.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        "You said: hello there",
        "stop",
    )
    assert done.model == "echo"
    assert done.usage is not None


def test_the_run_behind_a_completion_can_be_looked_at(client: OpenAI, served: Served) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="echo", messages=[user("hi")], metadata={"session": "s1"}
    )
    run_id = raw.headers["x-run-id"]
    assert raw.parse().id == f"chatcmpl-{run_id}"
    looked = served.look(run_id)
    assert looked["status"] == "DONE"
    assert looked["session"] == "s1"


def test_a_stream_comes_token_by_token_and_says_each_word_once(client: OpenAI) -> None:
    chunks = [*client.chat.completions.create(model="echo", messages=[user("a b c")], stream=True)]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: a b c"
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) == 5
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


def test_usage_comes_last_for_those_who_ask(client: OpenAI) -> None:
    chunks = client.chat.completions.create(
        model="echo", messages=[user("a")], stream=True, stream_options={"include_usage": True}
    )
    *others, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert all(chunk.usage is None for chunk in others)


def test_an_answer_that_was_not_streamed_comes_in_one_piece(client: OpenAI) -> None:
    assert streamed(client, "mute", [user("hi")]) == "In one piece."


def test_a_conversation_goes_to_the_graph_whole(client: OpenAI, served: Served) -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "and "}, {"type": "text", "text": "now"}]}
    said = [{"role": "developer", "content": "be kind"}, user("hi"), {"role": "assistant", "content": "hello"}, parts]
    raw = client.chat.completions.with_raw_response.create(model="echo", messages=said)  # type: ignore[arg-type]
    assert raw.parse().choices[0].message.content == "You said: and now"
    state = served.look(raw.headers["x-run-id"])["state"]
    assert state["messages"][0] == {"role": "system", "content": "be kind"}
    assert state["seen"] == 4


def test_a_run_that_fails_is_an_error_that_nobody_tries_again(client: OpenAI, served: Served) -> None:
    before = len(served.client.get("/runs", params={"graph": "broken"}).json()["items"])
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="broken", messages=[user("hi")])
    assert caught.value.code == "run_failed"
    assert "secret-of-the-node" not in str(caught.value)
    with pytest.raises(openai.APIError) as in_stream:
        streamed(client, "broken", [user("hi")])
    assert "secret-of-the-node" not in str(in_stream.value)
    assert len(served.client.get("/runs", params={"graph": "broken"}).json()["items"]) == before + 2


def test_a_body_that_does_not_fit_is_told_in_openais_words(client: OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(model="echo", messages=[])
    assert caught.value.code == "input_invalid"


@pytest.mark.parametrize(
    "message", [{"role": "user"}, {"content": "hi"}, {"role": "wizard", "content": "hi"}, {"role": 1, "content": "hi"}]
)
def test_a_message_that_is_none_starts_no_run(served: Served, client: OpenAI, message: Any) -> None:
    before = len(served.client.get("/runs", params={"graph": "echo"}).json()["items"])
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(model="echo", messages=[user("hi"), message])
    assert "message 2" in str(caught.value)
    assert "wizard" not in str(caught.value)
    assert len(served.client.get("/runs", params={"graph": "echo"}).json()["items"]) == before


@pytest.mark.parametrize("how", ["at once", "streamed"])
def test_an_approval_is_told_and_answered_in_the_chat(client: OpenAI, served: Served, how: str) -> None:
    def ask(messages: list[Any]) -> str:
        if how == "streamed":
            return streamed(client, "mailer", messages)
        return client.chat.completions.create(model="mailer", messages=messages).choices[0].message.content or ""

    said = [user("write to Ann")]
    waiting = ask(said)
    assert waiting.startswith("I will write to Ann.\n\nThis run waits for you.")
    assert 'The tool send_letter wants to run with {"to":"Ann"}.' in waiting
    said += [{"role": "assistant", "content": waiting}, user("approve")]
    question = ask(said)
    assert "Who signs it?" in question
    assert question.startswith("This run waits for you."), "what was said before is not said again"
    said += [{"role": "assistant", "content": question}, user("Bob")]
    assert ask(said) == "Sent, signed by Bob."
    newest = served.client.get("/runs", params={"graph": "mailer", "limit": 1}).json()["items"][0]
    assert newest["status"] == "DONE"


def test_an_approval_is_rejected_by_its_id_with_a_reason(client: OpenAI, served: Served) -> None:
    said = [user("write")]
    waiting = streamed(client, "mailer", said)
    place = waiting.partition('"reject ')[2].partition('"')[0]
    answer = streamed(client, "mailer", [user(f"reject {place} too early")])
    assert answer.endswith("Not sent: too early")
    with pytest.raises(openai.ConflictError) as caught:
        streamed(client, "mailer", [user(f"approve {place}")])
    assert caught.value.code in ("already_answered", "run_finished")


def test_who_says_something_else_begins_anew_without_the_notice(client: OpenAI, served: Served) -> None:
    said = [user("write")]
    waiting = streamed(client, "mailer", said)
    said += [{"role": "assistant", "content": waiting}, user("what is the time?")]
    raw = client.chat.completions.with_raw_response.create(model="echo", messages=said)
    assert raw.parse().choices[0].message.content == "You said: what is the time?"
    messages = served.look(raw.headers["x-run-id"])["state"]["messages"]
    assert [one["content"] for one in messages[:3]] == ["write", "I will write to Ann.", "what is the time?"]


def test_keys_are_asked_for_as_the_sdk_sends_them() -> None:
    with Served(echo(), mailer(), api_keys=("ann:key-of-ann", "bob:key-of-bob")) as served:
        url = f"{served.url}/v1"
        with OpenAI(base_url=url, api_key="wrong-key") as stranger, pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        with OpenAI(base_url=url, api_key="key-of-ann") as ann, OpenAI(base_url=url, api_key="key-of-bob") as bob:
            waiting = streamed(ann, "mailer", [user("write")])
            place = waiting.partition('"reject ')[2].partition('"')[0]
            with pytest.raises(openai.NotFoundError):
                streamed(bob, "mailer", [user(f"approve {place}")])
            assert "Who signs it?" in streamed(ann, "mailer", [user(f"approve {place}")])


def test_a_client_that_leaves_holds_nothing(client: OpenAI, served: Served) -> None:
    stream = client.chat.completions.create(model="echo", messages=[user("x " * 50)], stream=True)
    next(iter(stream))
    stream.close()
    from tests.server.serving import until

    until(lambda: not served.doors.service.following.readers)
