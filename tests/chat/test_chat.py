"""A conversation through a pod and a worker: from the message to the history, and everything in between."""

import asyncio
import socket
import uuid
from typing import Any

import httpx
import pytest
from tests.chat import app
from tests.chat.inside import Inside, inside
from tests.chat.tab import Tab, history, post

import ropewalk
from ropewalk.chat import pod as pods
from ropewalk.chat.chunks import Head
from ropewalk.chat.outlet import Outlet, Told, Ways
from ropewalk.chat.whereabouts import Whereabouts
from ropewalk.chat_service import ChatWorker, demo_graph
from ropewalk.runtime import open_queued_store

GRAPHS = {"chat": app.chat, "quiet": app.quiet, "clerk": app.clerk}


class Chat:
    """One pod and one worker, and a way to talk to them."""

    def __init__(self, service: Inside, client: httpx.AsyncClient) -> None:
        self.service = service
        self.client = client


def run(test: Any, *names: str, **settings: Any) -> None:
    """Run a test with one pod and one worker over a store of its own."""

    async def main() -> None:
        store = open_queued_store("memory:")
        graphs: list[Any] = [GRAPHS[name] for name in names or ("chat",)]
        for graph in graphs:
            graph.use_store(store)
        doors = settings.pop("doors", {})
        async with inside(graphs, **settings) as service:
            client = await service.pod(**doors)
            service.worker()
            await test(Chat(service, client))

    asyncio.run(main())


def test_a_message_is_answered_on_every_tab_and_kept_in_the_history() -> None:
    async def talk(chat: Chat) -> None:
        tabs = [chat.service.tab("s"), chat.service.tab("s")]
        for tab in tabs:
            await tab.until(lambda tab=tab: tab.connected)
        message_id = await post(chat.client, "s", "hello world")
        for tab in tabs:
            answer = await tab.ended(message_id)
            assert (answer.text, answer.status, answer.resets) == ("1: hello world", "complete", 0)
            assert answer.chunk_ids == [*range(len(answer.chunk_ids))]
            assert tab.faults == []
        told = [(one["role"], one["content"]) for one in await history(chat.client, "s")]
        assert told == [("user", "hello world"), ("assistant", "1: hello world")]

    run(talk)


def test_a_message_begins_with_what_was_said_before() -> None:
    async def talk(chat: Chat) -> None:
        tab = chat.service.tab("s")
        texts = [(await tab.ended(await post(chat.client, "s", f"m{n}"))).text for n in range(4)]
        assert texts == ["1: m0", "3: m1", "5: m2", "7: m3"]
        assert [one["content"] for one in await history(chat.client, "s")][::2] == ["m0", "m1", "m2", "m3"]

    run(talk)


def test_messages_of_one_session_wait_for_each_other_whatever_comes_how_fast() -> None:
    async def talk(chat: Chat) -> None:
        tab = chat.service.tab("s")
        ids = [await post(chat.client, "s", f"slow m{n}") for n in range(4)]
        texts = [(await tab.ended(message_id)).text for message_id in ids]
        assert texts == ["1: slow m0", "3: slow m1", "5: slow m2", "7: slow m3"]

    run(talk)


def test_a_busy_session_can_refuse_or_be_interrupted() -> None:
    async def refuse(chat: Chat) -> None:
        tab = chat.service.tab("s")
        first = await post(chat.client, "s", "slow " * 20)
        body = {"session_id": "s", "user_id": "ann", "message": "now"}
        refused = await chat.client.post("/api/chat", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "session_busy")
        assert (await tab.ended(first)).status == "complete"

    async def interrupt(chat: Chat) -> None:
        tab = chat.service.tab("s")
        first = await post(chat.client, "s", "slow " * 200)
        await tab.until(lambda: first in tab.answers)
        second = await post(chat.client, "s", "now")
        assert (await tab.ended(second)).text.endswith(": now")
        assert (await tab.ended(first)).status == "cancelled"

    run(refuse, on_busy="reject")
    run(interrupt, on_busy="interrupt")


def test_a_post_may_come_before_the_stream_and_is_shown_once() -> None:
    async def talk(chat: Chat) -> None:
        message_id = await post(chat.client, "s", "early")
        while len(await history(chat.client, "s")) < 2:
            await asyncio.sleep(0.01)
        tab = chat.service.tab("s")
        assert (await tab.ended(message_id)).text == "1: early"
        await asyncio.sleep(0.8)  # what was shown is noted twice a second
        late = chat.service.tab("s")
        await late.until(lambda: late.connected)
        second = await post(chat.client, "s", "late")
        assert (await late.ended(second)).text == "3: late"
        assert [*late.answers] == [second]

    run(talk)


def test_a_stream_cut_at_every_event_joins_to_the_same_text() -> None:
    async def talk(chat: Chat) -> None:
        whole = chat.service.tab("s")
        cut = Tab("s", "ann")
        await whole.until(lambda: whole.connected)
        message_id = await post(chat.client, "s", "slow one two three four five six seven")
        while cut.answers.get(message_id) is None or cut.answers[message_id].status == "open":
            await cut.follow(chat.client, cut_after=2)
        answer = await whole.ended(message_id)
        assert cut.answers[message_id].text == answer.text
        assert cut.answers[message_id].chunk_ids == answer.chunk_ids
        assert cut.faults == []
        assert cut.connected > 5

    run(talk)


def test_a_cursor_that_nobody_knows_is_said_so_and_everything_is_told_anew() -> None:
    async def talk(chat: Chat) -> None:
        first = chat.service.tab("s")
        ids = [await post(chat.client, "s", f"m{n}") for n in range(2)]
        for message_id in ids:
            await first.ended(message_id)
        for cursor in ("gone.7", "what is this", "x" * 5000):
            tab = Tab("s", "ann")
            tab.cursor = cursor
            following = asyncio.create_task(tab.follow(chat.client))
            for message_id in ids:
                answer = await tab.ended(message_id)
                assert (answer.text, answer.resets) == (first.answers[message_id].text, 1)
            connected = next(told for told in tab.events if told.type == "connected")
            assert connected.data["recovered"] is False
            following.cancel()

    run(talk)


def test_a_node_that_fails_is_told_without_its_words() -> None:
    async def talk(chat: Chat) -> None:
        tab = chat.service.tab("s")
        answer = await tab.ended(await post(chat.client, "s", "please fail"))
        assert (answer.status, answer.error) == (
            "error",
            {"code": "node_failed", "message": "The answer could not be completed."},
        )
        stored = (await history(chat.client, "s"))[-1]
        assert (stored["status"], stored["content"], stored["error"]) == ("FAILED", answer.text, answer.error)
        again = await tab.ended(await post(chat.client, "s", "now"))
        assert again.status == "complete"
        assert "error" not in (await history(chat.client, "s"))[-1]

    run(talk)


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_an_answer_that_ends_in_its_middle_is_the_same_on_every_tab_and_in_the_history(how: str) -> None:
    async def main() -> None:
        limited = app.drawn(execution_timeout=0.3 if how == "timeout" else None)
        limited.use_store(open_queued_store("memory:"))
        async with inside([limited]) as service:
            client = await service.pod()
            service.worker()
            tab = service.tab("s")
            message_id = await post(client, "s", "slow " * 100)
            await tab.until(lambda: tab.answers.get(message_id) and tab.answers[message_id].text)
            if how == "cancel":
                await client.post(f"/api/chat/{message_id}/cancel")
            answer = await tab.ended(message_id)
            stored = (await history(client, "s"))[-1]
            assert (answer.text, answer.resets) == (stored["content"], 1)
            assert stored.get("error") == answer.error
            assert stored["status"] == ("FAILED" if how == "timeout" else "CANCELLED")

    asyncio.run(main())


def test_an_answer_can_be_cancelled_while_it_is_told_and_while_it_waits() -> None:
    async def talk(chat: Chat) -> None:
        tab = chat.service.tab("s")
        first = await post(chat.client, "s", "slow " * 200)
        waiting = await post(chat.client, "s", "waits")
        await tab.until(lambda: first in tab.answers)
        for message_id in (waiting, first):
            assert (await chat.client.post(f"/api/chat/{message_id}/cancel")).status_code == 202
            assert (await tab.ended(message_id)).status == "cancelled"
        again = await chat.client.post(f"/api/chat/{first}/cancel")
        assert again.status_code in (202, 409)
        assert (await tab.ended(await post(chat.client, "s", "after"))).status == "complete"

    run(talk)


def test_a_key_is_one_message_however_often_it_comes() -> None:
    async def talk(chat: Chat) -> None:
        tab = chat.service.tab("s")
        ids = await asyncio.gather(*[post(chat.client, "s", "once", key="k1") for _ in range(5)])
        assert len({*ids}) == 1
        await tab.ended(ids[0])
        assert await post(chat.client, "s", "once", key="k1") == ids[0]
        again = {"session_id": "s", "user_id": "ann", "message": "once"}
        told = (await chat.client.post("/api/chat", json=again, headers={"idempotency-key": "k1"})).json()
        chunks = [one.data for one in tab.events if one.type == "chunk"]
        assert {one["correlation_id"] for one in chunks} == {told["correlation_id"]}
        assert len(await history(chat.client, "s")) == 2
        body = {"session_id": "s", "user_id": "ann", "message": "another"}
        reused = await chat.client.post("/api/chat", json=body, headers={"idempotency-key": "k1"})
        assert (reused.status_code, reused.json()["code"]) == (422, "key_reused")
        empty = await chat.client.post("/api/chat", json=body, headers={"idempotency-key": ""})
        assert (empty.status_code, empty.json()["code"]) == (400, "request_unreadable")

    run(talk)


def test_the_context_reaches_the_graph_and_a_model_only_when_it_is_allowed() -> None:
    async def plain(chat: Chat) -> None:
        tab = chat.service.tab("s")
        context = {"temperature": 0.5, "max_tokens": 9, "system_prompt": "Be short.", "theme": "dark", "model": "gpt-4"}
        answer = await tab.ended(await post(chat.client, "s", "hi", context=context, ai_provider="openai"))
        assert answer.text == (
            "context: [('max_tokens', 9), ('system_prompt', 'Be short.'), ('temperature', 0.5), ('theme', 'dark')]"
        )

    async def listed(chat: Chat) -> None:
        tab = chat.service.tab("s")
        answer = await tab.ended(await post(chat.client, "s", "hi", ai_provider="openai", model="gpt-5"))
        assert answer.text == "context: [('ai_provider', 'openai'), ('model', 'gpt-5')]"
        body = {"session_id": "s", "user_id": "ann", "message": "hi", "ai_provider": "openai", "model": "gpt-6"}
        refused = await chat.client.post("/api/chat", json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, "model_not_allowed")

    run(plain, "quiet")
    run(listed, "quiet", models=("openai:gpt-5",))


def test_a_client_may_bring_the_conversation_along_that_nobody_here_knows() -> None:
    async def talk(chat: Chat) -> None:
        tab = chat.service.tab("s")
        said = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "system", "content": "x"},
        ]
        first = await post(chat.client, "s", "hi", context={"conversation_history": said})
        assert (await tab.ended(first)).text == "3: hi"
        second = await post(chat.client, "s", "ho", context={"conversation_history": said})
        assert (await tab.ended(second)).text == "5: ho"

    run(talk)


def test_the_request_chooses_among_the_graphs_that_are_served() -> None:
    async def talk(chat: Chat) -> None:
        tab = chat.service.tab("s")
        answer = await tab.ended(await post(chat.client, "s", "hi", context={"graph": "quiet"}))
        assert answer.text == "context: [('graph', 'quiet')]"
        body = {"session_id": "s", "user_id": "ann", "message": "hi", "context": {"graph": "nobody"}}
        refused = await chat.client.post("/api/chat", json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "graph_not_found")

    run(talk, "chat", "quiet")


@pytest.mark.parametrize("how", ["words", "door", "rejected"])
def test_an_approval_is_asked_and_answered_in_the_chat(how: str) -> None:
    async def talk(chat: Chat) -> None:
        tab = chat.service.tab("s")
        message_id = await post(chat.client, "s", "write to Ann")
        await tab.until(lambda: any(told.type == "chunk" and told.data.get("pause") for told in tab.events))
        assert uuid.UUID(tab.events[0].data["connection_id"]).version == 4  # as the contract has it
        asked = next(told.data for told in tab.events if told.type == "chunk" and told.data.get("pause"))
        (pause,) = asked["pause"]
        assert (asked["chunk_type"], pause["payload"]["tool"]) == ("system", "send_letter")
        assert "approve" in asked["chunk"]
        assert tab.answers[message_id].status == "open"
        if how == "door":
            url = f"/api/chat/{message_id}/answers/{pause['id']}"
            assert (await chat.client.post(url, json={"value": {"approve": True}})).status_code == 202
        else:
            assert await post(chat.client, "s", "approve" if how == "words" else "reject too early") == message_id
        answer = await tab.ended(message_id)
        assert (answer.text, answer.status) == ("It is not sent." if how == "rejected" else "It is sent.", "complete")
        assert tab.faults == []

    run(talk, "clerk")


def test_a_session_is_its_users_and_for_others_there_is_none() -> None:
    async def talk(chat: Chat) -> None:
        await (chat.service.tab("s")).ended(await post(chat.client, "s", "mine"))
        params = {"session_id": "s", "user_id": "bob"}
        asked = [
            await chat.client.post("/api/chat", json={**params, "message": "yours"}),
            await chat.client.get("/api/sse", params=params),
            await chat.client.get("/api/sessions/s/messages", params={"user_id": "bob"}),
        ]
        assert [(one.status_code, one.json()["code"]) for one in asked] == [(404, "session_not_found")] * 3

    run(talk)


def test_a_stream_has_the_headers_of_the_contract() -> None:
    async def talk(chat: Chat) -> None:
        params = {"session_id": "s", "user_id": "ann"}
        async with chat.client.stream("GET", "/api/sse", params=params) as answer:
            told = {name: answer.headers[name] for name in ("content-type", "connection", "x-accel-buffering")}
            assert told == {
                "content-type": "text/event-stream; charset=utf-8",
                "connection": "keep-alive",
                "x-accel-buffering": "no",
            }
            assert answer.headers["cache-control"].startswith("no-cache")

    run(talk)


def test_a_pod_s_health_may_be_asked_for_without_a_body_and_its_document_tells_the_package_s_version() -> None:
    async def talk(chat: Chat) -> None:
        answer = await chat.client.head("/health")
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await chat.client.get("/openapi.json")).json()["info"]["version"] == ropewalk.__version__

    run(talk)


def test_with_keys_a_user_is_who_the_key_says() -> None:
    async def talk(chat: Chat) -> None:
        ann, bob = ({"authorization": f"Bearer {key}"} for key in ("secret-of-ann", "secret-of-bob"))
        body = {"session_id": "s", "user_id": "ann", "message": "hi"}
        assert (await chat.client.post("/api/chat", json=body)).status_code == 401
        assert (await chat.client.post("/api/chat", json=body, headers=bob)).status_code == 404
        sent = await chat.client.post("/api/chat", json=body, headers=ann)
        assert sent.status_code == 202
        cancel = f"/api/chat/{sent.json()['message_id']}/cancel"
        assert (await chat.client.post(cancel, headers=bob)).status_code == 404

    run(talk, doors={"api_keys": ("ann:secret-of-ann", "bob:secret-of-bob")})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request_unreadable"),
        (b"[]", 400, "request_unreadable"),
        (b'{"session_id": "s", "user_id": "u"}', 400, "request_unreadable"),
        (b'{"session_id": "s", "user_id": "u", "message": ""}', 400, "request_unreadable"),
        (b'{"session_id": "a.b", "user_id": "u", "message": "m"}', 400, "invalid_session"),
        (b'{"session_id": "*", "user_id": "u", "message": "m"}', 400, "invalid_session"),
        (b'{"session_id": "a\\r\\nPUB x 1", "user_id": "u", "message": "m"}', 400, "invalid_session"),
        (b'{"session_id": "s", "user_id": "u", "message": "m", "context": {"top": 1, "temperature": "hot"}}', 400,
         "request_unreadable"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_nothing_is_kept(body: bytes, status: int, code: str) -> None:
    async def talk(chat: Chat) -> None:
        answer = await chat.client.post("/api/chat", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert (await chat.client.get("/api/chat")).status_code == 405
        assert (await chat.client.get("/api/sse", params={"session_id": "s"})).status_code == 400
        assert await app.chat.desk.store.runs() == []  # type: ignore[union-attr]

    run(talk)


def test_a_client_that_does_not_read_holds_nobody() -> None:
    async def talk(chat: Chat) -> None:
        tab = chat.service.tab("s")
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", chat.client.base_url.port))
        reader, writer = await asyncio.open_connection(sock=deaf, limit=1024)
        writer.write(b"GET /api/sse?session_id=s&user_id=ann HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await writer.drain()
        pod, parts = chat.service.pods["pod1"].pod, chat.service.parts
        await tab.until(lambda: len(pod.viewers) == 2)
        head = Head(session_id="s", message_id="m", correlation_id="c")
        ways = Ways(log=parts.log, bus=parts.bus, whereabouts=Whereabouts(parts.registry), told=Told())
        outlet = Outlet(head, 1, ways, str)
        await outlet.open()
        for _ in range(80):
            await outlet.say("x" * 100_000)
            await asyncio.sleep(0.02)
        await tab.until(lambda: len(tab.answers["m"].text) == 8_000_000)
        await tab.until(lambda: len(pod.viewers) == 1)  # the other was sent away; it would come back with its cursor
        writer.close()
        reader.feed_eof()

    run(talk)


def test_the_demonstration_answers_where_no_graph_is_given() -> None:
    async def main() -> None:
        store = open_queued_store("memory:")
        graph: Any = demo_graph()
        graph.use_store(store)
        async with inside([graph]) as service:
            client = await service.pod()
            service.worker()
            tab = service.tab("test", "user1")
            message_id = await post(client, "test", "Hello, how are you?", "user1")
            answer = await tab.ended(message_id)
            assert answer.text.startswith("I received your message: 'Hello, how are you?' This is a demo response")
            chunks = [told.data for told in tab.events if told.type == "chunk"]
            assert [chunk["chunk"] for chunk in chunks[:2]] == ["I received your ", "message: 'Hello, how "]
            assert chunks[-1]["is_final"]
            assert chunks[-1]["metadata"] == {"model": "demo-gpt", "tokens_used": 46, "finish_reason": "stop"}
            assert not chunks[-1]["chunk"].endswith(" ")

    asyncio.run(main())


def test_a_stop_of_the_pod_sends_its_clients_elsewhere() -> None:
    async def talk(chat: Chat) -> None:
        await chat.service.pod("pod2")
        where = ["pod1"]
        tab = Tab("s", "ann")
        following = asyncio.create_task(tab.keep_following(lambda: chat.service.urls[where[0]]))
        message_id = await post(chat.client, "s", "slow one two three four five six seven eight nine ten")
        await tab.until(lambda: message_id in tab.answers)
        where[0] = "pod2"
        chat.service.pods["pod1"].stop()
        answer = await tab.ended(message_id)
        assert answer.status == "complete"
        assert any(told.type == "reconnect" for told in tab.events)
        assert tab.faults == []
        following.cancel()

    run(talk)


@pytest.mark.parametrize("pod", ["pod1", "pod2"])
def test_a_message_whose_worker_died_without_a_word_has_an_end_at_a_client_that_stays(
    pod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod that took it looks after it, whether the client is there or at another one."""
    monkeypatch.setattr(pods, "_EXPECTED_SECONDS", 0.1)
    monkeypatch.setattr(pods, "_STORE_SECONDS", 0.1)

    async def talk(chat: Chat) -> None:
        await chat.service.pod("pod2")
        (worker,) = [one for one in chat.service.stops if isinstance(one, ChatWorker)]
        monkeypatch.setattr(worker.answering, "on_drive", lambda *_: None)
        tab = chat.service.tab("s", pod=pod)
        await tab.until(lambda: tab.connected)
        answer = await tab.ended(await post(chat.client, "s", "hello"), 5)
        assert (answer.text, answer.status, tab.faults) == ("1: hello", "complete", [])

    run(talk)


def test_a_client_that_leaves_in_the_middle_of_its_message_is_no_fault_of_the_pod(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talk(chat: Chat) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", chat.client.base_url.port)
        head = (
            "POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n"
        )
        writer.write(head.encode() + b'{"session_id": "s", ')
        await writer.drain()
        pod = chat.service.pods["pod1"]
        async with asyncio.timeout(5):
            while not pod._listener.server_state.tasks:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
            writer.close()
            while pod._listener.server_state.tasks:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
        assert not [record for record in caplog.records if record.exc_info]

    run(talk)
