"""`ropewalk serve` and `ropewalk worker` as processes, over a real NATS and a real PostgreSQL: tokens cross, a worker
is killed in the middle of a model's answer and another one goes on, the bus goes and comes back.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.serving import Sent, blocks, child, clean_environment, until
from tests.servers.jetstream import NatsServer

from ropewalk.events import parse_event_id

FLOW = """
import asyncio, os, pathlib
from ropewalk import END, START, Context, Graph, GraphState, History, LLMMessage, ScriptedModel, Token
from ropewalk.contracts.model import ModelRequest, TextPart
from ropewalk.llm.scripted import ScriptedReply

HERE = pathlib.Path(__file__).parent

class Talk(GraphState):
    said: History[str]
    words: int = 40

graph = Graph(Talk, name="talk")

@graph.node
async def think(state: Talk) -> dict:
    return {"said": "hm"}

@graph.node
async def answer(state: Talk, ctx: Context) -> dict:
    (HERE / "pid").write_text(str(os.getpid()))
    text = " ".join(f"w{number}" for number in range(state.words))
    model = ScriptedModel([ScriptedReply(text=text, delay_seconds=0.03)])
    heard = ""
    asked = [LLMMessage(role="user", content="Go on.")]
    async for part in model.stream(ModelRequest(model="scripted", messages=asked)):
        if isinstance(part, TextPart):
            heard += part.text
            ctx.emit(Token(part.text))
    return {"said": heard}

graph.add_edge(START, "think").add_edge("think", "answer").add_edge("answer", END)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    return tmp_path


@contextmanager
def working(folder: Path, store: str, bus: str) -> Iterator[subprocess.Popen[str]]:
    """Run `ropewalk worker`; it is ready when this yields."""
    command = [sys.executable, "-m", "ropewalk.cli", "worker", "flow.py:graph", "--lease", "2", "--json"]
    environment = clean_environment(NATS_URL=bus, ROPEWALK_STORE=store)
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["type"] == "worker_started"
            yield process
        finally:
            process.kill()


class Reading:
    """One client's stream, read in a thread of its own."""

    def __init__(self, url: str, run_id: str, after: str | None = None) -> None:
        self.got: list[Sent] = []
        self._asked = (f"{url}/runs/{run_id}/events", {} if after is None else {"last-event-id": after})
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        url, headers = self._asked
        with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
            for block in blocks(answer):
                if block.data is not None:
                    self.got.append(block)

    @property
    def types(self) -> list[str]:
        return [one.type for one in self.got]

    def text(self, after: int = 0) -> str:
        return "".join(one.data["data"]["text"] for one in self.got[after:] if one.type == "text")

    def to_the_end(self) -> list[Sent]:
        self._thread.join(30)
        assert not self._thread.is_alive(), self.types[-5:]
        return self.got


def started(url: str, **input: Any) -> str:
    until(lambda: httpx.get(url + "/health").status_code == 200)
    return httpx.post(f"{url}/graphs/talk/runs", json={"input": input}).json()["run_id"]


def spoken(count: int) -> str:
    return " ".join(f"w{number}" for number in range(count))


def test_tokens_cross_processes_and_a_killed_worker_is_followed(folder: Path, postgres_url: str, nats_url: str) -> None:
    options = ("flow.py:graph", "--workers", "--store", postgres_url, "--bus", nats_url)
    with (
        child(*options, cwd=folder) as (_, here),
        child(*options, cwd=folder) as (_, there),
        working(folder, postgres_url, nats_url) as first,
    ):
        run_id = started(here["url"])
        reading = Reading(here["url"], run_id)
        until(lambda: reading.text().count("w") >= 10)
        assert reading.types.count("step_finished") == 1, "tokens come before the step's entry"
        late = Reading(there["url"], run_id)
        back = Reading(there["url"], run_id, after=reading.got[5].id)
        until(lambda: late.text().count("w") >= 12 and back.text().count("w") >= 8)
        assert int((folder / "pid").read_text()) == first.pid
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        with working(folder, postgres_url, nats_url) as second:
            whole = reading.to_the_end()
            assert int((folder / "pid").read_text()) == second.pid
        reset = reading.types.index("reset")
        assert whole[reset].data["data"]["reason"] == "taken_over"
        assert spoken(40).startswith(reading.text()[: len(reading.text()) - len(reading.text(reset))])
        assert reading.text(reset) == spoken(40), "the second attempt is heard from its first word"
        assert reading.types[-2:] == ["step_finished", "run_done"]
        assert whole[-2].data["data"]["text"] == spoken(40)
        places = [parse_event_id(one.id) for one in whole]
        assert places == sorted(set(places))
        kept = [one for one in whole if not one.id.startswith("1.")]  # late is told of `think` by its entry
        assert [one.raw for one in late.to_the_end() if one.id != "1.1"] == [one.raw for one in kept]
        assert [one.raw for one in back.to_the_end()] == [one.raw for one in whole[6:]]


def test_a_bus_that_goes_and_comes_back_takes_tokens_and_nothing_else(folder: Path, postgres_url: str) -> None:
    with NatsServer() as bus:
        options = ("flow.py:graph", "--workers", "--store", postgres_url, "--bus", bus.url)
        with child(*options, cwd=folder) as (_, here), working(folder, postgres_url, bus.url):
            run_id = started(here["url"], words=150)
            reading = Reading(here["url"], run_id)
            until(lambda: reading.text().count("w") >= 5)
            bus.kill()
            heard = len(reading.got)
            other = Reading(here["url"], started(here["url"], words=5))
            other.to_the_end()
            assert [one.id for one in other.got] == ["1", "2", "3", "4"]
            bus.start()
            whole = reading.to_the_end()
            assert len(whole) > heard
            assert spoken(150) == reading.text(), "what was said meanwhile was asked of the worker"
            assert [one.id for one in whole if "." not in one.id] == ["1", "2", "3", "4"]


def test_a_bus_that_was_never_there_keeps_nobody_from_anything(folder: Path, postgres_url: str) -> None:
    nowhere = "nats://127.0.0.1:9"
    options = ("flow.py:graph", "--workers", "--store", postgres_url, "--bus", nowhere)
    with child(*options, cwd=folder) as (_, here), working(folder, postgres_url, nowhere):
        reading = Reading(here["url"], started(here["url"], words=5))
        assert [one.id for one in reading.to_the_end()] == ["1", "2", "3", "4"]
