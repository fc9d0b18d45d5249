"""Pods and workers as processes, over real servers; and beside strangers that speak the contract alone."""

import asyncio
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.chat.crew import Crew, Process, crew
from tests.chat.tab import Tab, history, post

pytestmark = pytest.mark.slow
DEMO = "I received your message: 'Hello, how are you?' "


@pytest.fixture
def service(tmp_path: Path, postgres_url: str, nats_url: str, redis_url: str) -> Iterator[Crew]:
    with crew(tmp_path, store=postgres_url, bus=nats_url, sessions=redis_url) as made:
        yield made


def session() -> str:
    """Return a session that no other test has: the servers are shared."""
    return f"s-{secrets.token_hex(6)}"


def talk(*pods: Process, **_: Any) -> Callable[[Callable[..., Awaitable[None]]], None]:
    """Run a conversation with a client of each pod."""

    def run(conversation: Callable[..., Awaitable[None]]) -> None:
        async def main() -> None:
            clients = [httpx.AsyncClient(base_url=pod.url, timeout=20) for pod in pods]
            try:
                await conversation(*clients)
            finally:
                for client in clients:
                    await client.aclose()

        asyncio.run(main())

    return run


def strangers_environ(nats_url: str, redis_url: str) -> dict[str, str]:
    redis = urlsplit(redis_url)
    found = {"NATS_URL": nats_url, "REDIS_HOST": redis.hostname or "", "REDIS_PORT": str(redis.port)}
    return found | ({"REDIS_PASSWORD": redis.password} if redis.password else {})


def test_any_pod_takes_a_message_and_every_pod_tells_the_answer(service: Crew) -> None:
    pods = [service.pod(f"pod-{secrets.token_hex(3)}") for _ in range(2)]
    service.worker("worker-1")

    @talk(*pods)
    async def conversation(first: httpx.AsyncClient, second: httpx.AsyncClient) -> None:
        where = session()
        tabs = [Tab(where, "ann"), Tab(where, "ann")]
        following = [
            asyncio.create_task(tab.keep_following(lambda pod=pod: pod.url))
            for tab, pod in zip(tabs, pods, strict=True)
        ]
        for tab in tabs:
            await tab.until(lambda tab=tab: tab.connected)
        message_id = await post(first, where, "hello world")
        for tab in tabs:
            answer = await tab.ended(message_id)
            assert (answer.text, answer.resets, tab.faults) == ("1: hello world", 0, [])
        assert await history(first, where) == await history(second, where)
        for task in following:
            task.cancel()


def test_an_answer_survives_its_worker_and_the_tab_its_pod(service: Crew) -> None:
    pods = [service.pod(f"pod-{secrets.token_hex(3)}") for _ in range(2)]
    workers = [service.worker("worker-1", "--lease", "1.5")]

    @talk(*pods)
    async def conversation(first: httpx.AsyncClient, second: httpx.AsyncClient) -> None:
        where, at = session(), [0]
        tab = Tab(where, "ann")
        following = asyncio.create_task(tab.keep_following(lambda: pods[at[0]].url))
        message_id = await post(second, where, "slow " * 40)
        await tab.until(lambda: len(tab.answers.get(message_id, Tab(where, "x")._answer("x")).text) > 20)
        workers[0].kill()
        workers.append(service.worker("worker-2", "--lease", "1.5"))
        await tab.until(lambda: tab.answers[message_id].resets)
        at[0] = 1
        pods[0].kill()
        answer = await tab.ended(message_id)
        told = await history(second, where)
        assert answer.status == "complete"
        assert answer.text == told[-1]["content"] == f"1: {'slow ' * 40}"
        assert tab.faults == []
        following.cancel()


def test_a_worker_that_was_frozen_says_nothing_more(service: Crew) -> None:
    pod = service.pod(f"pod-{secrets.token_hex(3)}")
    frozen = service.worker("worker-1", "--lease", "1.5")

    @talk(pod)
    async def conversation(client: httpx.AsyncClient) -> None:
        where = session()
        tab = Tab(where, "ann")
        following = asyncio.create_task(tab.keep_following(lambda: pod.url))
        message_id = await post(client, where, "slow " * 30)
        await tab.until(lambda: message_id in tab.answers)
        frozen.kill(signal.SIGSTOP)
        service.worker("worker-2", "--lease", "1.5")
        await tab.until(lambda: tab.answers[message_id].resets)
        frozen.kill(signal.SIGCONT)
        answer = await tab.ended(message_id)
        assert (answer.status, answer.resets, tab.faults) == ("complete", 1, [])
        assert answer.text == (await history(client, where))[-1]["content"]
        following.cancel()


def test_a_strangers_worker_answers_at_our_pods(service: Crew, nats_url: str, redis_url: str) -> None:
    pods = [service.pod(f"pod-{secrets.token_hex(3)}") for _ in range(2)]
    service.stranger("workflow_worker.py", **strangers_environ(nats_url, redis_url))

    @talk(*pods)
    async def conversation(first: httpx.AsyncClient, second: httpx.AsyncClient) -> None:
        where = session()
        tabs = [Tab(where, "ann"), Tab(where, "ann")]
        following = [
            asyncio.create_task(tab.keep_following(lambda pod=pod: pod.url))
            for tab, pod in zip(tabs, pods, strict=True)
        ]
        for tab in tabs:
            await tab.until(lambda tab=tab: tab.connected)
        message_id = await post(first, where, "Hello, how are you?")
        for tab in tabs:
            answer = await tab.ended(message_id)
            assert answer.status == "complete"
            assert answer.text.startswith(DEMO)
            assert answer.chunk_ids == [*range(len(answer.chunk_ids))]
            assert tab.faults == []
        told = await history(second, where)
        assert [(one["role"], one.get("status")) for one in told] == [("user", None), ("assistant", "DONE")]
        assert told[-1]["content"] == tabs[0].answers[message_id].text
        for task in following:
            task.cancel()


def test_a_strangers_answer_is_kept_for_a_tab_that_comes_late(service: Crew, nats_url: str, redis_url: str) -> None:
    pod = service.pod(f"pod-{secrets.token_hex(3)}")
    service.stranger("workflow_worker.py", **strangers_environ(nats_url, redis_url))

    @talk(pod)
    async def conversation(client: httpx.AsyncClient) -> None:
        where = session()
        message_id = await post(client, where, "Hello, how are you?")
        await asyncio.sleep(0.5)
        tab = Tab(where, "ann")
        following = asyncio.create_task(tab.keep_following(lambda: pod.url))
        assert (await tab.ended(message_id)).text.startswith(DEMO)
        following.cancel()


def test_our_worker_answers_a_strangers_pod(service: Crew, nats_url: str, redis_url: str) -> None:
    service.worker("worker-1")
    environ = strangers_environ(nats_url, redis_url)
    pod = service.stranger("pod.py", POD_ID=f"stranger-{secrets.token_hex(3)}", SERVER_PORT="0", **environ)
    ours = service.pod(f"pod-{secrets.token_hex(3)}")

    @talk(pod, ours)
    async def conversation(client: httpx.AsyncClient, beside: httpx.AsyncClient) -> None:
        where = session()
        tab = Tab(where, "ann")
        following = asyncio.create_task(tab.keep_following(lambda: pod.url))
        await tab.until(lambda: tab.connected)
        message_id = await post(client, where, "hello stranger")
        answer = await tab.ended(message_id)
        assert (answer.text, answer.status) == ("1: hello stranger", "complete")
        second = await post(client, where, "again")
        assert (await tab.ended(second)).text == "3: again"
        told = [(one["role"], one["content"]) for one in await history(beside, where)]
        assert told == [
            ("user", "hello stranger"),
            ("assistant", "1: hello stranger"),
            ("user", "again"),
            ("assistant", "3: again"),
        ]
        following.cancel()


def test_an_approval_is_answered_through_a_strangers_pod_and_both_messages_end_there(
    service: Crew, nats_url: str, redis_url: str
) -> None:
    service.worker("worker-1", graphs=["clerk"])
    environ = strangers_environ(nats_url, redis_url)
    pod = service.stranger("pod.py", POD_ID=f"stranger-{secrets.token_hex(3)}", SERVER_PORT="0", **environ)

    @talk(pod)
    async def conversation(client: httpx.AsyncClient) -> None:
        where = session()
        tab = Tab(where, "ann")
        following = asyncio.create_task(tab.keep_following(lambda: pod.url))
        await tab.until(lambda: tab.connected)
        message_id = await post(client, where, "write to Ann")
        await tab.until(lambda: any("approve" in told.data.get("chunk", "") for told in tab.events))
        answering = await post(client, where, "approve")
        assert answering != message_id
        assert (await tab.ended(answering)).status == "complete"
        assert (await tab.ended(message_id)).text.endswith("It is sent.")
        assert tab.faults == []
        following.cancel()


def test_a_request_that_nobody_can_read_is_put_away_and_told(service: Crew, nats_url: str, redis_url: str) -> None:
    service.worker("worker-1")
    pod = service.pod(f"pod-{secrets.token_hex(3)}")

    @talk(pod)
    async def conversation(client: httpx.AsyncClient) -> None:
        import nats

        where = session()
        tab = Tab(where, "ann")
        following = asyncio.create_task(tab.keep_following(lambda: pod.url))
        await tab.until(lambda: tab.connected)
        connection = await nats.connect(nats_url)
        told = {
            "message_id": "m-1",
            "session_id": where,
            "user_id": "ann",
            "message": "hi",
            "context": {"graph": "none"},
        }
        await connection.publish(f"chat.workflow.execute.{where}", b"no json")
        import json

        await connection.publish(f"chat.workflow.execute.{where}", json.dumps(told).encode())
        answer = await tab.ended("m-1")
        assert (answer.status, (answer.error or {})["code"]) == ("error", "graph_not_found")
        message_id = await post(client, where, "goes on")
        assert (await tab.ended(message_id)).status == "complete"
        await connection.close()
        following.cancel()


def test_a_pod_takes_messages_while_nats_and_redis_are_away(
    tmp_path: Path, postgres_url: str, own_nats: Any, own_redis: Any
) -> None:
    with crew(tmp_path, store=postgres_url, bus=own_nats.url, sessions=own_redis.url) as service:
        pod = service.pod("pod-1")
        service.worker("worker-1")

        @talk(pod)
        async def conversation(client: httpx.AsyncClient) -> None:
            where = session()
            tab = Tab(where, "ann")
            following = asyncio.create_task(tab.keep_following(lambda: pod.url))
            first = await post(client, where, "slow " * 30)
            await tab.until(lambda: first in tab.answers)
            own_nats.stop()
            own_redis.stop()
            second = await post(client, where, "while nothing is there")
            await asyncio.sleep(1)
            own_nats.start()
            own_redis.start()
            for message_id in (first, second):
                answer = await tab.ended(message_id, 30)
                assert answer.status == "complete"
            told = [one["content"] for one in await history(client, where) if one["role"] == "assistant"]
            assert [tab.answers[one].text for one in (first, second)] == told
            assert (await client.get("/health")).json()["nats_connected"] is True
            following.cancel()


def test_the_seeds_curl_lines_work_against_one_process_with_nothing_installed(tmp_path: Path) -> None:
    with crew(tmp_path, store="sqlite:///chat.db", bus="nats://nowhere", sessions="redis://nowhere") as service:
        chat = service.start("chat", ["chat", "--port", "0", "--json", "--store", f"sqlite:///{tmp_path / 'chat.db'}"])

        @talk(chat)
        async def conversation(client: httpx.AsyncClient) -> None:
            tab = Tab("test", "user1")
            following = asyncio.create_task(tab.keep_following(lambda: chat.url))
            message_id = await post(client, "test", "Hello, how are you?", "user1")
            answer = await tab.ended(message_id)
            assert (answer.status, answer.tokens) == ("complete", 46)
            assert answer.text.startswith(DEMO)
            following.cancel()


def test_the_doctor_looks_at_the_parts_and_says_what_to_do(
    tmp_path: Path, postgres_url: str, own_nats: Any, own_redis: Any
) -> None:
    store = postgres_url
    with crew(tmp_path, store=store, bus=own_nats.url, sessions=own_redis.url) as service:
        asked = ["doctor", "--json", "--store", store, "--bus", own_nats.url, "--sessions", own_redis.url]
        assert service.run(asked) == (0, [])
        own_redis.stop()
        own_nats.stop()
        status, found = service.run(asked)
        assert (status, [one["problem"] for one in found]) == (1, ["bus", "sessions"])
        assert all(one["do"] for one in found)
        assert own_nats.password not in str(found)
        for name in ("SERVER_PORT", "NATS_MAX_RECONNECTS"):
            status, told = service.run(["doctor", "--json", "--store", store], **{name: "many"})
            assert status == 2
            assert name in str(told)


def test_the_doctor_says_what_a_name_of_the_contract_means_here(tmp_path: Path, postgres_url: str) -> None:
    with crew(tmp_path, store=postgres_url, bus="", sessions="") as service:
        status, told = service.said(["doctor", "--store", postgres_url], SERVER_WRITE_TIMEOUT="30s")
        assert status == 0
        assert "SERVER_WRITE_TIMEOUT=30s: a client that takes nothing for so long is given up" in told
