"""Promise 15, no pickle: what is stored is JSON by the state's schema; no class is ever loaded by a stored name.

Run as a script, this file reads a crafted store under an audit hook.
"""

import asyncio
import datetime
import decimal
import enum
import json
import os
import pickle
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import ropewalk
from ropewalk import Graph, GraphState, History, LastValue
from ropewalk.errors import GraphChanged, NotStorable, RunFailed, StoreCorrupt
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore

SOURCE = str(Path(ropewalk.__file__).parents[1])
CRAFTED = {
    "__class__": "subprocess.Popen",
    "__reduce__": ["os.system", ["touch hacked"]],
    "lc": 2,
    "type": "constructor",
    "id": ["xmlrpc", "client", "ServerProxy"],
    "kwargs": {"uri": "http://127.0.0.1/"},
    "py/object": "antigravity.fly",
    "data": {"args": ["touch", "hacked"], "shell": True},
}


class Loose(GraphState):
    anything: LastValue[Any] = None
    log: History[dict[str, Any]]


def asking(store):
    graph = Graph(Loose, store=store)

    @graph.node
    async def ask(ctx):
        kept = await ctx.step("kept", lambda: {"x": 1})
        answer = await ctx.ask("go?")
        return {"log": {"kept": kept, "answer": answer}}

    return graph


async def read_crafted(file):
    """Open, fold, answer and fork the crafted run; print what was imported or started meanwhile."""
    store = SqliteRunStore(file)
    warm = asking(store).start()
    await warm.wait()
    await warm.answer(warm.pauses[0].id, {"x": [1.5, None]})
    await warm
    await (await warm.fork(at=2)).cancel()
    asking(store).open(warm.run_id).state.anything  # noqa: B018  all that reading needs is loaded by now
    told = []

    def audit(event, args):
        if event in ("import", "exec", "compile", "pickle.find_class") or event.startswith(
            ("subprocess", "os.sys", "os.exec")
        ):
            told.append((event, str(args)[:80]))

    sys.addaudithook(audit)
    run = asking(store).open("r")
    state = run.state
    await run.answer(run.pauses[0].id, CRAFTED)
    final = await run
    fork = await run.fork(at=4)
    await fork.wait()
    found = list(told)
    await store.close()
    print(json.dumps({"told": found, "state": state.anything, "log": final.log, "types": str(type(state.anything))}))


def test_a_crafted_row_imports_and_runs_nothing(tmp_path):
    """Promise 15: the rows that ran code in primeGraph and LangGraph are plain data here."""
    file = tmp_path / "runs.db"

    async def record():
        store = SqliteRunStore(file)
        await asking(store).start(Loose(anything="CRAFTED"), run_id="r").wait()
        await store.close()

    asyncio.run(record())
    with closing(sqlite3.connect(file)) as rows, rows:
        for number, body in rows.execute("SELECT number, body FROM entry").fetchall():
            crafted = body.replace(b'"CRAFTED"', json.dumps(CRAFTED).encode()).replace(
                b'{"x":1}', json.dumps(CRAFTED).encode()
            )
            rows.execute("UPDATE entry SET body = ? WHERE number = ?", (crafted, number))
        rows.execute("DELETE FROM snapshot")
    result = subprocess.run(
        [sys.executable, "-W", "error", __file__, "read_crafted", str(file)],
        env=os.environ | {"PYTHONPATH": SOURCE},
        cwd=tmp_path,
        timeout=15,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert seen["told"] == []
    assert seen["state"] == CRAFTED
    assert seen["log"] == [{"kept": CRAFTED, "answer": CRAFTED}]
    assert seen["types"] == "<class 'dict'>"
    assert not (tmp_path / "hacked").exists()


class Bomb:
    def __reduce__(self):
        return os.system, ("touch hacked",)


@pytest.mark.parametrize(
    "body",
    [
        pickle.dumps(Bomb()),
        b"\x80\x04.",
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"type":"step_finished"}',
        b"\xff\xfe",
        b'{"type":',
    ],
)
def test_a_row_that_is_no_entry_is_refused_by_its_number(body):
    """Promise 15."""

    async def main():
        store = MemoryRunStore()
        await asking(store).start(run_id="r").wait()
        record = await store.look("r")
        await store.append("r", epoch=1, after=record.last, bodies=[body], status="PAUSED", at=1.0)
        run = asking(store).open("r")
        with pytest.raises((StoreCorrupt, GraphChanged), match=str(record.last + 1)):
            await run.resume()

    asyncio.run(main())


def test_an_entry_of_an_unknown_type_is_refused():
    """Promise 15 and 14."""

    async def main():
        store = MemoryRunStore()
        await asking(store).start(run_id="r").wait()
        record = await store.look("r")
        body = b'{"type":"teleported","node":null,"at":1.0,"data":{}}'
        await store.append("r", epoch=1, after=record.last, bodies=[body], status="PAUSED", at=1.0)
        with pytest.raises((StoreCorrupt, GraphChanged), match="teleported"):
            await asking(store).open("r").resume()

    asyncio.run(main())


class Colour(enum.Enum):
    RED = "red"


class Part(BaseModel):
    name: str
    price: decimal.Decimal = decimal.Decimal("0.10")


class Box(BaseModel):
    parts: list[Part] = []
    by_id: dict[uuid.UUID, Part] = {}


class Typed(GraphState):
    at: LastValue[datetime.datetime] = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    day: LastValue[datetime.date] = datetime.date(2026, 1, 1)
    took: LastValue[datetime.timedelta] = datetime.timedelta(0)
    colour: LastValue[Colour | None] = None
    pair: LastValue[tuple[int, str]] = (0, "")
    names: LastValue[set[str]] = set()
    box: LastValue[Box] = Box()
    boxes: History[Box]
    raw: LastValue[bytes] = b""
    number: LastValue[float] = 0.0
    price: LastValue[decimal.Decimal] = decimal.Decimal(0)
    maybe: LastValue[Part | None] = None
    path: LastValue[Path] = Path()


KEY = uuid.UUID(int=7)
WRITTEN = {
    "at": datetime.datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
    "day": datetime.date(2026, 2, 3),
    "took": datetime.timedelta(seconds=1.5),
    "colour": Colour.RED,
    "pair": (7, "seven"),
    "names": {"b", "a"},
    "box": Box(parts=[Part(name="nut")], by_id={KEY: Part(name="bolt", price=decimal.Decimal("1.20"))}),
    "raw": b"bytes",
    "number": 0.1 + 0.2,
    "price": decimal.Decimal("3.140"),
    "maybe": Part(name="x"),
    "path": Path("/tmp/x"),
}


def test_declared_types_come_back_from_the_log_as_they_were(tmp_path):
    """Promise 15: by the state's schema, in another process as well as here."""
    file = tmp_path / "runs.db"

    def drawn(store):
        graph = Graph(Typed, store=store)
        graph.add_node(lambda: WRITTEN | {"boxes": WRITTEN["box"]}, name="write")
        return graph

    async def write():
        store = SqliteRunStore(file)
        state = await drawn(store).start(run_id="r")
        await store.close()
        return state

    async def read():
        store = SqliteRunStore(file)
        state = drawn(store).open("r").state
        await store.close()
        return state

    written, again = asyncio.run(write()), asyncio.run(read())
    for name, value in WRITTEN.items():
        assert getattr(written, name) == value, name
        assert getattr(again, name) == value, name
        assert type(getattr(again, name)) is type(value), name
    assert again.boxes == [WRITTEN["box"]]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (datetime.datetime(2026, 1, 1), "datetime would come back as a str"),
        ((1, 2), "tuple would come back as a list"),
        ({1: "x"}, "keys"),
        ({"a": {"b": {2}}}, "set would come back as a list"),
        (Part(name="x"), "Part would come back as a dict"),
        (object(), "object"),
        (lambda: None, "function"),
        (float("inf"), "inf|float"),
    ],
)
def test_what_would_come_back_different_is_refused_when_it_is_written(value, why):
    """Promise 15: at once and with the field's name, not at recovery (LangGraph: a dict, or an error at exit)."""

    async def main():
        graph = Graph(Loose)
        graph.add_node(lambda: {"anything": value}, name="write")
        with pytest.raises(RunFailed, match="'anything'") as caught:
            await graph.start()
        assert isinstance(caught.value.__cause__, NotStorable)
        assert any(part in str(caught.value) for part in why.split("|")), str(caught.value)

    asyncio.run(main())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_log_holds_no_number_that_strict_json_lacks(value):
    """Promise 15: NaN and Infinity are refused or written as JSON allows; PostgreSQL would not take them."""

    class Measured(GraphState):
        number: LastValue[float] = 0.0

    async def main():
        store = MemoryRunStore()
        graph = Graph(Measured, store=store).add_node(lambda: {"number": value}, name="work")
        run = graph.start(run_id="r")
        await run.wait()
        for _, body in await store.read("r"):
            json.loads(body, parse_constant=pytest.fail)

    asyncio.run(main())


def test_a_log_is_json_that_any_tool_reads(tmp_path):
    """Promise 15."""
    file = tmp_path / "runs.db"

    async def record():
        store = SqliteRunStore(file)
        await asking(store).start(Loose(anything={"ü": ["…", 1]}), run_id="r").wait()
        await store.close()

    asyncio.run(record())
    with closing(sqlite3.connect(file)) as rows:
        bodies = [json.loads(body) for (body,) in rows.execute("SELECT body FROM entry ORDER BY number")]
    assert [body["type"] for body in bodies] == ["run_started", "step_recorded", "paused", "run_paused"]
    assert bodies[0]["data"]["state"] == {"anything": {"ü": ["…", 1]}, "log": []}


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
