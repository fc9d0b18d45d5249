"""The rule of a session holds between servers: what two are asked in the same instant is decided by the store."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.serving import Served, until

from ropewalk import END, START, Graph, GraphState
from ropewalk.contracts import RunRecord
from ropewalk.runtime import open_store


class Message(GraphState):
    n: int = 0
    seconds: float = 0.005


class Journal:
    """When which message was worked on, by whichever server."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float, int]] = []
        self.attempts: list[int] = []
        self._lock = threading.Lock()

    def graph(self) -> Graph[Message]:
        graph = Graph(Message, name="chat")

        @graph.node
        async def work(state: Message, ctx: Any) -> None:
            began = time.monotonic()
            await asyncio.sleep(state.seconds)
            with self._lock:
                self.spans.append((began, time.monotonic(), state.n))
                self.attempts.append(ctx.attempt)

        return graph.add_edge(START, "work").add_edge("work", END)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.db?durability=normal"
    return request.getfixturevalue("postgres_url")


@contextmanager
def two_servers(url: str) -> Iterator[tuple[list[Served], Journal]]:
    journal = Journal()
    with ExitStack() as stack:
        yield [stack.enter_context(Served(journal.graph(), store=url)) for _ in range(2)], journal


def at_once(servers: list[Served], count: int, **body: Any) -> list[httpx.Response]:
    """Send messages of one session to both servers in the same instant."""

    async def send() -> list[httpx.Response]:
        async with ExitStackOf(servers) as clients:
            sending = [
                clients[n % len(clients)].post("/graphs/chat/runs", json={"input": {"n": n}, "session": "s"} | body)
                for n in range(count)
            ]
            return await asyncio.gather(*sending)

    return asyncio.run(send())


class ExitStackOf:
    """Clients of the servers, closed together."""

    def __init__(self, servers: list[Served]) -> None:
        self._clients = [httpx.AsyncClient(base_url=server.url, timeout=30) for server in servers]

    async def __aenter__(self) -> list[httpx.AsyncClient]:
        return self._clients

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*[client.aclose() for client in self._clients])


def records(url: str) -> list[RunRecord]:
    async def read() -> list[RunRecord]:
        store = open_store(url)
        try:
            return await store.runs(limit=200)
        finally:
            await store.close()

    return asyncio.run(read())


def test_of_many_messages_at_once_exactly_one_is_admitted_where_a_busy_session_refuses(store_url: str) -> None:
    with two_servers(store_url) as (servers, journal):
        answers = at_once(servers, 50, on_busy="reject", input={"seconds": 3.0})
        assert Counter(answer.status_code for answer in answers) == {202: 1, 409: 49}
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"session_busy"}
        (record,) = records(store_url)
        assert record.turn == 1
        assert {answer.json()["run_id"] for answer in answers} == {record.run_id}
        assert not journal.spans


def test_many_messages_at_once_are_answered_one_after_the_other_in_the_order_of_their_turns(store_url: str) -> None:
    with two_servers(store_url) as (servers, journal):
        answers = at_once(servers, 50, on_busy="queue")
        assert {answer.status_code for answer in answers} == {202}
        until(lambda: len(journal.spans) == 50, 40)
        sent = {answer.json()["run_id"]: n for n, answer in enumerate(answers)}
        until(lambda: {record.status for record in records(store_url)} == {"DONE"})
        in_order = sorted(records(store_url), key=lambda record: record.turn or 0)
    assert [record.turn for record in in_order] == [*range(1, 51)]
    spans = sorted(journal.spans)
    assert [n for _, _, n in spans] == [sent[record.run_id] for record in in_order]
    assert all(ended <= began for (_, ended, _), (began, _, _) in pairwise(spans))
    assert set(journal.attempts) == {1}


def test_of_messages_that_interrupt_each_other_one_goes_on(store_url: str) -> None:
    with two_servers(store_url) as (servers, _):
        answers = at_once(servers, 12, on_busy="interrupt", input={"seconds": 1.5})
        assert {answer.status_code for answer in answers} == {202}
        until(lambda: not {record.status for record in records(store_url)} & {"RUNNING"})
        in_order = sorted(records(store_url), key=lambda record: record.turn or 0)
    assert [record.status for record in in_order] == ["CANCELLED"] * 11 + ["DONE"]


def test_a_message_that_waits_goes_on_at_the_next_server_when_its_own_is_gone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    journal = Journal()
    with Served(journal.graph(), store=url) as server:
        server.start("chat", {"n": 1, "seconds": 1.0}, session="s", on_busy="queue")
        waiting = server.start("chat", {"n": 2, "seconds": 1.0}, session="s", on_busy="queue")
        last = server.start("chat", {"n": 3}, session="s", on_busy="queue")
    assert [n for _, _, n in journal.spans] in ([1], [1, 2])  # what was in flight had time to end
    with Served(journal.graph(), store=url) as server:
        server.wait(last, "DONE")
        history = server.client.get(f"/runs/{last}/history").json()["items"]
        assert [entry["type"] for entry in history] == ["run_started", "step_finished", "run_done"]
        assert server.look(waiting)["status"] == "DONE"
    assert [n for _, _, n in journal.spans] == [1, 2, 3]
