"""Record what this release writes into `tests/upgrades/<version>/`: `PYTHONPATH=src:. python tests/upgrades/record.py`.

A release is recorded once, before it goes out; its folder is never changed after that.
"""

import asyncio
import contextlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

from tests.upgrades import recorded_graph
from tests.upgrades.recorded_graph import Recorded, draw

import ropewalk
from ropewalk import Graph, Run
from ropewalk.contracts import RunStore
from ropewalk.core.snapshot import dump_snapshot
from ropewalk.stores.sqlite import SqliteRunStore

HERE = Path(__file__).parent
FLOW = "/app/flow.py"
"""Where the recorded graph was, as its traces tell it: nobody's machine."""
ANSWERS = {"first?": "yes", "second?": True}


def asked(payload: Any) -> Any:
    """Return the answer to a recorded question."""
    return ANSWERS[payload["question"] if isinstance(payload, dict) else payload]


async def to_the_end(run: Run[Recorded]) -> Recorded:
    """Answer every question and release every breakpoint."""
    for _ in range(20):
        if await run.resume() == "DONE":
            return run.state
        for pause in run.pauses:
            if pause.kind != "breakpoint":
                await run.answer(pause.id, asked(pause.payload), by="ann")
                await run.wait()
    raise AssertionError(f"{run} does not end: {run.error or run.pauses}")


async def until(run: Run[Recorded], wanted: str, *, after: int = 0) -> None:
    """Follow the run until it has said ``wanted``: the type of an event and its node."""
    async for event in run.events(after=after):
        if wanted == f"{event.type} {event.node}":
            return


async def again_and_away(run: Run[Recorded]) -> None:
    """Take the run up once more and leave it in the middle of a step."""
    before = len(await run.history())
    task = asyncio.ensure_future(run.resume())
    while len(await run.history()) == before:
        continue
    await until(run, "step_started work", after=before)
    await run.let_go()
    await asyncio.gather(task, return_exceptions=True)


async def record(store: RunStore) -> None:
    """Drive a run into every state that a run can be in."""
    graph = draw(store)

    def start(mode: str) -> Run[Recorded]:
        return graph.start(Recorded(mode=mode), run_id=mode)

    done = start("done")
    await done.wait()
    await done.edit({"count": 5, "log": "edited"}, by="bob")
    await done.edit({"names": {"bob", "cy"}}, replace=True)
    await to_the_end(done)

    await (paused := start("paused")).wait()
    await paused.resume()
    await paused.answer(paused.pauses[0].id, "yes", by="ann")
    await paused.wait()
    await start("held").wait()

    failed = start("failed")
    await failed.wait()
    await failed.resume()
    mended = start("mended")
    await mended.wait()
    await mended.resume()
    mended = draw(store, broken=False).open("mended")
    await mended.resume()
    await mended.cancel("not wanted")

    for mode in ("running", "taken"):
        run = start(mode)
        await until(run, "step_finished sent")
        await run.let_go()
    await again_and_away(run)
    await again_and_away(draw(store).open("taken"))

    fork = await done.fork(at=4, updates={"count": 1})
    await fork.wait()


async def snapshot(store: SqliteRunStore) -> None:
    """Keep the fold of one run as well: the cache of a run that was paused for long."""
    engine = await draw(store).open("paused").read()
    record = await store.look("paused")
    await store.save_snapshot("paused", epoch=record.epoch, number=record.last, body=dump_snapshot(engine.schedule))


async def dumped(store: SqliteRunStore, graph: Graph[Recorded]) -> dict[str, Any]:
    """Return everything that is in the store, and what it means, as plain data."""
    runs: dict[str, Any] = {}
    for known in await store.runs():
        run = graph.open(known.run_id)
        state = await run.read()
        runs[known.run_id] = {
            "status": known.status,
            "parent": known.parent,
            "fork_at": known.fork_at,
            "state": state.schedule.shape.to_json(state.schedule.union()),
            "pauses": [[pause.id, pause.kind, pause.node, pause.payload] for pause in run.pauses],
            "bodies": [body.decode() for _, body in await store.read(known.run_id)],
        }
    return dict(sorted(runs.items()))


def forget_the_place(file: Path, flow: str) -> None:
    """Let the traces in a recording tell of `FLOW` in place of ``flow``, where the graph was when it was recorded."""
    said, neutral = (json.dumps(f'File "{path}"')[1:-1] for path in (flow, FLOW))
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as kept:
        for table in ("entry", "snapshot"):
            kept.execute(f"UPDATE {table} SET body = CAST(replace(body, ?, ?) AS BLOB)", (said, neutral))
        kept.execute("VACUUM")  # or what was replaced would still stand in the file's free pages


async def main() -> None:
    folder = HERE / ropewalk.__version__
    folder.mkdir(exist_ok=True)
    file = folder / "runs.db"
    for old in folder.glob("runs.db*"):
        old.unlink()
    store = SqliteRunStore(file)
    await record(store)
    await snapshot(store)
    await store.close()
    forget_the_place(file, recorded_graph.__file__)
    store = SqliteRunStore(file)
    found = await dumped(store, draw(store))
    await store.close()
    (folder / "runs.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(found)} runs, {sum(len(run['bodies']) for run in found.values())} entries: {folder}\n")


if __name__ == "__main__":
    asyncio.run(main())
