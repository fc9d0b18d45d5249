"""One question to a pull consumer, and what is answered to it.

Each question has an inbox of its own, and ends with it: a server gives nothing to an inbox that nobody hears. What was
on its way when the question ended is given back at once, so that it does not wait for the time of a delivery.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from ropewalk.messaging.nats.client import QuickClient

_NANO = 1_000_000_000
_SILENCE = 2.5
"""For how many heartbeats a server may say nothing before the question is asked again."""
NOTHING = frozenset({b"404", b"408"})
"""Said when there is nothing now, or no longer within the time."""
_HEARTBEAT = b"100"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """A message as it came."""

    subject: str
    reply: str
    body: bytes


class Pull:
    """One question, in a `with` block of its own."""

    def __init__(self, client: QuickClient, next_subject: str, *, heartbeat_seconds: float = 1.0) -> None:
        self._client = client
        self._next_subject = next_subject
        self._heartbeat_seconds = heartbeat_seconds
        self._number = 0
        self._most = 0
        self._heard: asyncio.Future[None] | None = None
        self.pulled: list[Pulled] = []
        self.status: bytes | None = None
        """With what the server ended the question: `NOTHING`, or something that is wrong."""

    async def available(self, most: int, *, seconds: float) -> None:
        """Take what is there now."""
        await self._ask(most, {"batch": most, "no_wait": True})
        await self._listen(asyncio.get_running_loop().time() + seconds)

    async def next(self, *, seconds: float) -> None:
        """Wait for one. Ends sooner, without a word, when the server says nothing any more."""
        question: dict[str, Any] = {"batch": 1, "expires": max(1_000_000, round(seconds * _NANO))}
        beats = seconds > self._heartbeat_seconds * _SILENCE
        if beats:
            question["idle_heartbeat"] = round(self._heartbeat_seconds * _NANO)
        await self._ask(1, question)
        await self._listen(asyncio.get_running_loop().time() + seconds + 0.1, beats=beats)

    def stop(self) -> None:
        """Wait no longer: the connection was lost or is another one."""
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)
        self.status = self.status or b"connection"

    async def end(self) -> None:
        """Hear no more of it; give back what comes all the same."""
        if self._number:
            await self._client.unhear(self._number, self._give_back)

    def give_all_back(self) -> None:
        """Nobody waits for it any more."""
        for pulled in self.pulled:
            self._client.publish_now(pulled.reply, b"-NAK")

    async def _ask(self, most: int, question: dict[str, Any]) -> None:
        inbox = self._client.new_inbox()
        self._most = most
        self._number = await self._client.hear(inbox, self._hear)
        if not self._client.publish_now(self._next_subject, json.dumps(question).encode(), inbox):
            self.status = b"connection"

    async def _listen(self, until: float, *, beats: bool = False) -> None:
        """Return when all that was asked for is there, when the server ended the question, or at ``until``."""
        loop = asyncio.get_running_loop()
        while self.status is None and len(self.pulled) < self._most:
            left = until - loop.time()
            if left <= 0:
                return
            self._heard = loop.create_future()
            done, _ = await asyncio.wait(
                [self._heard], timeout=min(left, self._heartbeat_seconds * _SILENCE) if beats else left
            )
            if not done and beats and until - loop.time() > 0:
                self.status = b"silence"

    def _hear(self, subject: bytes, reply: bytes, body: bytes, headers: bytes) -> None:
        if reply.startswith(b"$JS.ACK."):
            self.pulled.append(Pulled(subject=subject.decode(), reply=reply.decode(), body=body))
        else:
            status = (headers or b"").partition(b" ")[2][:3]
            if status != _HEARTBEAT:
                self.status = status
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)

    def _give_back(self, _subject: bytes, reply: bytes, _body: bytes, _headers: bytes) -> None:
        if reply.startswith(b"$JS.ACK."):
            self._client.publish_now(reply.decode(), b"-NAK")
