"""Answers of other people's workers at our pod: what they may write, and when they die in the middle."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from pydantic_core import to_json
from tests.chat import app
from tests.chat.inside import Inside, inside
from tests.chat.tab import Tab, history, post

from ropewalk.runtime import open_queued_store

LAST = {"is_final": True, "metadata": {"model": "m", "tokens_used": 2, "finish_reason": "stop"}}


class Talk:
    """A pod, a tab, a message that waits, and the stranger that answers it."""

    def __init__(self, service: Inside, client: httpx.AsyncClient, tab: Tab, message_id: str) -> None:
        self.service = service
        self.client = client
        self.tab = tab
        self.message_id = message_id

    def say(self, chunk_id: Any, text: Any, **more: Any) -> None:
        told = {"session_id": "s", "message_id": self.message_id, "chunk_id": chunk_id, "chunk": text}
        body = {**told, "chunk_type": "content", "is_final": False, "correlation_id": "c", **more}
        self.service.parts.bus.publish(["pod1"], to_json(body))

    async def metadata(self) -> dict[str, Any]:
        """Return what the last chunk told."""
        await self.tab.ended(self.message_id)
        return [told.data for told in self.tab.events if told.type == "chunk"][-1]["metadata"]


def run(conversation: Callable[[Talk], Awaitable[None]]) -> None:
    async def main() -> None:
        app.chat.use_store(open_queued_store("memory:"))
        async with inside([app.chat]) as service:
            client = await service.pod()
            tab = service.tab("s")
            await tab.until(lambda: tab.connected)
            async with asyncio.timeout(6):
                await conversation(Talk(service, client, tab, await post(client, "s", "hi")))

    asyncio.run(main())


@pytest.mark.parametrize("final", [True, False])
def test_what_a_stranger_says_of_its_failure_is_told(final: bool) -> None:
    async def conversation(talk: Talk) -> None:
        error = {"code": "model_down", "message": "The model is away"}
        talk.say(0, "a ")
        talk.say(1, "", chunk_type="error", is_final=final, error=error)
        answer = await talk.tab.ended(talk.message_id)
        assert (answer.status, answer.error) == ("error", error)
        stored = (await history(talk.client, "s"))[-1]
        assert (stored["status"], stored["content"]) == ("FAILED", answer.text)
        assert stored["error"] == {"code": "answer_failed", "message": "The model is away"}

    run(conversation)


@pytest.mark.parametrize("error", [None, "broken", {"code": 7, "message": None}])
def test_a_failure_without_words_gets_ours(error: Any) -> None:
    async def conversation(talk: Talk) -> None:
        talk.say(0, None, chunk_type="error", is_final=True, error=error)
        words = {"code": "answer_failed", "message": "The answer could not be completed."}
        assert (await talk.tab.ended(talk.message_id)).error == words

    run(conversation)


def test_a_chunk_that_is_no_text_is_none() -> None:
    async def conversation(talk: Talk) -> None:
        talk.say(0, 7)
        talk.say(1, ["b"])
        talk.say(2, "c", **LAST)
        answer = await talk.tab.ended(talk.message_id)
        assert (answer.text, answer.chunk_ids) == ("c", [0, 1, 2])

    run(conversation)


def test_chunks_that_are_no_content_keep_their_numbers_and_do_not_count_as_text() -> None:
    async def conversation(talk: Talk) -> None:
        talk.say(0, "a")
        talk.say(1, "thinking", chunk_type="system")
        talk.say(2, "", chunk_type="metadata", metadata={"model": "m"})
        talk.say(3, "b", **LAST)
        answer = await talk.tab.ended(talk.message_id)
        assert (answer.text, answer.chunk_ids) == ("ab", [0, 1, 2, 3])
        kinds = [(told.data["chunk_type"], told.data["chunk"]) for told in talk.tab.events if told.type == "chunk"]
        assert kinds == [("content", "a"), ("system", "thinking"), ("metadata", ""), ("content", "b")]
        assert (await history(talk.client, "s"))[-1]["content"] == "ab"

    run(conversation)


def test_an_answer_that_was_cut_for_its_length_says_so() -> None:
    async def conversation(talk: Talk) -> None:
        talk.say(0, "a", is_final=True, metadata={"model": "m", "tokens_used": 1, "finish_reason": "length"})
        assert await talk.metadata() == {"model": "m", "tokens_used": 1, "finish_reason": "length"}
        assert talk.tab.answers[talk.message_id].text == "a"

    run(conversation)


def test_a_message_that_is_over_is_no_buffer() -> None:
    async def conversation(talk: Talk) -> None:
        talk.say(0, "a")
        while (await talk.client.get("/health")).json()["active_buffers"] != 1:
            await asyncio.sleep(0.01)
        talk.say(1, "b", **LAST)
        await talk.tab.ended(talk.message_id)
        assert (await talk.client.get("/health")).json()["active_buffers"] == 0
        talk.say(0, "late")
        await asyncio.sleep(0.1)
        assert (await talk.client.get("/health")).json()["active_buffers"] == 0

    run(conversation)


def test_who_answers_after_a_stranger_has_died_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropewalk.chat.relay._HELD_SECONDS", 0.6)

    async def conversation(talk: Talk) -> None:
        talk.say(0, "one ")
        talk.say(1, "two ")
        await talk.tab.until(lambda: any(told.data.get("chunk") == "two " for told in talk.tab.events))
        await asyncio.sleep(1.5)  # the first is given up, and its hold is over
        for chunk_id, word in enumerate(["1 ", "2 ", "3 "]):
            talk.say(chunk_id, word)
        talk.say(3, "4", **LAST)
        answer = await talk.tab.ended(talk.message_id)
        assert (answer.text, answer.resets) == ("1 2 3 4", 1)
        assert (await history(talk.client, "s"))[-1]["content"] == "1 2 3 4"

    run(conversation)


def test_an_answer_of_which_the_beginning_was_passed_over_is_not_told_from_its_middle() -> None:
    async def conversation(talk: Talk) -> None:
        store: Any = app.chat.desk.store
        held = await store.queue().hold(talk.message_id, "a worker", ttl_seconds=0.5)
        talk.say(0, "one ")
        await asyncio.sleep(0.8)
        talk.say(1, "two ")
        talk.say(2, "three", **LAST)
        await asyncio.sleep(0.3)
        assert held is not None
        assert [one["role"] for one in await history(talk.client, "s")] == ["user"]
        for chunk_id, word in enumerate(["1 ", "2 "]):
            talk.say(chunk_id, word)
        talk.say(2, "3", **LAST)
        assert (await talk.tab.ended(talk.message_id)).text == "1 2 3"

    run(conversation)


def test_a_chunk_does_not_answer_a_message_of_another_session() -> None:
    async def conversation(talk: Talk) -> None:
        other = talk.service.tab("t", "bob")
        await other.until(lambda: other.connected)
        talk.say(0, "forged", session_id="t", **LAST)
        await asyncio.sleep(0.3)
        assert talk.message_id not in other.answers
        assert [one["role"] for one in await history(talk.client, "s")] == ["user"]

    run(conversation)
