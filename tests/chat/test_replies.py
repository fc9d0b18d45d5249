"""Messages that answer what another message asks: each once, however often it comes, and with an end of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from pydantic_core import to_json
from tests.chat import app
from tests.chat.inside import Inside, inside
from tests.chat.service import Service
from tests.chat.tab import Tab, history, post

from ropewalk.chat import replies
from ropewalk.chat.requests import WorkflowRequest
from ropewalk.errors import AnswerInvalid, StoreUnavailable
from ropewalk.runtime import open_queued_store

Talk = Callable[[Inside, httpx.AsyncClient, Tab], Awaitable[None]]


def run(talk: Talk, graph: Any = app.clerk) -> None:
    """Talk with a pod, a worker, and a tab that is connected."""

    async def main() -> None:
        graph.use_store(open_queued_store("memory:"))
        async with inside([graph]) as service:
            client = await service.pod()
            service.worker()
            tab = service.tab("s")
            await tab.until(lambda: tab.connected)
            await talk(service, client, tab)

    asyncio.run(main())


async def asked(tab: Tab, times: int = 1) -> None:
    """Return when the tab was asked so often."""
    await tab.until(lambda: sum(told.type == "chunk" and "pause" in told.data for told in tab.events) == times)


async def posted(client: httpx.AsyncClient, message: str, key: str, **more: Any) -> httpx.Response:
    body = {"session_id": "s", "user_id": "ann", "message": message, **more}
    return await client.post("/api/chat", json=body, headers={"idempotency-key": key})


def request(message: str, message_id: str) -> WorkflowRequest:
    return WorkflowRequest(message_id=message_id, session_id="s", user_id="ann", message=message)


# -- through our pods -------------------------------------------------------------------------------------------------


def test_an_answer_that_comes_again_gets_the_first_answer_and_answers_once() -> None:
    async def talk(_: Inside, client: httpx.AsyncClient, tab: Tab) -> None:
        message_id = await post(client, "s", "write to Ann")
        await asked(tab)
        at_once = await asyncio.gather(*[posted(client, "approve", "k1") for _ in range(4)])
        assert (await tab.ended(message_id)).text == "It is sent."
        later = await posted(client, "approve", "k1")
        assert [one.status_code for one in (*at_once, later)] == [202] * 5
        assert {one.json()["message_id"] for one in (*at_once, later)} == {message_id}
        first = min(at_once, key=lambda one: one.json()["timestamp"])
        assert later.json() == first.json()
        assert len(await history(client, "s")) == 2
        reused = await posted(client, "reject", "k1")
        assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")
        assert await post(client, "s", "next") != message_id  # the session goes on

    run(talk)


def test_an_answer_that_comes_again_does_not_answer_the_next_question() -> None:
    async def talk(_: Inside, client: httpx.AsyncClient, tab: Tab) -> None:
        first = await posted(client, "hello", "k0")
        message_id = first.json()["message_id"]
        await asked(tab)
        assert (await posted(client, "hello", "k0")).json() == first.json()  # it is no answer to its own question
        answered = await posted(client, "blue", "k1")
        await asked(tab, 2)
        again = await posted(client, "blue", "k1")
        assert again.json() == answered.json()
        await posted(client, "small", "k2")
        assert (await tab.ended(message_id)).text == "blue and small"

    run(talk, app.asker)


def test_a_message_that_brings_its_conversation_along_may_come_again() -> None:
    async def talk(_: Inside, client: httpx.AsyncClient, tab: Tab) -> None:
        said = {"conversation_history": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
        first = await posted(client, "hi", "k1", context=said)
        await tab.ended(first.json()["message_id"])
        again = await posted(client, "hi", "k1", context=said)
        assert (again.status_code, again.json()) == (202, first.json())
        other = await posted(client, "hi", "k1", context={"temperature": 0.5})
        assert (other.status_code, other.json()["code"]) == (422, "key_reused")

    run(talk, app.chat)


def test_an_answer_that_is_refused_is_none_and_may_be_mended_under_its_key() -> None:
    async def talk(_: Inside, client: httpx.AsyncClient, tab: Tab) -> None:
        message_id = await post(client, "s", "write to Ann")
        await asked(tab)
        pause = next(told.data["pause"][0]["id"] for told in tab.events if "pause" in (told.data or {}))
        wrong = await posted(client, f"answer {message_id}/{pause} perhaps", "k1")
        assert wrong.status_code == 422
        assert (await posted(client, "approve", "k1")).json()["message_id"] == message_id
        assert (await tab.ended(message_id)).text == "It is sent."

    run(talk)


# -- over the bus -----------------------------------------------------------------------------------------------------


def test_an_answer_through_a_strangers_pod_ends_under_its_own_id_once() -> None:
    async def talk(service: Inside, client: httpx.AsyncClient, tab: Tab) -> None:
        for number, message in enumerate(("write to Ann", "approve")):
            body = to_json(request(message, f"m-{number}").model_dump())
            await service.parts.requests.publish("s", body, message_id=f"m-{number}")
            if not number:
                await asked(tab)
        assert (await tab.ended("m-0")).text == "It is sent."
        answer = await tab.ended("m-1")
        assert (answer.text, answer.status, answer.tokens) == ("", "complete", 0)
        await service.parts.requests.publish("s", body, message_id="the-same-again")
        worker = service.stops[-1].answering
        await tab.until(lambda: worker.taken == 3)
        await asyncio.sleep(0.2)
        assert (tab.faults, sum(told.type == "message_complete" for told in tab.events)) == ([], 2)
        assert [one["content"] for one in await history(client, "s")] == ["write to Ann", "It is sent."]
        body = to_json(request("approve", "m-1").model_copy(update={"user_id": "bob"}).model_dump())
        await service.parts.requests.publish("s", body, message_id="of-bob")
        await tab.until(lambda: worker.buried == 1)

    run(talk)


@pytest.mark.parametrize("graph", [app.clerk, app.asker], ids=["approval", "question"])
def test_a_worker_that_dies_before_it_has_answered_leaves_that_to_the_next_one(
    graph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "_LETS_ANOTHER_SECONDS", 0.1)

    async def main() -> None:
        service = Service(graph)
        await service.send("write to Ann")
        assert await service.work("m-1") == "PAUSED"
        answer = service.service.answer

        async def die(*_: Any, **__: Any) -> None:
            raise StoreUnavailable("the store is away")

        monkeypatch.setattr(service.service, "answer", die)
        with pytest.raises(StoreUnavailable):
            await service.desk.admit(request("approve", "m-2"))
        assert (await service.store.look("m-1")).status == "PAUSED"
        monkeypatch.setattr(service.service, "answer", answer)
        for _ in range(2):
            accepted = await service.desk.admit(request("approve", "m-2"))
            assert (accepted.message_id, accepted.is_new) == ("m-1", False)
        kept = [body for _, body in await service.store.read("m-1")]
        assert sum(b'"type":"answered"' in body for body in kept) == 1

    asyncio.run(main())


def test_of_one_answer_that_two_bring_at_once_one_answers_however_slow_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        service = Service(app.clerk)
        await service.send("write to Ann")
        await service.work("m-1")
        answer, times = service.service.answer, 0

        async def slowly(*told: Any, **more: Any) -> Any:
            nonlocal times
            times += 1
            await asyncio.sleep(0.3)
            return await answer(*told, **more)

        monkeypatch.setattr(service.service, "answer", slowly)
        taken = await asyncio.gather(*[service.desk.admit(request("approve", "m-2")) for _ in range(3)])
        assert ({one.message_id for one in taken}, times) == ({"m-1"}, 1)

    asyncio.run(main())


def test_an_answer_that_the_graph_refuses_leaves_nothing() -> None:
    async def main() -> None:
        service = Service(app.clerk)
        await service.send("write to Ann")
        await service.work("m-1")
        (pause,) = (await service.service.look(service.caller, "m-1"))["pauses"]
        with pytest.raises(AnswerInvalid):
            await service.desk.admit(request(f"answer m-1/{pause['id']} perhaps", "m-2"))
        assert not await service.desk.has("m-2")

    asyncio.run(main())
