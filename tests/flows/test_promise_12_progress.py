"""Promise 12, progress: every unfinished run has a live reason to move, wherever its log ends."""

import asyncio

import pytest

from ropewalk import END, START, Graph, GraphState, History, Retry, Send
from ropewalk.contracts import NewRun
from ropewalk.core.snapshot import dump_snapshot
from ropewalk.stores.memory import MemoryRunStore

QUESTIONS = {"ask": "yes", "sub/ask": "deep yes"}


class Log(GraphState):
    log: History[str]


def everything(store):
    """Questions, breakpoints, retries, kept steps, Sends, repeats, a map over a subgraph, a loop."""
    graph = Graph(Log, store=store)
    failed = set()

    @graph.node(retry=Retry(attempts=2, backoff=0))
    async def flaky(ctx):
        if ctx.idempotency_key not in failed:
            failed.add(ctx.idempotency_key)
            raise OSError("down")
        return {"log": await ctx.step("kept", lambda: "flaky")}

    @graph.node(interrupt="before")
    async def ask(ctx):
        return {"log": await ctx.ask("go?")}

    @graph.node(interrupt="after")
    async def sent(item):
        return {"log": f"sent {item}"}

    @graph.node
    async def again(index):
        return {"log": f"again {index}"}

    @graph.subgraph()
    def sub():
        inner = Graph(Log)

        @inner.node
        async def ask(ctx):
            return {"log": f"{ctx.item} {await ctx.ask(ctx.item)}"}

        @inner.node
        async def turn(state):
            return {"log": "turn"}

        inner.add_edge(START, "ask").add_edge("ask", "turn")
        return inner.add_router_edge("turn", lambda s: "turn" if s.log[-2:] != ["turn"] * 2 else END, ["turn", END])

    graph.add_node(lambda: {"log": "join"}, name="join")
    graph.add_edge(START, "flaky").add_edge(START, "ask").add_edge("flaky", "join")
    graph.add_router_edge("ask", lambda: [Send("sent", 1), Send("sent", 2)], routes=["sent"])
    graph.add_repeating_edge("sent", "again", "join", repeat=2)
    graph.add_map_edge("join", "sub", END, over=lambda: ["x", "y"])
    return graph


async def to_the_end(run):
    """Answer and resume until the run is done."""
    for _ in range(20):
        if await run.resume() == "DONE":
            return run.state
        for pause in run.pauses:
            if pause.kind == "question":
                await run.answer(pause.id, QUESTIONS[pause.node])
        if await run.wait() == "DONE":
            return run.state
    raise AssertionError(f"{run} makes no progress: {run.pauses}")


def test_a_run_whose_log_ends_anywhere_can_be_brought_to_its_end():
    """Promises 12 and 2: as if the process had died behind every entry."""

    async def main():
        whole = MemoryRunStore()
        final = await to_the_end(everything(whole).start(run_id="r"))
        entries = await whole.read("r")
        types = {body.split(b'"', 4)[3].decode() for _, body in entries}
        assert types >= {
            "step_failed",
            "step_recorded",
            "paused",
            "answered",
            "run_paused",
            "run_done",
            "step_finished",
        }
        for cut in range(1, len(entries)):
            store = MemoryRunStore()
            new = NewRun(run_id="r", graph="Log", plan="p", status="RUNNING", at=1.0)
            await store.create(new, [body for _, body in entries[:cut]])
            state = await to_the_end(everything(store).open("r"))
            assert state == final, f"cut behind entry {cut}"

    asyncio.run(main())


def test_a_run_goes_on_from_a_snapshot_of_any_moment_to_the_same_state():
    """Promises 12 and 2: a snapshot is only a cache of the fold, whatever the run was doing."""

    async def main():
        whole = MemoryRunStore()
        final = await to_the_end(everything(whole).start(run_id="r"))
        entries = await whole.read("r")
        for cut in range(1, len(entries)):
            store = MemoryRunStore()
            new = NewRun(run_id="r", graph="Log", plan="p", status="RUNNING", at=1.0)
            await store.create(new, [body for _, body in entries[:cut]])
            folded = (await everything(store).open("r").read()).schedule
            await store.save_snapshot("r", epoch=1, number=cut, body=dump_snapshot(folded))
            again = (await everything(store).open("r").read()).schedule
            assert again.shape.snapshot(again.union()) == folded.shape.snapshot(folded.union()), f"at entry {cut}"
            assert list(again.steps) == list(folded.steps), f"snapshot at entry {cut}"
            assert await to_the_end(everything(store).open("r")) == final, f"snapshot at entry {cut}"

    asyncio.run(main())


def test_a_snapshot_that_cannot_be_read_is_left_aside():
    """Promise 12: what it cannot give, the log will."""

    async def main():
        for body in (b"", b"{}", b"null", b'{"format": 99}', b'{"format": 1, "plan": "another"}', b"\xff"):
            store = MemoryRunStore()
            run = everything(store).start(run_id="r")
            await run.wait()
            last = (await store.look("r")).last
            await store.save_snapshot("r", epoch=1, number=last, body=body)
            again = everything(store).open("r")
            assert again.state == run.state
            await to_the_end(again)

    asyncio.run(main())


def test_a_stopped_run_always_says_what_it_waits_for():
    """Promise 12: PAUSED comes with an open pause."""

    async def main():
        store = MemoryRunStore()
        run = everything(store).start()
        seen = 0
        for _ in range(20):
            status = await run.wait()
            if status == "DONE":
                break
            assert status == "PAUSED"
            assert run.pauses
            seen += 1
            pause = run.pauses[0]
            if pause.kind == "question":
                await run.answer(pause.id, QUESTIONS[pause.node])
            else:
                await run.resume()
        assert status == "DONE"
        assert seen >= 4

    asyncio.run(main())


@pytest.mark.parametrize("verb", ["edit", "answer"])
def test_whoever_takes_over_a_run_that_was_under_way_drives_it_on(verb):
    """Promise 12: after an edit or answer from elsewhere the run is not left RUNNING with nobody at it."""

    async def main():
        store = MemoryRunStore()
        begun = asyncio.Event()

        def drawn(hang):
            graph = Graph(Log, store=store)

            @graph.node
            async def work():
                begun.set()
                if hang:
                    await asyncio.Event().wait()
                return {"log": "work"}

            @graph.node
            async def ask(ctx):
                return {"log": await ctx.ask("go?")}

            for name in ("ask", "work"):
                graph.add_edge(START, name).add_edge(name, END)
            return graph

        run = drawn(hang=True).start(run_id="r")
        await begun.wait()
        while not run.pauses:
            await asyncio.sleep(0)
        other = drawn(hang=False).open("r")
        if verb == "edit":
            await other.edit({"log": "edited"})
        else:
            await other.answer(other.pauses[0].id, "yes")
        async with asyncio.timeout(3):
            while "work" not in drawn(hang=False).open("r").state.log:
                await asyncio.sleep(0.01)
        await run.let_go()

    asyncio.run(main())
