"""Ropewalk after kill -9: from a dead process to the first step of the next.

1. ``first_step`` runs a victim in a process until its log holds ``entries`` entries, and kills it -9.
2. Each repetition copies the file, starts a survivor in a fresh process and has it resume.
3. The survivor's first step says how long ago `resume` was called, and how long ago its process was started.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Costs
from ropewalk import END, START, Graph, GraphState, History, Incremental

RUN_ID = "victim"


class Talk(GraphState):
    n: Incremental[int] = 0
    messages: History[str]


def first_step(entries: int) -> Callable[[], Costs]:
    folder = Path(tempfile.mkdtemp(prefix="bench-resume-"))
    victim = _start("die", folder / "runs.db", entries)
    assert victim.stdout is not None
    if not victim.stdout.readline():
        raise RuntimeError("the victim died before it was killed")
    victim.kill()
    victim.wait()

    def repeat() -> Costs:
        with tempfile.TemporaryDirectory() as copy:
            for file in folder.iterdir():
                shutil.copy(file, copy)
            spawned = time.monotonic()
            survivor = _start("live", Path(copy) / "runs.db", entries)
            said, _ = survivor.communicate(timeout=120)
        answer = json.loads(said)
        return {
            "first_step": answer["first_step"] - answer["called"],
            "cpu": answer["cpu"],
            "spawn": answer["first_step"] - spawned,
        }

    return repeat


def _start(role: str, path: Path, entries: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.ours.resume", role, str(path), str(entries)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def _die(path: Path, entries: int) -> None:
    async def work(state: Talk) -> dict[str, object]:
        if state.n == entries - 1:  # entry 1 says that the run started
            print("ready", flush=True)
            await asyncio.sleep(3600)
        return {"n": 1, "messages": "x" * 100}

    await _graph(path, work).start(Talk(messages=[]), run_id=RUN_ID)


async def _live(path: Path) -> None:
    async def work(state: Talk) -> dict[str, object]:
        now = time.monotonic()
        print(json.dumps({"first_step": now, "called": called, "cpu": time.process_time() - cpu}), flush=True)
        os._exit(0)

    graph = _graph(path, work)
    called, cpu = time.monotonic(), time.process_time()
    await graph.open(RUN_ID).resume()


def _graph(path: Path, work: Callable[..., object]) -> Graph:
    graph = Graph(Talk, store=f"sqlite:///{path}", name="resume", max_node_iterations=10**9, execution_timeout=3600)
    graph.add_node(work, name="work")
    graph.add_edge(START, "work")
    graph.add_router_edge("work", lambda state: "work" if state.n < 10**9 else END, routes=["work", END])
    return graph.compile()


if __name__ == "__main__":
    asyncio.run(_die(Path(sys.argv[2]), int(sys.argv[3])) if sys.argv[1] == "die" else _live(Path(sys.argv[2])))
