"""What a worker asks and tells those who stand beside it: before a run goes on, and when it is driven."""

import asyncio
import logging
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from ropewalk import END, START, Context, Graph, GraphState, History, Token
from ropewalk.core.facts import StateEdited
from ropewalk.events import parse_event_id
from ropewalk.runtime import open_queued_store
from ropewalk.stores.local_queue import LocalQueue
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.queued_here import QueuedHere
from ropewalk.workers import Worker, driving


class Talk(GraphState):
    said: History[str]


def talking(store, body=None):
    graph = Graph(Talk, store=store, name="talk")

    @graph.node
    async def say(state, ctx: Context):
        if body is not None:
            await body(ctx)
        return {"said": f"said after {len(state.said)}, attempt {ctx.attempt}"}

    return graph.add_edge(START, "say").add_edge("say", END)


@pytest.fixture(params=["postgres", "sqlite"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.db"
    return request.getfixturevalue("postgres_url")


@asynccontextmanager
async def opened(url):
    store = open_queued_store(url)
    try:
        yield store
    finally:
        await store.close()


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def kinds(run):
    return [entry.data.get("reason", entry.type) for entry in await run.history()]


def before(graph, engine, *words):
    said = graph.desk.shape.to_json(engine.schedule.union())["said"]
    return [StateEdited(graph.desk.shape.replaced({"said": [*words, *said]}, "the history"), "history", at_rest=True)]


def test_what_is_to_come_first_is_committed_before_the_run_goes_on(url):
    told = []

    async def main():
        async with opened(url) as store:
            graph = talking(store)

            async def opening(record, engine):
                told.append((record.run_id, record.epoch, engine.schedule.number))
                return before(graph, engine, "a", "b")

            run = await graph.submit(Talk(said=["new"]), run_id="r")
            async with Worker(graph, opening=opening, on_drive=lambda record, engine: told.append(engine.driving)):
                assert (await run).said == ["a", "b", "new", "said after 3, attempt 1"]
            assert await kinds(run) == ["run_started", "state_edited", "step_finished", "run_done"]

    asyncio.run(main())
    assert told == [("r", 2, 1), False]


def test_a_run_that_is_not_to_begin_yet_is_given_back_without_a_word(url):
    asked, driven = [], []

    async def main():
        async with opened(url) as store:
            graph = talking(store)

            async def opening(record, engine):
                asked.append(asyncio.get_running_loop().time())
                return 0.2 if len(asked) < 8 else []

            run = await graph.submit(run_id="r")
            async with Worker(graph, opening=opening, on_drive=lambda record, engine: driven.append(record.epoch)):
                assert (await run).said == ["said after 0, attempt 1"]
            assert await kinds(run) == ["run_started", "step_finished", "run_done"]

    asyncio.run(main())
    assert driven == [9]
    assert len(asked) == 8
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(asked))


def test_a_death_is_told_though_the_run_is_then_given_back(url):
    answers = [0.1, 0.1, []]

    async def main():
        async with opened(url) as store:
            graph = talking(store)
            await graph.submit(run_id="r")
            await store.queue().claim("dead", graphs=["talk"], ttl_seconds=0.1)
            await asyncio.sleep(0.2)

            async def opening(record, engine):
                return answers.pop(0)

            run = graph.open("r")
            async with Worker(graph, opening=opening):
                assert (await run).said == ["said after 0, attempt 2"]
            assert await kinds(run) == ["run_started", "taken_over", "step_finished", "run_done"]

    asyncio.run(main())
    assert not answers


def test_an_opening_that_raises_costs_its_run_a_pause_and_nobody_else(url, caplog, monkeypatch):
    monkeypatch.setattr(driving, "_AGAIN_SECONDS", 0.2)
    tries = []

    async def main():
        async with opened(url) as store:
            graph = talking(store)

            async def opening(record, engine):
                if record.run_id == "bad" and len(tries) < 2:
                    tries.append(record.epoch)
                    raise ValueError("no history today")
                return []

            bad, good = await graph.submit(run_id="bad"), await graph.submit(run_id="good")
            async with Worker(graph, opening=opening):
                await good
                assert (await bad).said == ["said after 0, attempt 1"]

    with caplog.at_level(logging.WARNING, "ropewalk"):
        asyncio.run(main())
    assert tries == [2, 3]
    assert "no history today" in caplog.text


def test_a_listener_that_raises_does_not_stop_the_run(url, caplog):
    def on_drive(record, engine):
        raise ValueError("nobody listens")

    async def main():
        async with opened(url) as store:
            graph = talking(store)
            run = await graph.submit()
            async with Worker(graph, on_drive=on_drive):
                assert (await run).said == ["said after 0, attempt 1"]

    asyncio.run(main())
    assert "nobody listens" in caplog.text


def test_a_listener_follows_the_tokens_of_the_run_that_is_driven(url):
    heard, following = [], []

    async def main():
        async with opened(url) as store:

            async def body(ctx):
                ctx.emit(Token("hel"))
                await asyncio.sleep(0)
                ctx.emit(Token("lo"))

            async def follow(engine):
                cursor = parse_event_id(str(engine.schedule.number))
                while not heard or heard[-1].type != "run_done":
                    await engine.feed.changed(1.0)
                    heard.extend(engine.feed.collect(cursor))
                    cursor = parse_event_id(heard[-1].id) if heard else cursor

            def on_drive(record, engine):
                engine.feed.join()
                following.append(asyncio.ensure_future(follow(engine)))

            graph = talking(store, body)
            run = await graph.submit()
            async with Worker(graph, on_drive=on_drive):
                await run
                await asyncio.wait_for(following[0], 5)

    asyncio.run(main())
    assert [event.type for event in heard if event.type != "text"] == ["step_started", "step_finished", "run_done"]
    assert "".join(event.data["text"] for event in heard if event.type == "text") == "hello"


@pytest.mark.parametrize("at_once", [False, True])
def test_a_worker_that_stops_does_not_wait_for_an_opening_that_hangs(url, at_once):
    inside = asyncio.Event()
    ended = []

    async def main():
        async with opened(url) as store:
            graph = talking(store)

            async def opening(record, engine):
                inside.set()
                try:
                    await asyncio.sleep(100)
                finally:
                    ended.append(True)

            run = await graph.submit()
            worker = Worker(graph, opening=opening, grace=0.3)
            working = asyncio.create_task(worker.run())
            await inside.wait()
            worker.stop(at_once=at_once)
            async with asyncio.timeout(5):
                await working
            assert ended
            async with Worker(graph):
                await asyncio.wait_for(run.wait(), 5)
            assert await kinds(run) == ["run_started", "step_finished", "run_done"]

    asyncio.run(main())


def test_a_worker_tells_what_it_has_in_hand_once_the_claim_under_way_has_ended(url):
    async def main():
        async with opened(url) as store:
            goes = asyncio.Event()
            graph = talking(store, lambda _: goes.wait())
            run = await graph.submit(Talk(), run_id="r")
            worker = Worker(graph)
            assert await worker.in_hand("r") is None
            async with worker:
                await asyncio.sleep(0)  # its first claim is under way
                assert worker.driving == []
                record = await worker.in_hand("r")
                assert record is not None
                assert (record.run_id, record.epoch) == ("r", 2)
                assert await worker.in_hand("another") is None
                goes.set()
                await run
                await until(lambda: not worker.driving)
                assert await worker.in_hand("r") is None

    asyncio.run(main())


def test_a_worker_that_has_claimed_all_that_was_due_waits_without_another_claim():
    calls = []

    class Told(QueuedHere):
        def queue(self):
            queue = super().queue()
            for name in ("claim", "wait"):
                setattr(queue, name, told(name, getattr(LocalQueue, name).__get__(queue)))
            return queue

    def told(name, call):
        async def tell(*args, **kwargs):
            calls.append(name)
            return await call(*args, **kwargs)

        return tell

    async def main():
        store = Told(MemoryRunStore())
        goes = asyncio.Event()
        graph = talking(store, lambda _: goes.wait())
        async with Worker(graph, concurrency=3):
            await until(lambda: calls == ["claim", "wait"])
            runs = [await graph.submit(Talk(), run_id="a")]
            await until(lambda: calls == ["claim", "wait"] * 2)
            runs += [await graph.submit(Talk(), run_id=name) for name in ("b", "c", "d")]
            await until(lambda: calls.count("claim") >= 3)
            goes.set()
            for run in runs:  # the last one found no room, and is claimed when there is some
                await asyncio.wait_for(run.wait(), 10)

    asyncio.run(main())
