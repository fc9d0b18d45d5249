"""Requests of other people's pods: what they leave unsaid, what cannot be read, and who is told so."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest
from pydantic_core import to_json
from tests.chat import app
from tests.chat.inside import Inside, inside
from tests.chat.tab import Tab, post

from ropewalk.contracts.chat_requests import Delivery
from ropewalk.errors import BusUnavailable
from ropewalk.messaging.memory.chat_requests import MemoryChatRequests
from ropewalk.runtime import open_queued_store

Talk = Callable[[Inside, httpx.AsyncClient, Tab], Awaitable[None]]
ASKED = {"message_id": "m-1", "session_id": "s", "user_id": "ann", "message": "hi", "correlation_id": "c-1"}


def run(talk: Talk) -> None:
    """Talk with a pod, a worker, and a tab that is connected."""

    async def main() -> None:
        app.chat.use_store(open_queued_store("memory:"))
        async with inside([app.chat]) as service:
            client = await service.pod()
            service.worker()
            tab = service.tab("s")
            await tab.until(lambda: tab.connected)
            await talk(service, client, tab)

    asyncio.run(main())


async def publish(service: Inside, **more: Any) -> None:
    await service.parts.requests.publish("s", to_json({**ASKED, **more}), message_id="m-1")


@pytest.mark.parametrize(
    "context",
    [
        None,
        {"ai_provider": "", "model": "", "max_tokens": 0, "system_prompt": "", "conversation_history": None},
    ],
)
def test_what_a_strangers_pod_writes_for_nothing_is_nothing(context: Any) -> None:
    async def talk(service: Inside, _: httpx.AsyncClient, tab: Tab) -> None:
        await publish(service, context=context)
        assert (await tab.ended("m-1")).text == "1: hi"

    run(talk)


@pytest.mark.parametrize(
    "wrong",
    [
        {"message": None},
        {"context": {"temperature": "hot"}},
        {"context": []},
        {"session_id": "another"},
        {"user_id": "nobody\0"},
    ],
)
def test_who_waits_is_told_that_a_request_cannot_be_read(wrong: dict[str, Any]) -> None:
    async def talk(service: Inside, _: httpx.AsyncClient, tab: Tab) -> None:
        await publish(service, **wrong)
        answer = await tab.ended("m-1")
        assert answer.status == "error"
        assert (answer.error or {})["message"] == "The message could not be taken."
        assert next(told.data for told in tab.events if told.type == "error")["message_id"] == "m-1"

    run(talk)


def test_a_refused_request_does_not_end_the_message_whose_id_it_bears() -> None:
    async def talk(service: Inside, client: httpx.AsyncClient, tab: Tab) -> None:
        await post(client, "s", "slow " * 20)
        message_id = await post(client, "s", "waits")
        body = to_json({**ASKED, "message_id": message_id, "user_id": "bob"})
        await service.parts.requests.publish("s", body, message_id="another")
        answer = await tab.ended(message_id)
        assert (answer.status, answer.text) == ("complete", "3: waits")

    run(talk)


class _Unburiable:
    """A request whose burial fails: the bus went away in that moment."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def __getattr__(self, name: str) -> Any:
        return getattr(self._delivery, name)

    async def bury(self, reason: str) -> None:
        raise BusUnavailable("The bus", "nowhere", reason)


class _Flaky(MemoryChatRequests):
    async def fetch(self, *, most: int, at_most_seconds: float) -> Sequence[Any]:
        found = await super().fetch(most=most, at_most_seconds=at_most_seconds)
        return [_Unburiable(one) if b'"message"' not in one.body else one for one in found]


def test_a_worker_goes_on_taking_requests_when_one_could_not_be_put_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropewalk.messaging.memory.MemoryChatRequests", _Flaky)

    async def talk(service: Inside, _: httpx.AsyncClient, tab: Tab) -> None:
        await service.parts.requests.publish("s", b"{}", message_id="poison")
        await asyncio.sleep(0.2)
        await publish(service)
        assert (await tab.ended("m-1")).text == "1: hi"

    run(talk)


def test_a_user_whose_id_cannot_be_kept_is_refused_at_every_door() -> None:
    async def talk(_: Inside, client: httpx.AsyncClient, __: Tab) -> None:
        who = {"session_id": "t", "user_id": "a\0"}
        asked = [
            await client.post("/api/chat", json={**who, "message": "hi"}),
            await client.get("/api/sse", params=who),
            await client.get("/api/sessions/t/messages", params={"user_id": "a\0"}),
        ]
        assert [(one.status_code, one.json()["code"]) for one in asked] == [(400, "request_unreadable")] * 3

    run(talk)


def test_a_worker_without_room_leaves_requests_to_others() -> None:
    async def main() -> None:
        app.chat.use_store(open_queued_store("memory:"))
        async with inside([app.chat]) as service:
            client = await service.pod()
            worker = service.worker(concurrency=1)
            tab = service.tab("s")
            message_id = await post(client, "s", "slow " * 20)
            await tab.until(lambda: worker.worker.driving)
            answering = worker.answering
            assert answering is not None
            await tab.until(lambda: answering.taken)  # ours, which only wakes
            taken = answering.taken
            await asyncio.sleep(0.3)
            other = to_json({**ASKED, "session_id": "t", "message_id": "m-2"})
            await service.parts.requests.publish("t", other, message_id="m-2")
            assert (await tab.ended(message_id)).status == "complete"
            assert answering.taken - taken <= 1
            await tab.until(lambda: answering.taken == taken + 1)

    asyncio.run(main())
