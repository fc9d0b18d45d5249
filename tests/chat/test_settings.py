"""The environment of pods and workers."""

import pytest

from ropewalk.chat_settings import ChatSettings, pod_id_of, read_chat_settings


def test_the_contracts_names_are_read() -> None:
    settings = read_chat_settings(
        {
            "NATS_URL": "nats://bus:4222", "REDIS_HOST": "cache", "REDIS_PORT": "6380", "REDIS_PASSWORD": "p@ss",
            "REDIS_DB": "2", "SERVER_HOST": "0.0.0.0", "SERVER_PORT": "8081", "POD_ID": "pod-1", "DB_HOST": "db",
            "DB_USER": "chat", "DB_PASSWORD": "s/e", "DB_NAME": "chats", "DB_SSLMODE": "disable",
            "BUFFER_MAX_BUFFERS": "5", "BUFFER_MAX_CHUNKS": "6", "BUFFER_MAX_AGE": "5m",
            "BUFFER_MISSING_CHUNK_TIMEOUT": "500ms", "ROPEWALK_ON_BUSY": "reject", "ROPEWALK_GRAPHS": "a.py:x, b.py",
            "ROPEWALK_CHAT_MODELS": "openai:gpt-5, anthropic:claude",
        }
    )  # fmt: skip
    assert settings == ChatSettings(
        bus="nats://bus:4222", sessions="redis://:p%40ss@cache:6380/2", host="0.0.0.0", port=8081, pod_id="pod-1",
        store="postgresql://chat:s%2Fe@db:5432/chats?sslmode=disable", most_buffers=5, most_chunks=6,
        buffer_seconds=300.0, missing_seconds=0.5, on_busy="reject", graphs=("a.py:x", "b.py"),
        models=("openai:gpt-5", "anthropic:claude"),
    )  # fmt: skip


def test_ours_goes_before_the_contracts_database() -> None:
    settings = read_chat_settings({"ROPEWALK_STORE": "postgresql://here", "DB_HOST": "there"})
    assert settings.store == "postgresql://here"


@pytest.mark.parametrize(
    ("name", "given"),
    [("SERVER_PORT", "many"), ("REDIS_PORT", "-1"), ("BUFFER_MAX_AGE", "soon"), ("ROPEWALK_ON_BUSY", "wait")],
)
def test_what_cannot_be_read_names_its_variable(name: str, given: str) -> None:
    with pytest.raises(ValueError, match=name):
        read_chat_settings({name: given})


def test_a_pods_name_can_stand_in_a_subject() -> None:
    assert pod_id_of("host.example.com/1 *>") == "host-example-com-1---"
