"""`ropewalk serve` of a tool loop and of a plain chat graph, as a process of its own, met by the `openai` SDK."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from tests.server.serving import blocks, child, until
from tests.server.test_metrics import samples

FLOW = """
from ropewalk import END, START, Context, Graph, GraphState, History, LLMMessage, Token
from tests.server.talking import mailer, finder

class ChatState(GraphState):
    messages: History[LLMMessage]
    heard: int = 0

parrot = Graph(ChatState, name="parrot")

@parrot.node
async def say(state: ChatState, ctx: Context) -> dict:
    for word in ("You ", "said: ", state.messages[-1].text):
        ctx.emit(Token(word))
    answer = LLMMessage(role="assistant", content=f"You said: {state.messages[-1].text}")
    return {"messages": answer, "heard": len(state.messages)}

parrot.add_edge(START, "say").add_edge("say", END)
letters = mailer("letters")
addresses = finder("addresses")
"""
TARGETS = ("flow.py:parrot", "flow.py:letters", "flow.py:addresses")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    return tmp_path


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    with child(*TARGETS, cwd=folder) as (process, told):
        until(lambda: httpx.get(told["url"] + "/health").status_code == 200)
        yield told["url"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def ask(url: str, model: str, *said: Any, stream: bool = True) -> str:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        if stream:
            chunks = client.chat.completions.create(model=model, messages=[*said], stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        done = client.chat.completions.create(model=model, messages=[*said])
        return done.choices[0].message.content or ""


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def assistant(text: str) -> Any:
    return {"role": "assistant", "content": text}


def test_a_chat_graph_and_tool_loops_are_models(url: str) -> None:
    with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        assert [model.id for model in client.models.list()] == ["parrot", "letters", "addresses"]
    assert ask(url, "parrot", user("hi")) == "You said: hi"
    assert ask(url, "addresses", user("Ann"), stream=False) == "They live at Ann, Rope Street 7."
    waiting = ask(url, "letters", user("write"))
    question = ask(url, "letters", user("write"), assistant(waiting), user("yes"))
    said = [user("write"), assistant(waiting), user("yes"), assistant(question), user("Bob")]
    assert ask(url, "letters", *said) == "Sent, signed by Bob."


def test_a_tool_loop_over_http_is_followed_and_measured(url: str) -> None:
    schema = httpx.get(f"{url}/graphs/addresses").json()["input_schema"]
    assert "messages" in schema["properties"]
    started = httpx.post(f"{url}/graphs/addresses/runs", json={"input": {"messages": [user("Ann and Nobody")]}})
    run_id = started.json()["run_id"]
    with httpx.stream("GET", f"{url}/runs/{run_id}/events", timeout=20) as answer:
        types = [block.type for block in blocks(answer) if block.data is not None]
    assert types[-1] == "run_done"
    assert [types.count(kind) for kind in ("model_replied", "tool_call", "tool_result")] == [2, 2, 2]
    state = httpx.get(f"{url}/runs/{run_id}").json()["state"]
    assert state["is_complete"] is True
    assert state["final_output"].startswith("They live at Ann")
    assert [call["success"] for call in state["tool_calls"]] == [True, False]
    found = samples(httpx.get(f"{url}/metrics").text)
    assert found["ropewalk_tool_calls_total", "ok", "look_up"] == 1
    assert found["ropewalk_llm_tokens_total", "scripted-1", "scripted", "output"] > 0
    assert "<svg" in httpx.get(f"{url}/runs/{run_id}/picture").text


def test_an_approval_waits_through_the_death_of_the_server_and_is_answered_in_the_chat(folder: Path) -> None:
    with child(*TARGETS, cwd=folder) as (process, told):
        until(lambda: httpx.get(told["url"] + "/health").status_code == 200)
        waiting = ask(told["url"], "letters", user("write"))
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
    with child(*TARGETS, cwd=folder) as (_, told):
        until(lambda: httpx.get(told["url"] + "/health").status_code == 200)
        question = ask(told["url"], "letters", user("write"), assistant(waiting), user("approve"))
        assert "Who signs it?" in question
        said = [user("write"), assistant(waiting), user("approve"), assistant(question), user("Bob")]
        assert ask(told["url"], "letters", *said) == "Sent, signed by Bob."
        runs = httpx.get(f"{told['url']}/runs", params={"graph": "letters"}).json()["items"]
        assert [one["status"] for one in runs] == ["DONE"]
        history = httpx.get(f"{told['url']}/runs/{runs[0]['run_id']}/history").json()["items"]
        assert sum(one["type"] == "model_replied" for one in history) == 2, "the model was asked nothing twice"
