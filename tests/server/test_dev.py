"""`ropewalk dev`: a real supervisor, real saves, runs that survive them."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.serving import blocks, clean_environment, until

FLOW = """
import asyncio
from ropewalk import END, START, Context, Graph, GraphState, History, Token

class Talk(GraphState):
    said: History[str]
    seconds: float = 0.0

graph = Graph(Talk, name="talk")

@graph.node
async def slow(state, ctx: Context):
    ctx.emit(Token("begun "))
    await asyncio.sleep(state.seconds if "VERSION" == "v1" else 0)
    return {"said": "slow, VERSION"}

@graph.node
async def ask(ctx: Context):
    return {"said": f"asked, VERSION: {await ctx.ask('well?')}"}

graph.add_edge(START, "slow").add_edge("slow", "ask").add_edge("ask", END)
"""


class Running:
    """A supervisor, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self.listening = threading.Thread(target=self._listen, daemon=True)
        self.listening.start()
        self.client = httpx.Client(timeout=20)
        self.url = ""

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._said.put(json.loads(line))

    def hear(self, kind: str) -> dict[str, Any]:
        """Return the next thing of a kind that it says."""
        while (told := self._said.get(timeout=20))["type"] != kind:
            pass
        return told

    def serving(self) -> dict[str, Any]:
        told = self.hear("serving")
        self.url = told["url"]
        return told

    def start(self, **input: Any) -> str:
        return self.client.post(f"{self.url}/graphs/talk/runs", json={"input": input}).json()["run_id"]

    def look(self, run_id: str) -> dict[str, Any]:
        return self.client.get(f"{self.url}/runs/{run_id}").json()


@contextlib.contextmanager
def dev(folder: Path, *more: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ropewalk.cli", "dev", *more, "--port", "0", "--json"],
        cwd=folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    running = Running(process)
    try:
        yield running
    finally:
        running.client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        running.listening.join(10)
        assert process.stdout is not None
        process.stdout.close()


def save(folder: Path, version: str, name: str = "flow.py", *, text: str = FLOW) -> None:
    (folder / name).write_text(text.replace("VERSION", version), encoding="utf-8")


def test_two_saves_within_a_second_are_two_versions(tmp_path: Path) -> None:
    flow = tmp_path / "flow.py"
    save(tmp_path, "v1")
    second = flow.stat().st_mtime_ns // 10**9 * 10**9
    os.utime(flow, ns=(second, second))
    with dev(tmp_path) as running:
        running.serving()
        save(tmp_path, "v2")
        os.utime(flow, ns=(second + 1, second + 1))
        running.serving()
        run_id = running.start()
        until(lambda: running.look(run_id)["status"] == "PAUSED")
        assert running.look(run_id)["state"]["said"] == ["slow, v2"]


def test_runs_and_readers_survive_a_save_and_a_mistake_leaves_the_last_good_version(tmp_path: Path) -> None:
    save(tmp_path, "v1")
    save(tmp_path, "", "notes.py", text="no python at all, and no graph either")
    with dev(tmp_path) as running:
        assert running.serving()["graphs"] == ["talk"]
        paused = running.start()
        until(lambda: running.look(paused)["status"] == "PAUSED")
        under_way = running.start(seconds=60.0)
        with running.client.stream("GET", f"{running.url}/runs/{under_way}/events") as stream:
            events = blocks(stream)
            assert next(one for one in events if one.type == "text").data["data"] == {"text": "begun "}
            save(tmp_path, "v2")
            assert [one.type for one in events][-1] == "reconnect"
        running.serving()
        until(lambda: running.look(under_way)["status"] == "PAUSED")
        assert running.look(under_way)["state"]["said"] == ["slow, v2"]
        history = running.client.get(f"{running.url}/runs/{under_way}/history").json()["items"]
        assert [entry["data"]["reason"] for entry in history if entry["type"] == "reset"] == ["interrupted"]

        save(tmp_path, "v3 (")
        text = (tmp_path / "flow.py").read_text(encoding="utf-8")
        (tmp_path / "flow.py").write_text(text + "\ndef broken(:\n", encoding="utf-8")
        told = running.hear("load_failed")
        assert told["file"].endswith("flow.py")
        assert "SyntaxError" in told["told"]
        assert "def broken(:" in told["told"]
        running.hear("still_serving")
        pause = running.look(paused)["pauses"][0]["id"]
        answered = running.client.post(f"{running.url}/runs/{paused}/answers/{pause}", json={"value": "yes"})
        assert answered.status_code == 202
        until(lambda: running.look(paused)["status"] == "DONE")
        assert running.look(paused)["state"]["said"] == ["slow, v1", "asked, v2: yes"]

        save(tmp_path, "v4")
        running.serving()
        run_id = running.start()
        until(lambda: running.look(run_id)["status"] == "PAUSED")
        assert running.look(run_id)["state"]["said"] == ["slow, v4"]


def test_a_mistake_at_the_start_is_mended_and_a_server_that_was_killed_comes_back_with_its_runs(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text("import ropewalk  # a Graph will be here\nraise ValueError('not yet')\n")
    with dev(tmp_path) as running:
        told = running.hear("load_failed")["told"]
        assert told.endswith("ValueError: not yet")
        assert "ropewalk/cli" not in told, "only the user's own frames"
        running.hear("nothing_to_serve")
        save(tmp_path, "v1")
        pid = running.serving()["pid"]
        run_id = running.start(seconds=60.0)
        os.kill(pid, signal.SIGKILL)
        running.hear("serving_ended")
        save(tmp_path, "v2")
        running.serving()
        until(lambda: running.look(run_id)["status"] == "PAUSED")
        assert running.look(run_id)["state"]["said"] == ["slow, v2"]


def test_every_graph_of_a_folder_is_served_once_and_two_of_one_name_are_told(tmp_path: Path) -> None:
    save(tmp_path, "v1")
    (tmp_path / "a_user.py").write_text("from flow import graph\nimport ropewalk\n", encoding="utf-8")
    (tmp_path / "other.py").write_text(FLOW.replace('name="talk"', 'name="other"'), encoding="utf-8")
    (tmp_path / ".hidden").mkdir()
    save(tmp_path / ".hidden", "v1")
    save(tmp_path, "v1", "test_flow.py")
    with dev(tmp_path) as running:
        assert sorted(running.serving()["graphs"]) == ["other", "talk"]
        save(tmp_path, "v1", "twice.py")
        assert "draws a graph 'talk' too" in running.hear("load_failed")["told"]


@pytest.mark.parametrize(("arguments", "code"), [(["nowhere"], "usage"), (["--host", "0.0.0.0"], "setting_invalid")])
def test_what_cannot_be_right_is_said(tmp_path: Path, arguments: list[str], code: str) -> None:
    command = [sys.executable, "-m", "ropewalk.cli", "dev", *arguments, "--json"]
    ran = subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["code"] == code
