"""A client of the chat, as a browser's tab is one: follows a session, comes back with its cursor, keeps the texts."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx


class Told(NamedTuple):
    """One event."""

    type: str
    id: str | None
    data: Any


@dataclass
class Answer:
    """A message as the tab has it."""

    text: str = ""
    status: str = "open"
    """open, complete, error, cancelled."""
    chunk_ids: list[int] = field(default_factory=list[int])
    resets: int = 0
    tokens: int | None = None
    error: dict[str, Any] | None = None


class Tab:
    """Follows one session at whichever pod it is sent to. What it must never see is in `faults`."""

    def __init__(self, session_id: str, user_id: str) -> None:
        self.session_id = session_id
        self.user_id = user_id
        self.answers: dict[str, Answer] = {}
        self.events: list[Told] = []
        self.faults: list[str] = []
        self.cursor: str | None = None
        self.connected = 0
        self._changed = asyncio.Event()

    async def follow(self, client: httpx.AsyncClient, *, cut_after: int | None = None) -> None:
        """Follow until the server ends the stream, or after so many events."""
        headers = {} if self.cursor is None else {"last-event-id": self.cursor}
        params = {"session_id": self.session_id, "user_id": self.user_id}
        heard = 0
        async with client.stream("GET", "/api/sse", params=params, headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            self.connected += 1
            async for told in events_of(answer):
                self.take(told)
                heard += 1
                if cut_after is not None and heard >= cut_after:
                    return

    async def keep_following(self, choose: Callable[[], str]) -> None:
        """Follow for ever, at the pod that ``choose`` names (a base URL), again whenever the stream ends."""
        while True:
            with contextlib.suppress(httpx.HTTPError, AssertionError, OSError):
                timeout = httpx.Timeout(5, read=None)
                async with httpx.AsyncClient(base_url=choose(), timeout=timeout) as client:
                    await self.follow(client)
            await asyncio.sleep(0.05)

    def take(self, told: Told) -> None:
        """Take an event in, as a client that is written from the contract does."""
        self.events.append(told)
        if told.id is not None:
            self.cursor = told.id
        data = told.data
        match told.type:
            case "chunk":
                self._chunk(data)
            case "reset":
                answer = self._answer(data["message_id"])
                answer.text, answer.resets = data["text"], answer.resets + 1
                answer.status = "open"
                answer.chunk_ids.clear()
            case "message_complete":
                answer = self._answer(data["message_id"])
                if answer.status != "open":
                    self.faults.append(f"{data['message_id']} is complete twice")
                answer.status, answer.tokens = "complete", data["token_count"]
            case "error":
                self._answer(data["message_id"]).status = "error"
                self._answer(data["message_id"]).error = data["error"]
            case "cancelled":
                self._answer(data["message_id"]).status = "cancelled"
            case _:
                pass
        self._changed.set()

    def _chunk(self, data: dict[str, Any]) -> None:
        answer = self._answer(data["message_id"])
        if answer.status != "open":
            self.faults.append(f"{data['message_id']}: a chunk after its end")
        if answer.chunk_ids and data["chunk_id"] <= answer.chunk_ids[-1]:
            self.faults.append(f"{data['message_id']}: chunk {data['chunk_id']} after {answer.chunk_ids[-1]}")
        answer.chunk_ids.append(data["chunk_id"])
        if data.get("chunk_type", "content") == "content":
            answer.text += data["chunk"]

    def _answer(self, message_id: str) -> Answer:
        return self.answers.setdefault(message_id, Answer())

    async def until(self, condition: Callable[[], Any], seconds: float = 15.0) -> None:
        """Return when ``condition`` holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await self._changed.wait()

    async def ended(self, message_id: str, seconds: float = 15.0) -> Answer:
        """Return a message when it has ended."""
        await self.until(lambda: self.answers.get(message_id, Answer()).status != "open", seconds)
        return self.answers[message_id]


async def events_of(answer: httpx.Response) -> AsyncIterator[Told]:
    """Yield the events of a stream; comments and retry lines are none."""
    kept = ""
    async for piece in answer.aiter_text():
        kept += piece
        *blocks, kept = kept.split("\n\n")
        for block in blocks:
            lines = [line.partition(": ") for line in block.split("\n")]
            found = {name: value for name, _, value in lines}
            if "data" in found:
                yield Told(found.get("event", "message"), found.get("id"), json.loads(found["data"]))


async def post(client: httpx.AsyncClient, session_id: str, message: str, user_id: str = "ann", **more: Any) -> str:
    """Send a message; return its id."""
    key = more.pop("key", None)
    headers = {} if key is None else {"idempotency-key": key}
    body = {"session_id": session_id, "user_id": user_id, "message": message, **more}
    answer = await client.post("/api/chat", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert (told["session_id"], told["status"]) == (session_id, "accepted")
    return told["message_id"]


async def history(client: httpx.AsyncClient, session_id: str, user_id: str = "ann") -> list[dict[str, Any]]:
    """Return a session's messages, oldest first."""
    items: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        params = {"user_id": user_id} | ({} if after is None else {"after": after})
        answer = await client.get(f"/api/sessions/{session_id}/messages", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items = page["items"] + items
        after = page["next"]
        if after is None:
            return items
