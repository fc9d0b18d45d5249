"""Today's code reads every log that a release wrote: folds it, goes on with it, forks it.

The recordings are made by `record.py`, one folder a release.
"""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
from tests.upgrades.record import FLOW, forget_the_place, to_the_end
from tests.upgrades.recorded_graph import Recorded, draw

from ropewalk.contracts import NewRun
from ropewalk.errors import RunFinished
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore

HERE = Path(__file__).parent
VERSIONS = sorted(path.parent.name for path in HERE.glob("*/runs.json"))
ENTRY_TYPES = {
    "run_started",
    "step_finished",
    "step_failed",
    "step_recorded",
    "paused",
    "answered",
    "state_edited",
    "reset",
    "run_paused",
    "run_done",
    "run_failed",
    "run_cancelled",
}
"""Of the engine; tool_call and tool_result are the tool loop's."""
RUNS = {version: json.loads((HERE / version / "runs.json").read_text(encoding="utf-8")) for version in VERSIONS}
EVERY_RUN = [(version, run_id) for version in VERSIONS for run_id in RUNS[version]]
FINAL = ["ünïcode ✓", "load", "work 0 first", "work 1 second", "flaky 1", "sent 1", "sent 2"]


async def loaded(version):
    """Return a memory store that holds the recorded bodies: whatever becomes of the files' schema."""
    store = MemoryRunStore()
    for run_id, run in RUNS[version].items():
        new = NewRun(run_id=run_id, graph="recorded", plan="recorded", status=run["status"], at=1.0)
        await store.create(new, [body.encode() for body in run["bodies"]])
    return store


def copied(version, folder):
    """Return a store on a copy of the recorded file: opening it may bring its schema up to date."""
    shutil.copy(HERE / version / "runs.db", folder / "runs.db")
    return SqliteRunStore(folder / "runs.db")


def test_something_is_recorded():
    assert "0.1.0" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_covers_every_type_of_entry_and_every_status(version):
    bodies = [json.loads(body) for run in RUNS[version].values() for body in run["bodies"]]
    assert {body["type"] for body in bodies} == ENTRY_TYPES
    assert {run["status"] for run in RUNS[version].values()} == {"DONE", "PAUSED", "FAILED", "CANCELLED", "RUNNING"}
    parts = {key for body in bodies for key in body["data"]}
    assert parts >= {"writes", "routes", "choices", "text", "retry_at", "nth", "by", "fork_of", "explicit", "trace"}
    assert {body["data"]["reason"] for body in bodies if body["type"] == "reset"} == {"taken_over", "resumed"}
    assert {write[1] for body in bodies for write in body["data"].get("writes", ())} == {"set", "add", "extend"}
    assert {body["data"]["kind"] for body in bodies if body["type"] == "paused"} == {
        "breakpoint",
        "question",
        "approval",
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["runs.json", "runs.db"])
def test_a_recording_names_no_place_of_the_machine_that_made_it(version, name):
    found = re.findall(rb'File [\\"]+([^\\"]+)', (HERE / version / name).read_bytes())
    assert {*found} == {FLOW.encode()}


def test_a_recorder_forgets_where_it_was(tmp_path):
    async def main():
        store = SqliteRunStore(tmp_path / "runs.db")
        new = NewRun(run_id="r", graph="recorded", plan="recorded", status="FAILED", at=1.0)
        await store.create(new, [b'{"trace":"  File \\"/elsewhere/flow.py\\", line 1"}', "ünïcode ✓".encode()])
        await store.close()
        forget_the_place(tmp_path / "runs.db", "/elsewhere/flow.py")
        store = SqliteRunStore(tmp_path / "runs.db")
        traced = b'{"trace":"  File \\"/app/flow.py\\", line 1"}'
        assert await store.read("r") == [(1, traced), (2, "ünïcode ✓".encode())]
        await store.close()

    asyncio.run(main())
    assert b"/elsewhere" not in (tmp_path / "runs.db").read_bytes()


@pytest.mark.parametrize(("version", "run_id"), EVERY_RUN)
@pytest.mark.parametrize("kept", ["bodies", "file"])
def test_a_recorded_run_is_folded_to_what_it_was(version, run_id, kept, tmp_path):
    async def main():
        store = await loaded(version) if kept == "bodies" else copied(version, tmp_path)
        run = draw(store).open(run_id)
        recorded = RUNS[version][run_id]
        assert run.status == recorded["status"]
        assert run.state == Recorded.model_validate_json(json.dumps(recorded["state"]))
        pauses = [[pause.id, pause.kind, pause.node, pause.payload] for pause in run.pauses]
        assert pauses == recorded["pauses"]
        assert len(await run.history()) == len(recorded["bodies"])
        assert await run.note() is None
        if run.status != "RUNNING":
            assert len([event async for event in run.events()]) == len(recorded["bodies"])
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(("version", "run_id"), EVERY_RUN)
@pytest.mark.parametrize("kept", ["bodies", "file"])
def test_a_recorded_run_goes_on_to_its_end(version, run_id, kept, tmp_path):
    async def main():
        store = await loaded(version) if kept == "bodies" else copied(version, tmp_path)
        run = draw(store, broken=False).open(run_id)
        if RUNS[version][run_id]["status"] == "CANCELLED":
            with pytest.raises(RunFinished):
                await run.resume()
        else:
            state = await to_the_end(run)
            assert [word for word in state.log if word != "edited"] == [
                *FINAL,
                "look",
                "yes True",
                "twice 0",
                "twice 1",
                "finish",
            ]
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(("version", "run_id"), EVERY_RUN)
def test_a_recorded_run_is_forked_at_every_entry_and_goes_on(version, run_id, tmp_path):
    async def main():
        store = copied(version, tmp_path)
        run = draw(store, broken=False).open(run_id)
        for number in range(1, len(RUNS[version][run_id]["bodies"]) + 1):
            fork = await run.fork(at=number)
            state = await to_the_end(fork)
            assert state.log[-1] == "finish", number
        await store.close()

    asyncio.run(main())
