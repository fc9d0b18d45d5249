"""LangGraph's development server (`langgraph dev`), which keeps runs in memory: starting a stateless background run."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.servers.keeper import die_with_the_keeper

from benchmarks.measure import Costs
from benchmarks.readers import Child
from benchmarks.starting import started_per_second

_GRAPH = """
from typing import TypedDict
from langgraph.graph import END, START, StateGraph

class State(TypedDict):
    n: int

async def one(state: State) -> dict:
    return {"n": state["n"] + 1}

graph = StateGraph(State).add_node("one", one).add_edge(START, "one").add_edge("one", END).compile()
"""


class Server(Child):
    """`langgraph dev` on a free port."""

    def __init__(self) -> None:
        import langgraph_api  # noqa: F401  tells what is missing before anything is started

        folder = Path(tempfile.mkdtemp(prefix="bench-langgraph-"))
        (folder / "agent.py").write_text(_GRAPH, encoding="utf-8")
        config = {"dependencies": ["."], "graphs": {"agent": "./agent.py:graph"}, "env": {}}
        (folder / "langgraph.json").write_text(json.dumps(config), encoding="utf-8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host, self.url = "127.0.0.1", f"http://127.0.0.1:{self.port}"
        command = [str(Path(sys.executable).parent / "langgraph"), "dev", "--no-browser", "--no-reload"]
        quiet = {"LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LOG_LEVEL": "ERROR"}
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            cwd=folder,
            env={**os.environ, **quiet},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=die_with_the_keeper,  # noqa: PLW1509  (no other thread has begun yet)
        )
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"langgraph dev ended with {self.process.returncode}")
            try:
                with urllib.request.urlopen(self.url + "/ok", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError("langgraph dev did not answer in a minute")


def start(requests: int, at_once: int) -> Callable[[], Awaitable[Costs]]:
    """Time one POST that starts a run, and until the runs have ended too: one worker takes them from a queue, as
    `langgraph dev` has it when it is told nothing else.
    """
    server, body = Server(), {"assistant_id": "agent", "input": {"n": 0}}

    def is_idle() -> bool:
        queue = server.ask("GET", "/metrics?format=json")["queue"]
        return queue["n_pending"] == queue["n_running"] == 0

    return started_per_second(server, "/runs", body, requests=requests, at_once=at_once, is_idle=is_idle)
