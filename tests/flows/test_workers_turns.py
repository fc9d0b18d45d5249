"""Runs of one session at workers: each begins when all with a lower turn have ended or paused, and then at once."""

import asyncio
import time
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from ropewalk import END, START, Context, Graph, GraphState, History
from ropewalk.core.origin import Origin
from ropewalk.runtime import open_queued_store
from ropewalk.workers import Worker, driving


class Talk(GraphState):
    said: History[str]


class Talks:
    """Draws graphs whose runs tell here when they are at work."""

    def __init__(self, seconds=0.01):
        self.seconds = seconds
        self.spans = []

    def graph(self, store):
        graph = Graph(Talk, store=store, name="talk")

        @graph.node
        async def say(state, ctx: Context):
            began = time.monotonic()
            if state.said == ["ask"]:
                await ctx.ask("Which?")
            await asyncio.sleep(self.seconds)
            self.spans.append((began, time.monotonic(), ctx.run_id, ctx.attempt))
            return {"said": "hello"}

        return graph.add_edge(START, "say").add_edge("say", END)


@pytest.fixture(params=["postgres", "sqlite"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def slow_to_look(monkeypatch):
    monkeypatch.setattr(driving, "_TURN_SECONDS", 30.0)
    monkeypatch.setattr(driving, "_TURN_AT_MOST_SECONDS", 30.0)


@asynccontextmanager
async def opened(url):
    store = open_queued_store(url)
    try:
        yield store
    finally:
        await store.close()


async def kinds(run):
    return [entry.data.get("reason", entry.type) for entry in await run.history()]


def submitted(graph, turn, *said, session="s"):
    return graph.submit(Talk(said=[*said]), run_id=f"{session}{turn:02}", origin=Origin(session=session, turn=turn))


@pytest.mark.usefixtures("slow_to_look")
def test_runs_of_a_session_are_driven_one_after_the_other_without_waiting_for_a_look(url):
    async def main():
        talks = Talks()
        async with opened(url) as store:
            graph = talks.graph(store)
            order = [3, 1, 4, 2, 6, 5, 8, 7]
            runs = {turn: await submitted(graph, turn) for turn in order}
            others = [await submitted(graph, turn, session="t") for turn in (1, 2)]
            began = time.monotonic()
            async with Worker(graph):
                await asyncio.gather(*runs.values(), *others)
            assert time.monotonic() - began < 15
            mine = sorted(span for span in talks.spans if span[2].startswith("s"))
            assert [run_id for _, _, run_id, _ in mine] == [f"s{turn:02}" for turn in range(1, 9)]
            assert all(ended <= begun for (_, ended, *_), (begun, *_) in pairwise(mine))
            assert {attempt for *_, attempt in talks.spans} == {1}
            for run in runs.values():
                assert await kinds(run) == ["run_started", "step_finished", "run_done"]

    asyncio.run(main())


@pytest.mark.usefixtures("slow_to_look")
def test_two_workers_keep_the_order_and_a_pause_lets_the_next_one_begin(url):
    async def main():
        talks = Talks()
        async with opened(url) as store, opened(url) as another:
            there = another if url.startswith("postgres") else store  # a queue in memory is one object
            graph = talks.graph(store)
            asking = await submitted(graph, 1, "ask")
            rest = [await submitted(graph, turn) for turn in (2, 3, 4, 5)]
            async with Worker(graph, concurrency=2), Worker(talks.graph(there), concurrency=2), asyncio.timeout(15):
                await asyncio.gather(*rest)
                assert await asking.wait() == "PAUSED"
                await asking.answer(asking.pauses[0], "this")
                await asking
            assert [run_id for *_, run_id, _ in sorted(talks.spans)][:4] == ["s02", "s03", "s04", "s05"]

    asyncio.run(main())


@pytest.mark.usefixtures("slow_to_look")
def test_a_run_that_is_cancelled_at_a_worker_lets_the_next_one_begin(url):
    async def main():
        talks = Talks(seconds=60)
        async with opened(url) as store:
            graph = talks.graph(store)
            first, second = await submitted(graph, 1), await submitted(graph, 2)
            async with Worker(graph, lease=1.5) as worker, asyncio.timeout(15):
                while worker.driving != ["s01"]:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.5)
                talks.seconds = 0.0
                await first.cancel()
                assert (await second).said == ["hello"]

    asyncio.run(main())


@pytest.mark.usefixtures("slow_to_look")
def test_a_run_whose_turn_comes_while_it_is_given_back_is_taken_up_at_once(url, monkeypatch):
    """Who ends the one before it wakes nobody then: it is in a worker's hands."""

    async def main():
        talks = Talks()
        async with opened(url) as store:
            graph = talks.graph(store)
            elsewhere = Graph(Talk, store=store, name="elsewhere")
            elsewhere.add_node(lambda: None, name="nap").add_edge(START, "nap").add_edge("nap", END)
            first = await submitted(elsewhere, 1)
            second = await submitted(graph, 2)
            worker = Worker(graph)
            release = worker._queue.release

            async def first_ends_before(*claims, **when):
                if when.get("wake_in_seconds"):
                    await first.cancel()
                await release(*claims, **when)

            monkeypatch.setattr(worker._queue, "release", first_ends_before)
            async with worker, asyncio.timeout(15):
                assert (await second).said == ["hello"]

    asyncio.run(main())


def test_a_run_whose_turn_came_while_no_worker_saw_it_is_looked_at_again(url):
    async def main():
        talks = Talks()
        async with opened(url) as store:
            graph = talks.graph(store)
            elsewhere = Graph(Talk, store=store, name="elsewhere")
            elsewhere.add_node(lambda: None, name="nap").add_edge(START, "nap").add_edge("nap", END)
            first = await submitted(elsewhere, 1)
            second = await submitted(graph, 2)
            async with Worker(graph), asyncio.timeout(15):
                await asyncio.sleep(0.5)
                assert await kinds(second) == ["run_started"]
                await first.cancel()
                assert (await second).said == ["hello"]
            assert await kinds(second) == ["run_started", "step_finished", "run_done"]

    asyncio.run(main())
