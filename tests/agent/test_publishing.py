"""Streams to Redis: real SDKs, a strict provider, a real server; when that is dead or frozen no token waits for it."""

import asyncio
import json
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest
import redis
from tests.agent.scenes import drawn, said
from tests.servers.valkey import RedisServer

from ropewalk import (
    Agent,
    AnthropicClient,
    OpenAIClient,
    ScriptedModel,
    StreamingConfig,
    ToolCall,
    ToolLoopOptions,
    ToolState,
    tool,
)
from ropewalk.testing.provider import LocalProvider, Say
from ropewalk.tool_host import open_publisher

KINDS = ["chat", "responses", "messages"]
TEXT = "Ropes are laid of strands."


@tool("Search")
async def search(query: str) -> str:
    return f"found {query}"


def client(kind: str, provider: LocalProvider) -> Any:
    if kind == "messages":
        return AnthropicClient("key", provider.root)
    return OpenAIClient("key", provider.base_url, api="chat" if kind == "chat" else "responses")


@pytest.fixture(name="server")
def _server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def to(server: RedisServer, channel: str = "news", **more: Any) -> StreamingConfig:
    """Return where a stream goes: the host is a whole URL, for the sake of the password."""
    return StreamingConfig(enabled=True, redis_host=server.url, redis_channel=channel, **more)


class Ear:
    """One who listens on channels."""

    def __init__(self, server: RedisServer, *channels: str) -> None:
        self.client = redis.Redis.from_url(server.url)
        self._pubsub = self.client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe(*channels)
        while not all(count for _, count in self.client.pubsub_numsub(*channels)):
            self._pubsub.get_message(timeout=0.01)

    def until(self, last: str, times: int = 1) -> list[tuple[str, dict[str, Any]]]:
        """Return channel and event of all that came, up to the nth event of a type."""
        heard: list[tuple[str, dict[str, Any]]] = []
        ends_at = time.monotonic() + 10
        while sum(event["type"] == last for _, event in heard) < times:
            assert time.monotonic() < ends_at, heard
            message = self._pubsub.get_message(timeout=0.05)
            if message is not None:
                heard.append((message["channel"].decode(), json.loads(message["data"])))
        return heard

    def close(self) -> None:
        self._pubsub.close()
        self.client.close()


def without_times(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert all(isinstance(event.pop("timestamp"), float) for event in events)
    return events


@pytest.mark.parametrize("kind", KINDS)
def test_the_six_types_arrive_in_the_seed_s_form(kind: str, server: RedisServer) -> None:
    ear = Ear(server, "news")

    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script([["I look.", ToolCall("search", {"query": "rope"}, "c1")], TEXT])
            graph = drawn(client(kind, provider), [search], streaming_config=to(server, event_types={"all"}))
            await graph.start(ToolState(messages=said()))

    asyncio.run(main())
    events = without_times([event for _, event in ear.until("message_stop", 2)])
    ear.close()
    first = events[: [event["type"] for event in events].index("message_stop") + 1]
    start = first[0]["message"]
    assert start["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert (start["role"], start["type"]) == ("assistant", "message")
    assert first[-1] == {"type": "message_stop", "message": {"id": start["id"], "role": "assistant"}}
    texts = [event for event in first if event["type"] == "text"]
    assert [set(event) for event in texts] == [{"type", "text", "snapshot"}] * 2
    assert texts[0]["snapshot"] == texts[0]["text"]
    assert "".join(event["text"] for event in texts) == texts[-1]["snapshot"] == "I look."
    inputs = [event for event in first if event["type"] == "input_json"]
    assert "".join(event["partial_json"] for event in inputs) == '{"query": "rope"}'
    assert inputs[-1]["snapshot"] == {"query": "rope"}
    call = {"id": first[-2]["tool_use"]["id"], "name": "search", "input": {"query": "rope"}}
    assert [event for event in first if event["type"] in ("content_block_stop", "tool_use")] == [
        {"type": "content_block_stop", "content_block": {"type": "text", "text": "I look."}},
        {"type": "content_block_stop", "content_block": {"type": "tool_use", **call}},
        {"type": "tool_use", "tool_use": call},
    ]
    rest = events[len(first) :]
    assert rest[0]["message"]["id"] != start["id"]
    assert "".join(event["text"] for event in rest if event["type"] == "text") == TEXT


def test_mapped_names_and_wanted_types_alone_are_published(server: RedisServer) -> None:
    ear = Ear(server, "news")
    config = to(server, event_types={"text", "message_stop"}, event_type_mapping={"text": "token"})
    asyncio.run(drawn(["one two"], streaming_config=config).execute(ToolState(messages=said())))
    assert [event["type"] for _, event in ear.until("message_stop")] == ["token", "token", "message_stop"]
    ear.close()


def test_agents_that_are_asked_publish_where_they_are_told_to(server: RedisServer) -> None:
    ear = Ear(server, "news", "inner")
    inner = ToolLoopOptions(streaming_config=to(server, "inner", event_types={"all"}))
    helper = Agent(name="helper", model=ScriptedModel(["inner words"]), options=inner)
    script = [ToolCall("helper", {"task": "help"}), "outer words"]
    graph = drawn(script, [helper.as_tool()], streaming_config=to(server, event_types={"all"}))
    asyncio.run(graph.execute(ToolState(messages=said())))
    heard = ear.until("message_stop", 3)
    texts = [(channel, event["text"]) for channel, event in heard if event["type"] == "text"]
    assert texts == [("inner", "inner"), ("inner", " words"), ("news", "outer"), ("news", " words")]
    ear.close()


def test_many_runs_at_once_share_one_connection_and_keep_their_own_order(server: RedisServer) -> None:
    names = [f"run {number}" for number in range(20)]
    ear = Ear(server, *names)
    ever = ear.client.info("stats")["total_connections_received"]

    async def main() -> None:
        runs = [
            drawn([TEXT], streaming_config=to(server, name, event_types={"all"})).start(ToolState(messages=said()))
            for name in names
        ]
        for run in runs:
            await run

    asyncio.run(main())
    heard = ear.until("message_stop", len(names))
    for name in names:
        own = [event for channel, event in heard if channel == name]
        assert [event["type"] for event in own[:1] + own[-1:]] == ["message_start", "message_stop"]
        assert [event["snapshot"] for event in own if event["type"] == "text"][-1] == TEXT
        lengths = [len(event["snapshot"]) for event in own if event["type"] == "text"]
        assert lengths == sorted(lengths)
    assert ear.client.info("stats")["total_connections_received"] == ever + 1
    ear.close()


async def first_token_seconds(graph: Any) -> float:
    began = time.perf_counter()
    run = graph.start(ToolState(messages=said()))
    async for event in run.events():
        if event.type == "text":
            seconds = time.perf_counter() - began
            await run
            return seconds
    raise AssertionError("no text")


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("works", "chat"),
        ("works", "messages"),
        ("is dead", "chat"),
        ("is frozen", "messages"),
        ("freezes meanwhile", "chat"),
        ("freezes meanwhile", "messages"),
    ],
)
def test_no_token_waits_for_redis(how: str, kind: str, server: RedisServer, capfd: pytest.CaptureFixture[str]) -> None:
    say = Say(text=" ".join(["word"] * 10), delay_seconds=0.001)  # a token at a time, as models write

    async def main() -> None:
        async with LocalProvider(scenario=lambda _: say) as provider:
            model = client(kind, provider)
            plain = drawn(model, stream=True)
            publishing = drawn(model, streaming_config=to(server, event_types={"all"}))
            await first_token_seconds(plain)  # connected, everything loaded
            if how == "freezes meanwhile":
                await first_token_seconds(publishing)
            if how == "is dead":
                server.kill()
            elif how != "works":
                server.freeze()
            pairs = [(await first_token_seconds(plain), await first_token_seconds(publishing)) for _ in range(30)]
            more = median(with_redis - without for without, with_redis in pairs)
            usual = median(without for without, _ in pairs)  # a busy machine is slow at everything
            assert more < max(0.01, usual), f"{more * 1000:.2f} ms later than {usual * 1000:.2f} ms"
            assert max(with_redis for _, with_redis in pairs) < 1
            ends_at = time.monotonic() + 20
            while how != "works" and publishing.dropped_events < 30 * 10:
                assert time.monotonic() < ends_at, publishing.dropped_events
                await asyncio.sleep(0.05)
            assert (publishing.dropped_events == 0) is (how == "works")
            assert plain.dropped_events == 0
            await model.close()

    asyncio.run(main())
    assert capfd.readouterr() == ("", "")
    open_publisher(server.url).close()  # pyright: ignore[reportAttributeAccessIssue]
