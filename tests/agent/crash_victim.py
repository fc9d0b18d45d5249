"""A process that dies at every position of a loop's log, and one that goes on: `python crash_victim.py FOLDER`.

It forks a child for each life, so that nothing is imported twice; prints one JSON line for each position.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ropewalk import (
    Approve,
    Happened,
    LLMMessage,
    RunStatus,
    ScriptedModel,
    ToolCall,
    ToolContext,
    ToolGraph,
    ToolState,
)
from ropewalk import tool as make_tool
from ropewalk.errors import RunNotFound
from ropewalk.stores.sqlite import SqliteRunStore

LIVES = 8
"""More are never needed: each further life only answers a question more."""


class Mortal(SqliteRunStore):
    """Kills its process at an append: before it is written, or after."""

    def __init__(self, path: str, at: int, when: str) -> None:
        super().__init__(path)
        self.left, self.when = at, when

    async def append(self, *args: Any, **kwargs: Any) -> None:
        self.left -= 1
        if self.left == 0 and self.when == "before":
            die()
        await super().append(*args, **kwargs)
        if self.left == 0 and self.when == "after":
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class World:
    """What the tools change: lines of a file, which outlives every process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deadly: tuple[str, str] | None = None
        """The tool that dies, and when: before its effect or after it."""

    def note(self, file: str, line: str) -> None:
        with (self.folder / file).open("a") as out:
            out.write(line + "\n")

    def lines(self, file: str) -> list[str]:
        path = self.folder / file
        return path.read_text().splitlines() if path.exists() else []

    def act(self, name: str, ctx: ToolContext) -> str:
        if self.deadly == (name, "before"):
            die()
        self.note("effects", f"{name} {ctx.idempotency_key}")
        if self.deadly == (name, "after"):
            die()
        return f"{name} done"


def tools(world: World) -> list[Any]:
    @make_tool("Search", effects="idempotent")
    async def search(ctx: ToolContext) -> str:
        return world.act("search", ctx)

    @make_tool("Charge", effects="once")
    async def charge(ctx: ToolContext) -> str:
        return world.act("charge", ctx)

    @make_tool("Pay", pause_before_execution=True)
    def pay(ctx: ToolContext) -> str:
        return world.act("pay", ctx)

    @make_tool("Mail", pause_after_execution=True, effects="once")
    async def mail(ctx: ToolContext) -> str:
        return world.act("mail", ctx)

    return [search, charge, pay, mail]


SCRIPT = [
    [ToolCall("search", {}, "c1"), ToolCall("charge", {}, "c2")],
    [ToolCall("pay", {}, "c3"), ToolCall("charge", {}, "c4")],
    ToolCall("mail", {}, "c5"),
    "all done",
]


async def live(world: World, at: int, when: str) -> None:
    """Start the run, or go on with it; answer what it asks, as a person who looks at the world would."""
    store = Mortal(str(world.folder / "runs.db"), at, when)
    model = ScriptedModel([_told(world, cue) for cue in SCRIPT])
    graph: ToolGraph[Any] = ToolGraph("crash", state_class=ToolState, store=store)
    graph.add_tool_node("agent", tools(world), model)
    try:
        run = graph.open("the-run")
        await run.resume()
    except RunNotFound:
        run = graph.start(ToolState(messages=[LLMMessage(role="user", content="Go.")]), run_id="the-run")
    while await run.wait() is RunStatus.PAUSED:
        pause = run.pauses[0]
        answer: Any = Approve()
        if pause.payload.get("outcome") == "unknown":
            key = f"{pause.payload['tool']} the-run/agent#1/call {_key_of(pause.payload['call_id'])}"
            answer = Happened("seen in the world") if key in world.lines("effects") else Approve()
            world.note("unknown", pause.payload["call_id"])
        await run.answer(pause.id, answer)
    (world.folder / "end").write_text(json.dumps([run.status, run.state.final_output, len(run.state.tool_calls)]))
    await store.close()


def _told(world: World, cue: Any) -> Any:
    def answer(_: Any) -> Any:
        world.note("asked", "asked")
        return cue

    answer.__qualname__ = f"cue_{SCRIPT.index(cue)}"
    return answer


def _key_of(call_id: str) -> str:
    return {"c1": "1.1", "c2": "1.2", "c3": "2.1", "c4": "2.2", "c5": "3.1"}[call_id]


def one_life(world: World, at: int, when: str) -> bool:
    """Live in a child; return whether it died."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(live(world, at, when))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, f"the child failed at {at} {when}"
    return False


def lives(folder: Path, at: int, when: str, deadly: tuple[str, str] | None = None) -> bool:
    """Die once, then live on to the end; print what became of the world. Return whether anybody died."""
    world = World(folder)
    folder.mkdir(parents=True)
    world.deadly = deadly
    died = one_life(world, at, when)
    world.deadly = None
    for _ in range(LIVES):
        if (folder / "end").exists() or not died:
            break
        one_life(world, 0, "never")
    told = {
        "position": f"{when} {at}" if deadly is None else " ".join(deadly),
        "died": died,
        "effects": world.lines("effects"),
        "asked": len(world.lines("asked")),
        "unknown": world.lines("unknown"),
        "end": json.loads((folder / "end").read_text()),
    }
    print(json.dumps(told), flush=True)
    return died


def main(folder: Path) -> None:
    for when in ("before", "after"):
        at = 1
        while lives(folder / f"{when}-{at}", at, when):
            at += 1
    for name in ("search", "charge", "pay", "mail"):
        for when in ("before", "after"):
            lives(folder / f"{name}-{when}", 0, "never", (name, when))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
