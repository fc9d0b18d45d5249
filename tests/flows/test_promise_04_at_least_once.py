"""Promise 4, at least once, and told so: attempts count up, the key stays, `ctx.step` keeps what must not be repeated.

Run as a script, this file is the process that is killed.
"""

import asyncio
import datetime
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

import ropewalk
from ropewalk import END, START, Context, Graph, GraphState, History, LastValue, Retry
from ropewalk.errors import NotStorable, RunFailed
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore

SOURCE = str(Path(ropewalk.__file__).parents[1])


class Payment(GraphState):
    receipts: History[str]
    total: LastValue[int] = 0


def paying(store, journal, *, hang):
    """One node with two kept steps; it hangs behind the first, if told to, and says so."""
    graph = Graph(Payment, store=store)

    def charge(amount):
        with open(journal, "a") as file:
            file.write(json.dumps({"charged": amount}) + "\n")
        return f"receipt for {amount}"

    @graph.node
    async def pay(state: Payment, ctx: Context):
        with open(journal, "a") as file:
            file.write(json.dumps({"attempt": ctx.attempt, "key": ctx.idempotency_key}) + "\n")
        first = await ctx.step("charge", charge, 5)
        if hang:
            print("charged", flush=True)
            await asyncio.Event().wait()
        second = await ctx.step("charge", charge, 7)
        return {"receipts": f"{first}, {second}", "total": 12}

    return graph


async def pay_and_hang(file, journal):
    graph = paying(f"sqlite:///{file}", journal, hang=True)
    try:
        await graph.open("pay").resume()
    except ropewalk.errors.RunNotFound:
        await graph.start(run_id="pay")


def killed(file, journal):
    command = [sys.executable, "-W", "error", __file__, "pay_and_hang", str(file), str(journal)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": SOURCE}, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "charged\n"
        child.kill()
    assert child.returncode == -signal.SIGKILL


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def test_each_death_is_one_more_attempt_with_the_same_key_and_kept_steps_do_not_run_again(tmp_path):
    """Promise 4."""
    file, journal = tmp_path / "runs.db", tmp_path / "journal"
    killed(file, journal)
    killed(file, journal)

    async def finish():
        store = SqliteRunStore(file)
        run = paying(store, journal, hang=False).open("pay")
        status = await run.resume()
        await store.close()
        return status, run.state

    status, state = asyncio.run(finish())
    assert status == "DONE"
    assert state.receipts == ["receipt for 5, receipt for 7"]
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["charged"] for line in told if "charged" in line] == [5, 7]
    assert [line["attempt"] for line in told if "attempt" in line] == [1, 2, 3]
    assert {line["key"] for line in told if "key" in line} == {"pay/pay#1"}


def test_a_failed_attempt_counts_up_and_keeps_the_key(store):
    """Promise 4."""

    async def main():
        seen = []
        graph = Graph(Payment, store=store)

        @graph.node(retry=Retry(attempts=4, backoff=0))
        async def flaky(ctx):
            seen.append((ctx.attempt, ctx.idempotency_key))
            if ctx.attempt < 4:
                raise OSError("down")

        run = graph.start(run_id="r")
        await run
        assert seen == [(number, "r/flaky#1") for number in (1, 2, 3, 4)]

    asyncio.run(main())


def test_an_answer_is_not_a_new_attempt(store):
    """Promise 4: `attempt` = 1 + logged failures + unclean takeovers."""

    async def main():
        seen = []
        graph = Graph(Payment, store=store)

        @graph.node
        async def ask(ctx):
            seen.append((ctx.attempt, ctx.idempotency_key))
            first = await ctx.ask("one?")
            second = await ctx.ask("two?")
            return {"receipts": f"{first} {second}"}

        run = graph.start(run_id="r")
        for value in ("yes", "no"):
            assert await run.wait() == "PAUSED"
            await run.answer(run.pauses[0].id, value)
        assert (await run).receipts == ["yes no"]
        assert seen == [(1, "r/ask#1")] * 3

    asyncio.run(main())


def test_every_step_has_a_key_of_its_own(store):
    """Promise 4: instances of a map, rounds of a loop, steps of a subgraph, forks."""

    async def main():
        keys = []
        graph = Graph(Payment, store=store)

        @graph.node
        async def work(ctx, item):
            keys.append(ctx.idempotency_key)

        @graph.node
        async def again(ctx):
            keys.append(ctx.idempotency_key)
            return {"receipts": "round"}

        @graph.subgraph()
        def sub():
            inner = Graph(Payment)
            inner.add_node(lambda ctx: keys.append(ctx.idempotency_key), name="deep")
            return inner

        graph.add_map_edge(START, "work", "again", over=lambda: ["a", "b", "c"])
        graph.add_edge("again", "sub")
        graph.add_router_edge("sub", lambda s: "again" if len(s.receipts) < 2 else END, routes=["again", END])
        run = graph.start(run_id="r")
        await run
        assert len(keys) == len(set(keys)) == 7
        assert all(key.startswith("r/") for key in keys)
        fork = await run.fork(at=1)
        await fork
        assert len(set(keys)) == 14

    asyncio.run(main())


def test_kept_steps_are_matched_by_name_and_order(store):
    """Promise 4: `ctx.step` by (name, nth call)."""

    async def main():
        calls = []
        graph = Graph(Payment, store=store)

        async def draw(word):
            calls.append(word)
            return word

        @graph.node(retry=Retry(attempts=3, backoff=0))
        async def work(ctx):
            got = [await ctx.step("x", draw, "a"), await ctx.step("y", draw, "b")]
            got.append(await ctx.step("x", draw, "c" if ctx.attempt == 1 else "changed"))
            if ctx.attempt < 3:
                raise OSError("down")
            return {"receipts": " ".join(got)}

        run = graph.start()
        assert (await run).receipts == ["a b c"]
        assert calls == ["a", "b", "c"]
        recorded = [entry for entry in await run.history() if entry.type == "step_recorded"]
        assert [(entry.data["name"], entry.data["nth"], entry.data["value"]) for entry in recorded] == [
            ("x", 1, "a"),
            ("y", 1, "b"),
            ("x", 2, "c"),
        ]
        assert {entry.node for entry in recorded} == {"work"}

    asyncio.run(main())


class Receipt(BaseModel):
    at: datetime.datetime
    lines: tuple[str, int]


def test_a_kept_result_comes_back_with_its_type(store):
    """Promise 4: by the annotated return type."""

    async def main():
        seen = []
        graph = Graph(Payment, store=store)

        def fetch() -> Receipt:
            return Receipt(at=datetime.datetime(2026, 1, 2), lines=("a", 1))

        @graph.node(retry=Retry(attempts=2, backoff=0))
        async def work(ctx):
            seen.append(await ctx.step("fetch", fetch))
            if ctx.attempt == 1:
                raise OSError("down")

        await graph.start()
        assert seen == [Receipt(at=datetime.datetime(2026, 1, 2), lines=("a", 1))] * 2

    asyncio.run(main())


def test_a_result_that_would_come_back_different_is_refused_at_once(store):
    """Promise 4 and 15: nobody finds out at recovery."""

    async def main():
        graph = Graph(Payment, store=store)

        @graph.node
        async def work(ctx):
            await ctx.step("now", datetime.datetime.now)

        run = graph.start()
        with pytest.raises(RunFailed, match=r"ctx.step\('now'\).*'work'.*datetime") as caught:
            await run
        assert isinstance(caught.value.__cause__, NotStorable)

    asyncio.run(main())


def test_what_a_kept_step_raises_is_raised_and_not_kept(store):
    """Promise 4."""

    async def main():
        calls = []
        graph = Graph(Payment, store=store)

        def flaky():
            calls.append(1)
            if len(calls) < 3:
                raise OSError("down")
            return "up"

        @graph.node
        async def work(ctx):
            for _ in range(2):
                try:
                    await ctx.step("flaky", flaky)
                except OSError:
                    continue
            return {"receipts": await ctx.step("flaky", flaky)}

        assert (await graph.start()).receipts == ["up"]
        assert len(calls) == 3

    asyncio.run(main())


def test_kept_steps_of_one_node_may_run_side_by_side(store):
    """Promise 4."""

    async def main():
        graph = Graph(Payment, store=store)
        calls = []

        async def fetch(name):
            calls.append(name)
            return name

        @graph.node(retry=Retry(attempts=2, backoff=0))
        async def work(ctx):
            got = await asyncio.gather(*(ctx.step(f"fetch {name}", fetch, name) for name in "abc"))
            if ctx.attempt == 1:
                raise OSError("down")
            return {"receipts": "".join(got)}

        assert (await graph.start()).receipts == ["abc"]
        assert sorted(calls) == ["a", "b", "c"]

    asyncio.run(main())


def test_executions_never_exceed_one_and_crashes_answers_and_retries(store):
    """Promise 4."""

    async def main():
        ran = []
        graph = Graph(Payment, store=store)

        @graph.node(retry=Retry(attempts=3, backoff=0))
        async def work(ctx):
            ran.append(ctx.attempt)
            await ctx.ask("go?")
            if ctx.attempt < 3:
                raise OSError("down")

        run = graph.start()
        await run.wait()
        await run.answer(run.pauses[0].id)
        await run
        assert ran == [1, 1, 2, 3]

    asyncio.run(main())


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
