"""Callbacks and streams: the payloads of seed 000, sync or async; what goes wrong in one is logged and harms nobody."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests.agent.scenes import drawn, said, started

from ropewalk import (
    RunStatus,
    ScriptedModel,
    ScriptedReply,
    StreamingConfig,
    StreamingEventType,
    ToolCall,
    ToolContext,
    ToolState,
    tool,
)
from ropewalk.agent.hosting import Host
from ropewalk.agent.node import ToolNode
from ropewalk.contracts.model import ModelRequest, Reply, Restarted, TextPart
from ropewalk.errors import PartUnknown


@tool("Search the web")
async def search(query: str) -> dict[str, str]:
    if query == "bad":
        raise ValueError("no")
    return {"found": query}


SCRIPT: list[Any] = [["Let me see. ", ToolCall("search", {"query": "rope"}, "c1")], "All is well."]


def kept_by(told: list[Any], *, is_async: bool) -> Callable[[dict[str, Any]], Any]:
    async def later(data: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        told.append(data)

    return later if is_async else told.append


@pytest.mark.parametrize("is_async", [False, True])
def test_callbacks_get_what_the_seed_says(is_async: bool) -> None:
    messages: list[dict[str, Any]] = []
    uses: list[dict[str, Any]] = []

    async def main() -> None:
        graph = drawn(
            SCRIPT,
            [search],
            on_message=kept_by(messages, is_async=is_async),
            on_tool_use=kept_by(uses, is_async=is_async),
        )
        await started(graph)

    asyncio.run(main())
    assert [message["message_type"] for message in messages] == ["assistant", "tool", "assistant"]
    first, second, last = messages
    assert (first["content"], first["is_final"], first["has_tool_calls"]) == ("Let me see. ", False, True)
    assert first["tool_calls"] == [{"id": "c1", "name": "search", "arguments": {"query": "rope"}}]
    assert (second["tool_name"], second["content"], second["has_tool_calls"]) == ("search", '{"found": "rope"}', False)
    assert (last["content"], last["is_final"], last["has_tool_calls"]) == ("All is well.", True, False)
    assert all(len(message["tool_calls"]) in (0, 1) and message["timestamp"] > 0 for message in messages)
    (use,) = uses
    assert (use["name"], use["arguments"], use["result"]) == ("search", {"query": "rope"}, {"found": "rope"})
    assert (use["id"], use["success"], use["error"]) == ("c1", True, None)


def test_failures_are_told_to_on_tool_use() -> None:
    uses: list[dict[str, Any]] = []
    asyncio.run(started(drawn([ToolCall("search", {"query": "bad"}), "ok"], [search], on_tool_use=uses.append)))
    assert uses[0]["success"] is False
    assert "ValueError: no" in uses[0]["error"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_callback_that_fails_is_logged_and_the_run_goes_on(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: Any) -> None:
        raise KeyError("has_tool_calls")

    async def fails_later(_: Any) -> None:
        raise KeyError("has_tool_calls")

    callback: Any = fails_later if is_async else fails
    with caplog.at_level(logging.ERROR, "ropewalk"):
        run = asyncio.run(started(drawn(SCRIPT, [search], on_message=callback, on_tool_use=callback)))
    assert run.state.final_output == "All is well."
    assert len([record for record in caplog.records if "the run goes on" in record.message]) == 4


def test_a_callback_whose_own_task_was_cancelled_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    async def waits_for_what_is_gone(_: Any) -> None:
        gone = asyncio.ensure_future(asyncio.sleep(60))
        gone.cancel()
        await gone

    async def main() -> Any:
        graph = drawn(
            SCRIPT,
            [search],
            on_message=waits_for_what_is_gone,
            on_tool_use=waits_for_what_is_gone,
            stream=True,
            stream_callback=waits_for_what_is_gone,
        )
        return await started(graph)

    with caplog.at_level(logging.ERROR, "ropewalk"):
        run = asyncio.run(main())
    assert run.state.final_output == "All is well."
    assert len([record for record in caplog.records if "the run goes on" in record.message]) > 4


def test_cancelling_a_run_in_a_callback_cancels_the_run() -> None:
    entered: list[bool] = []

    async def waits(_: Any) -> None:
        entered.append(True)
        await asyncio.sleep(60)

    async def main() -> Any:
        run = drawn(SCRIPT, [search], on_message=waits).start(ToolState(messages=said()))
        while not entered:
            await asyncio.sleep(0.01)
        await run.cancel()
        return await asyncio.wait_for(run.wait(), 10)

    assert asyncio.run(main()) is RunStatus.CANCELLED
    assert entered == [True]


def test_what_was_told_is_not_told_again_when_the_run_goes_on() -> None:
    messages: list[dict[str, Any]] = []

    async def main() -> None:
        run = await started(drawn([*SCRIPT[:1], RuntimeError("gone"), "end"], [search], on_message=messages.append))
        await run.resume()
        assert run.state.final_output == "end"

    asyncio.run(main())
    assert [message["message_type"] for message in messages] == ["assistant", "tool", "assistant"]


async def followed(graph: Any) -> list[tuple[str, Any]]:
    run = graph.start(ToolState(messages=said()))
    return [(event.type, event.data) async for event in run.events()]


def test_tokens_arguments_and_progress_are_live_events() -> None:
    @tool("Long")
    async def long(what: str, ctx: ToolContext) -> str:
        ctx.emit({"share": 0.5})
        return what

    async def main() -> None:
        reply = ScriptedReply(text="I look.", thinking="hm hm", tool_calls=[ToolCall("long", {"what": "x" * 30}, "c")])
        events = await followed(drawn([reply, "the end"], [long], stream=True))
        types = [type_ for type_, _ in events]
        assert "".join(data["text"] for type_, data in events if type_ == "thinking") == "hm hm"
        assert "".join(data["text"] for type_, data in events if type_ == "text") == "I look.the end"
        pieces = [data for type_, data in events if type_ == "tool_arguments"]
        assert json.loads("".join(piece["arguments"] for piece in pieces)) == {"what": "x" * 30}
        assert len(pieces) > 2
        assert {(piece["index"], piece["call_id"], piece["tool"]) for piece in pieces} == {(0, "c", "long")}
        progress = [data for type_, data in events if type_ == "tool_progress"]
        assert progress == [{"call_id": "c", "tool": "long", "data": {"share": 0.5}}]
        assert types.index("tool_call") < types.index("tool_progress") < types.index("tool_result")
        assert types.index("text") < types.index("model_replied")
        finished = next(data for type_, data in events if type_ == "step_finished")
        assert "text" not in finished  # each text is in the entry of its reply

    asyncio.run(main())


def test_a_reply_that_is_not_streamed_is_told_at_once() -> None:
    async def main() -> None:
        events = await followed(drawn(SCRIPT, [search]))
        assert [data["text"] for type_, data in events if type_ == "text"] == ["Let me see. ", "All is well."]

    asyncio.run(main())


class Restarting:
    """A model whose stream begins anew in the middle, as one does that falls back."""

    provider = name = "restarting"

    async def stream(self, request: ModelRequest) -> Any:
        yield TextPart("half a ")
        yield Restarted("the connection was lost")
        async for part in ScriptedModel(["whole words"]).stream(request):
            yield part

    async def answer(self, request: ModelRequest) -> Reply:
        raise NotImplementedError

    async def close(self) -> None: ...


def test_a_stream_that_begins_anew_is_closed_by_a_reset() -> None:
    async def main() -> None:
        graph = drawn(Restarting(), stream=True)
        run = graph.start(ToolState(messages=said()))
        shown, resets = "", 0
        async for event in run.events():
            if event.type == "text":
                shown += event.data["text"]
            elif event.type == "reset":
                shown, resets = event.data["text"], resets + 1
        assert (shown, resets) == ("whole words", 1)
        assert run.state.final_output == "whole words"

    asyncio.run(main())


def test_a_reader_who_comes_back_in_the_middle_misses_no_token() -> None:
    async def main() -> None:
        graph = drawn([ScriptedReply(text="one two three four five six", delay_seconds=0.005)], stream=True)
        run = graph.start(ToolState(messages=said()))
        seen: list[str] = []
        cursor: str | None = None
        while run.status != "DONE":
            async for event in run.events(after=cursor):
                cursor = event.id
                if event.type == "text":
                    seen.append(event.data["text"])
                    break
        assert "".join(seen) == "one two three four five six"

    asyncio.run(main())


ALL = StreamingConfig(enabled=True, event_types={StreamingEventType.ALL}, callback=lambda _: None)


@pytest.mark.parametrize("stream", [True, False])
def test_a_stream_has_the_seed_s_events(stream: bool) -> None:
    told: list[dict[str, Any]] = []

    async def main() -> None:
        from ropewalk.agent.streaming import StreamFold

        model = ScriptedModel(SCRIPT)
        if stream:
            config = StreamingConfig(enabled=True, event_types={"all"}, callback=told.append)
            await started(drawn(model, [search], streaming_config=config))
        else:  # one that was not streamed makes up for it
            fold = StreamFold("m", "model", ALL.event_types)
            told.extend(fold.take(await model.answer(ModelRequest(messages=tuple(said())))))

    asyncio.run(main())
    types = [event["type"] for event in told]
    assert types[0] == "message_start"
    assert told[0]["message"]["role"] == "assistant"
    end = types.index("message_stop")
    assert types[end - 2 : end + 1] == ["content_block_stop", "tool_use", "message_stop"]
    texts = [event for event in told[:end] if event["type"] == "text"]
    assert texts[-1]["snapshot"] == "Let me see. "
    assert "".join(event["text"] for event in texts) == "Let me see. "
    blocks = [event["content_block"] for event in told[:end] if event["type"] == "content_block_stop"]
    assert blocks[0] == {"type": "text", "text": "Let me see. "}
    assert blocks[1]["type"] == "tool_use"
    inputs = [event for event in told if event["type"] == "input_json"]
    assert inputs[-1]["snapshot"] == {"query": "rope"}
    assert "".join(event["partial_json"] for event in inputs) == '{"query": "rope"}'
    uses = [event["tool_use"] for event in told if event["type"] == "tool_use"]
    assert uses == [{"id": "c1", "name": "search", "input": {"query": "rope"}}]
    if stream:
        assert types.count("message_stop") == 2
        assert all(event["timestamp"] > 0 for event in told)
        json.dumps(told)


def test_only_the_wanted_events_come_under_their_own_names() -> None:
    told: list[dict[str, Any]] = []

    async def later(event: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        told.append(event)

    config = StreamingConfig(enabled=True, callback=later, event_type_mapping={"text": "token"})
    asyncio.run(started(drawn(["a b"], streaming_config=config)))
    assert [event["type"] for event in told] == ["token", "token"]
    told.clear()
    asyncio.run(started(drawn(["a b"], stream_callback=later, stream_events={StreamingEventType.MESSAGE_STOP})))
    assert [event["type"] for event in told] == ["message_stop"]


def test_a_stream_callback_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: Any) -> None:
        raise OSError("gone")

    run = asyncio.run(started(drawn(["a b"], stream_callback=fails)))
    assert run.state.final_output == "a b"
    assert "the run goes on" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [{}, {"redis_host": "localhost"}, {"redis_channel": "c"}],
)
def test_a_stream_that_goes_nowhere_is_refused(wrong: dict[str, Any]) -> None:
    assert StreamingConfig(**wrong).enabled is False
    with pytest.raises(ValueError, match="redis_host and redis_channel, or a callback"):
        StreamingConfig(enabled=True, **wrong)


def test_what_is_published_goes_through_the_publisher_of_the_host() -> None:
    class Kept:
        dropped = 0

        def __init__(self) -> None:
            self.bodies: list[tuple[str, bytes]] = []

        def publish(self, channel: str, body: bytes) -> None:
            self.bodies.append((channel, body))

    kept = Kept()
    config = StreamingConfig(enabled=True, redis_host="somewhere", redis_channel="news")

    async def main() -> None:
        from ropewalk import Agent, Graph, ToolLoopOptions

        agent = Agent(name="a", model=ScriptedModel(["one two"]), options=ToolLoopOptions(streaming_config=config))
        graph: Graph[ToolState] = Graph(ToolState)
        graph.add_node(ToolNode(agent, Host(open_publisher=lambda _: kept)), name="a")
        await graph.start(ToolState(messages=said()))

    asyncio.run(main())
    assert [channel for channel, _ in kept.bodies] == ["news", "news"]
    event = json.loads(kept.bodies[1][1])
    assert (event["type"], event["text"], event["snapshot"]) == ("text", " two", "one two")


def test_a_channel_without_a_publisher_is_an_error_while_the_graph_is_drawn() -> None:
    config = StreamingConfig(enabled=True, redis_host="pigeon://me:secret@somewhere", redis_channel="news")
    with pytest.raises(PartUnknown, match="pigeon") as caught:
        drawn(["a"], streaming_config=config)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(config)
