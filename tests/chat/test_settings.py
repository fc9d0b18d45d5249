"""The environment of pods and workers."""

import asyncio
import time
from typing import Any

import pytest
from tests.chat import app
from tests.chat.inside import inside

from ropewalk.chat_settings import ChatSettings, pod_id_of, read_chat_settings, told_settings
from ropewalk.runtime import open_queued_store
from ropewalk.settings import Reconnects


def test_the_contracts_names_are_read() -> None:
    settings = read_chat_settings(
        {
            "NATS_URL": "nats://bus:4222", "REDIS_HOST": "cache", "REDIS_PORT": "6380", "REDIS_PASSWORD": "p@ss",
            "REDIS_DB": "2", "SERVER_HOST": "0.0.0.0", "SERVER_PORT": "8081", "POD_ID": "pod-1", "DB_HOST": "db",
            "DB_USER": "chat", "DB_PASSWORD": "s/e", "DB_NAME": "chats", "DB_SSLMODE": "disable",
            "BUFFER_MAX_BUFFERS": "5", "BUFFER_MAX_CHUNKS": "6", "BUFFER_MAX_AGE": "5m",
            "BUFFER_MISSING_CHUNK_TIMEOUT": "500ms", "ROPEWALK_ON_BUSY": "reject", "ROPEWALK_GRAPHS": "a.py:x, b.py",
            "ROPEWALK_CHAT_MODELS": "openai:gpt-5, anthropic:claude", "SERVER_READ_TIMEOUT": "20s",
            "SERVER_WRITE_TIMEOUT": "1m", "NATS_MAX_RECONNECTS": "60", "NATS_RECONNECT_WAIT": "2s",
            "BUFFER_CLEANUP_INTERVAL": "3s",
        }
    )  # fmt: skip
    assert settings == ChatSettings(
        bus="nats://bus:4222", sessions="redis://:p%40ss@cache:6380/2", host="0.0.0.0", port=8081, pod_id="pod-1",
        store="postgresql://chat:s%2Fe@db:5432/chats?sslmode=disable", most_buffers=5, most_chunks=6,
        buffer_seconds=300.0, missing_seconds=0.5, on_busy="reject", graphs=("a.py:x", "b.py"),
        models=("openai:gpt-5", "anthropic:claude"), read_seconds=20.0, write_seconds=60.0, cleanup_seconds=3.0,
        reconnects=Reconnects(most=60, wait_seconds=2.0),
    )  # fmt: skip


def test_ours_goes_before_the_contracts_database() -> None:
    settings = read_chat_settings({"ROPEWALK_STORE": "postgresql://here", "DB_HOST": "there"})
    assert settings.store == "postgresql://here"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("SERVER_PORT", "many"),
        ("REDIS_PORT", "-1"),
        ("BUFFER_MAX_AGE", "soon"),
        ("ROPEWALK_ON_BUSY", "wait"),
        ("SERVER_READ_TIMEOUT", "-5s"),
        ("SERVER_WRITE_TIMEOUT", "long"),
        ("NATS_MAX_RECONNECTS", "often"),
        ("NATS_MAX_RECONNECTS", "2.5"),
        ("NATS_RECONNECT_WAIT", "0"),
        ("BUFFER_CLEANUP_INTERVAL", "sometimes"),
    ],
)
def test_what_cannot_be_read_names_its_variable(name: str, given: str) -> None:
    with pytest.raises(ValueError, match=name):
        read_chat_settings({name: given})


def test_a_pods_name_can_stand_in_a_subject() -> None:
    assert pod_id_of("host.example.com/1 *>") == "host-example-com-1---"


def test_a_timeout_of_nothing_is_none_as_in_the_contracts_own_language() -> None:
    settings = read_chat_settings(
        {"SERVER_READ_TIMEOUT": "0", "SERVER_WRITE_TIMEOUT": "0s", "NATS_MAX_RECONNECTS": "-7"}
    )
    assert (settings.read_seconds, settings.write_seconds, settings.reconnects) == (None, None, Reconnects())


def test_what_a_name_means_here_is_told_where_it_is_set() -> None:
    told = told_settings({"SERVER_WRITE_TIMEOUT": "30s", "NATS_URL": "nats://bus", "NATS_MAX_RECONNECTS": " "})
    assert [one.partition(": ")[0] for one in told] == ["SERVER_WRITE_TIMEOUT=30s"]
    assert "ends no stream that is read" in told[0]


def test_a_request_must_be_whole_in_its_time_and_a_stream_that_is_read_has_no_end() -> None:
    async def main() -> None:
        app.chat.use_store(open_queued_store("memory:"))
        async with inside([app.chat], read_seconds=0.4, write_seconds=0.4) as service:
            client = await service.pod()
            tab = service.tab("s")
            await tab.until(lambda: tab.connected)
            for slow in (
                b"GET /health HTTP/1.1\r\n",
                b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n",
            ):
                began = time.monotonic()
                reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
                writer.write(slow)
                async with asyncio.timeout(3):
                    while await reader.read(1000):
                        pass
                assert 0.3 < time.monotonic() - began < 2
                writer.close()
            assert tab.connected == 1

    asyncio.run(main())


def test_buffers_are_looked_after_as_often_as_is_said() -> None:
    async def main() -> None:
        app.chat.use_store(open_queued_store("memory:"))
        async with inside([app.chat], cleanup_seconds=10.0, missing_seconds=1.0) as service:
            await service.pod()
            relay: Any = service.pods["pod1"].relay
            now = asyncio.get_running_loop().time() + 1000
            relay.look_around(now)
            relay.orderings.take("m", 1, None, is_final=False, now=now)
            relay.look_around(now + 9)
            assert len(relay.orderings) == 1
            relay.look_around(now + 10)
            assert len(relay.orderings) == 0

    asyncio.run(main())
