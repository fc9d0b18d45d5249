"""Clients behind the shipped nginx, with real pods and workers: any pod will do, one that dies costs them nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise

import httpx
import pytest
from tests.chat.tab import Tab, history, post
from tests.up.cluster import Up
from tests.up.processes import Process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    with Up({}) as running:
        yield running


@asynccontextmanager
async def following(up: Up, session_id: str) -> AsyncIterator[Tab]:
    """Follow a session through nginx, again whenever a stream ends, as a browser does."""
    tab = Tab(session_id, "ann")
    task = asyncio.create_task(tab.keep_following(lambda: up.url))
    try:
        await tab.until(lambda: tab.events)
        yield tab
    finally:
        task.cancel()
        await asyncio.wait([task])


def has_chunks(tab: Tab, message_id: str) -> bool:
    return message_id in tab.answers and len(tab.answers[message_id].chunk_ids) >= 3


async def fullest(up: Up) -> Process:
    """Return the pod that holds the most streams."""
    async with httpx.AsyncClient() as client:
        held = [(await client.get(f"{pod.url}/health")).json()["active_connections"] for pod in up.pods]
    assert any(held)
    return up.pods[held.index(max(held))]


async def answers_of(client: httpx.AsyncClient, session_id: str) -> list[str]:
    return [one["content"] for one in await history(client, session_id) if one["role"] == "assistant"]


def test_the_words_of_an_answer_come_one_after_another(up: Up) -> None:
    """The demonstration says three words each tenth of a second; a front that keeps them would show."""

    async def scenario() -> None:
        times: list[float] = []
        async with following(up, "paced") as tab, httpx.AsyncClient(base_url=up.url) as client:
            take = tab.take

            def timed(told: object) -> None:
                times.append(time.monotonic())
                take(told)  # type: ignore[arg-type]

            tab.take = timed  # type: ignore[method-assign]
            await tab.ended(await post(client, "paced", "Hello"))
        apart = [later - earlier for earlier, later in pairwise(times)]
        assert len([gap for gap in apart if gap > 0.04]) >= 8
        assert times[-1] - times[0] > 0.8

    asyncio.run(scenario())


def test_a_message_may_be_taken_by_another_pod_than_the_one_that_streams(up: Up) -> None:
    async def scenario() -> None:
        async with following(up, "apart") as tab:
            holder = await fullest(up)
            (other, *_) = [pod for pod in up.pods if pod is not holder]
            async with httpx.AsyncClient(base_url=other.url) as client:
                answer = await tab.ended(await post(client, "apart", "Hello"))
                assert await answers_of(client, "apart") == [answer.text]
        assert (answer.status, answer.resets, tab.faults) == ("complete", 0, [])

    asyncio.run(scenario())


def test_a_pod_that_dies_in_the_middle_of_answers_costs_its_clients_nothing(up: Up) -> None:
    sessions = [f"moved-{number}" for number in range(6)]

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=up.url))
            tabs = [await stack.enter_async_context(following(up, session)) for session in sessions]
            first = [await post(client, tab.session_id, "before") for tab in tabs]
            for tab, message_id in zip(tabs, first, strict=True):
                await tab.until(partial(has_chunks, tab, message_id))
            killed = await fullest(up)
            await asyncio.to_thread(killed.kill)
            try:
                second = [await post(client, tab.session_id, "after") for tab in tabs]
                answers = [
                    [await tab.ended(message_id, 30) for message_id in both]
                    for tab, both in zip(tabs, zip(first, second, strict=True), strict=True)
                ]
            finally:
                await asyncio.to_thread(killed.start)
            assert any(tab.connected > 1 for tab in tabs), "the pod that was killed held no stream"
            for tab, told in zip(tabs, answers, strict=True):
                assert [one.status for one in told] == ["complete", "complete"]
                assert tab.faults == []
                assert await answers_of(client, tab.session_id) == [one.text for one in told]

    asyncio.run(scenario())
