"""A run that somebody else has brought to its end is concluded: what was made of it and the end are one append."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import ropewalk
from ropewalk import END, START, Context, Graph, GraphState, History
from ropewalk.errors import RunFinished, RunTaken, UnknownField
from ropewalk.runtime import open_store
from ropewalk.workers import Worker

SOURCE = str(Path(ropewalk.__file__).parents[1])


class Talk(GraphState):
    said: History[str]


class Body:
    """A node's body that tells what becomes of it."""

    def __init__(self):
        self.begun = asyncio.Event()
        self.cancelled = False

    async def __call__(self, ctx):
        self.begun.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def asks(ctx):
    await ctx.ask("Go on?")


async def nothing(ctx):
    pass


async def breaks(ctx):
    raise ValueError("broken")


def talking(store, body=nothing):
    graph = Graph(Talk, store=store, name="talk")

    @graph.node
    async def say(ctx: Context):
        await body(ctx)
        return {"said": f"ours, attempt {ctx.attempt}"}

    return graph.add_edge(START, "say").add_edge("say", END)


@asynccontextmanager
async def opened(url):
    store = open_store(url)
    try:
        yield store
    finally:
        await store.close()


async def kinds(run):
    return [entry.data.get("reason", entry.type) for entry in await run.history()]


@pytest.fixture(params=["memory:", "sqlite"])
def url(request, tmp_path):
    return request.param if request.param == "memory:" else f"sqlite:///{tmp_path}/runs.db"


def test_a_paused_run_ends_with_what_somebody_else_made_of_it(url):
    async def main():
        async with opened(url) as store:
            graph = talking(store, asks)
            run = graph.start(Talk(said=["hello"]))
            await run.wait()
            record = await store.look(run.run_id)
            concluded = await graph.desk.conclude(record, {"said": "theirs"}, by="a stranger")
            assert concluded == await store.look(run.run_id)
            assert (concluded.status, concluded.epoch, concluded.last) == ("DONE", record.epoch + 1, record.last + 2)
            again = talking(store).open(run.run_id)
            assert (await again).said == ["hello", "theirs"]
            assert await kinds(again) == ["run_started", "paused", "run_paused", "state_edited", "run_done"]
            assert (await again.history())[-2].data["by"] == "a stranger"
            assert (await run).said == ["hello", "theirs"]
            with pytest.raises(RunFinished):
                await run.answer(run.pauses[0], True)

    asyncio.run(main())


def test_a_run_that_is_driven_here_is_stopped_by_its_conclusion(url):
    async def main():
        async with opened(url) as store:
            body = Body()
            run = talking(store, body).start()
            await body.begun.wait()
            await run.conclude({"said": "theirs"}, by="ann")
            assert body.cancelled
            assert (await run).said == ["theirs"]
            assert await kinds(run) == ["run_started", "state_edited", "run_done"]
            events = [event.type async for event in run.events(after=1)]
            assert [kind for kind in events if kind != "step_started"] == ["state_edited", "run_done"]

    asyncio.run(main())


@pytest.mark.parametrize("body", [nothing, breaks])
def test_a_run_that_has_ended_is_not_concluded(url, body):
    async def main():
        async with opened(url) as store:
            graph = talking(store, body)
            run = graph.start()
            await run.wait()
            before = await store.look(run.run_id)
            with pytest.raises(RunFinished, match=before.status):
                await run.conclude({"said": "theirs"})
            with pytest.raises(RunFinished, match=before.status):
                await graph.desk.conclude(before, {"said": "theirs"}, by=None)
            now = await store.look(run.run_id)
            assert (now.last, now.status) == (before.last, before.status)

    asyncio.run(main())


def test_what_does_not_fit_concludes_nothing(url):
    async def main():
        async with opened(url) as store:
            graph = talking(store, asks)
            run = graph.start()
            await run.wait()
            record = await store.look(run.run_id)
            for conclude in (run.conclude({"sad": 1}), graph.desk.conclude(record, {"sad": 1}, by=None)):
                with pytest.raises(UnknownField, match="said"):
                    await conclude
            assert await store.look(run.run_id) == record

    asyncio.run(main())


def test_a_run_that_has_moved_is_not_concluded_and_not_disturbed(url):
    async def main():
        async with opened(url) as store:
            graph = talking(store, asks)
            run = graph.start()
            await run.wait()
            record = await store.look(run.run_id)
            await run.edit({"said": "meanwhile"})
            moved = await store.look(run.run_id)
            with pytest.raises(RunTaken):
                await graph.desk.conclude(record, {"said": "theirs"}, by=None)
            assert await store.look(run.run_id) == moved
            await run.answer(run.pauses[0], True)
            assert sorted((await run).said) == ["meanwhile", "ours, attempt 1"]

    asyncio.run(main())


def test_of_those_who_conclude_a_run_at_the_same_time_one_does(url):
    async def main():
        async with opened(url) as store:
            run = talking(store, asks).start()
            await run.wait()
            record = await store.look(run.run_id)
            desks = [talking(store).desk for _ in range(8)]
            outcomes = await asyncio.gather(
                *[desk.conclude(record, {"said": f"by {i}"}, by=None) for i, desk in enumerate(desks)],
                return_exceptions=True,
            )
            won = [i for i, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]
            assert len(won) == 1
            assert {type(outcome) for outcome in outcomes} == {RunTaken, type(record)}
            assert (await talking(store).open(run.run_id)).said == [f"by {won[0]}"]

    asyncio.run(main())


def test_a_worker_whose_run_was_concluded_is_refused_and_stops(postgres_url):
    async def main():
        async with opened(postgres_url) as store, opened(postgres_url) as there:
            body = Body()
            graph, theirs = talking(store), talking(there, body)
            run = await graph.submit(run_id="r")
            async with Worker(theirs, lease=1.5) as worker:
                await body.begun.wait()
                await graph.desk.conclude(await store.look("r"), {"said": "theirs"}, by="a stranger")
                assert (await run).said == ["theirs"]
                async with asyncio.timeout(5):
                    while worker.driving:
                        await asyncio.sleep(0.05)
                assert body.cancelled
            assert await kinds(run) == ["run_started", "state_edited", "run_done"]
            assert await store.queue().queued("r") is not None
            assert await store.queue().stranded() == []

    asyncio.run(main())


def test_a_run_whose_conclusion_died_half_way_goes_on_at_a_worker(postgres_url):
    """kill -9 between the claim and the append."""
    script = """if True:
        import asyncio, os, signal, sys
        from ropewalk.runtime import open_store
        from tests.flows.test_conclusions import talking

        async def main():
            store = open_store(sys.argv[1])

            async def dies(*_, **__):
                os.kill(os.getpid(), signal.SIGKILL)

            record = await store.look("r")
            store.append = dies
            await talking(store).desk.conclude(record, {"said": "theirs"}, by=None)

        asyncio.run(main())
    """

    async def main():
        async with opened(postgres_url) as store:
            body = Body()
            graph = talking(store)
            run = await graph.submit(run_id="r")
            async with Worker(talking(store, body), lease=1.0, grace=0):
                await body.begun.wait()
                where = os.environ | {"PYTHONPATH": os.pathsep.join((SOURCE, str(Path(SOURCE).parent)))}
                command = [sys.executable, "-c", script, postgres_url]
                died = await asyncio.to_thread(subprocess.run, command, env=where, check=False)
                assert died.returncode == -signal.SIGKILL
                assert (await store.look("r")).epoch == 3
            async with Worker(graph, lease=1.0):
                assert (await asyncio.wait_for(asyncio.ensure_future(run.wait()), 10)) == "DONE"
            assert [said.partition(",")[0] for said in run.state.said] == ["ours"]

    asyncio.run(main())
