"""The live events of runs over NATS.

1. A driver publishes batches on ``ropewalk.run.{token}.live``; the token is the run's id, encoded: ids hold dots.
2. Who begins to follow subscribes, then asks on ``ropewalk.run.{token}.since`` for what comes after a cursor. Every
   driver hears the question; the one that keeps something of the run answers.
3. Who follows gets the answer first, then what came since. Nobody answers: then there is nothing to be given.
4. Who wants to know whether anybody follows a run names an inbox when it publishes: where nobody has subscribed, the
   server answers at once.
5. When the connection was lost, what was said meanwhile is asked for again, from the same cursor: events come twice.
"""

import asyncio
import base64
import binascii
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache

from ropewalk.contracts.live_events import Cursor, OnAsked
from ropewalk.ids import checked_run_id
from ropewalk.messaging.nats.client import QuickClient
from ropewalk.messaging.nats.connection import Listening, NatsConnection
from ropewalk.messaging.nats.frames import framed, unframed

log = logging.getLogger("ropewalk.messaging.nats")
_ANSWER_SECONDS = 0.3
"""How long an answer is waited for: a driver that is alive gives it within a few milliseconds."""
_MOST_WAITING = 10_000
"""How many batches may wait for one reader that does not read."""
_MOST_BYTES = 512 * 1024
_FLUSH_SECONDS = 2.0
_NOBODY = b"NATS/1.0 503"
"""How the server's answer for those who are not there begins."""


class NatsLiveEvents:
    """The live events that this process says and follows."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._listenings: list[Listening] = []
        self._giving: set[asyncio.Task[None]] = set()
        self._inbox = f"_INBOX.{secrets.token_hex(11)}"
        self._on_doubt: Callable[[], None] | None = None
        self.dropped = 0

    def say(self, run_id: str, bodies: list[bytes]) -> None:
        self._say(run_id, bodies, "")

    def say_first(self, run_id: str, bodies: list[bytes]) -> None:
        self._say(run_id, bodies, "" if self._on_doubt is None else f"{self._inbox}.{token_of(run_id)}")

    def _say(self, run_id: str, bodies: list[bytes], reply: str) -> None:
        if not bodies:
            return
        client, subject = self._connection.now(), f"ropewalk.run.{token_of(run_id)}.live"
        for message, count in framed(bodies, most_bytes=_MOST_BYTES):
            if client is None or not client.publish_now(subject, message, reply):
                self.dropped += count

    async def heed(self, *, on_nobody: Callable[[str], None], on_doubt: Callable[[], None]) -> None:
        def on_message(subject: bytes, _reply: bytes, _body: bytes, headers: bytes) -> None:
            run_id = _run_of(subject)
            if headers.startswith(_NOBODY) and run_id is not None:
                on_nobody(run_id)

        self._on_doubt = on_doubt
        self._connection.on_change.append(self._doubt)
        self._listenings.append(await self._connection.listen(f"{self._inbox}.*", on_message))

    def _doubt(self) -> None:
        if self._on_doubt is not None and self._connection.now() is not None:
            self._on_doubt()

    async def answer(self, on_asked: OnAsked) -> None:
        def on_message(subject: bytes, reply: bytes, body: bytes, _headers: bytes) -> None:
            run_id, after = _run_of(subject), _cursor_of(body)
            kept = on_asked(run_id, after) if run_id and after and reply else []
            if kept:
                task = asyncio.create_task(self._give(reply.decode(), kept))
                self._giving.add(task)
                task.add_done_callback(self._giving.discard)

        self._listenings.append(await self._connection.listen("ropewalk.run.*.since", on_message))

    async def _give(self, inbox: str, kept: list[bytes]) -> None:
        """Answer, as fast as the server takes it: it may be more than may pend."""
        for message, count in framed(kept, most_bytes=_MOST_BYTES):
            client = self._connection.now()
            if client is None or not client.publish_now(inbox, message):
                self.dropped += count
            await self._connection.flush(_FLUSH_SECONDS)

    @asynccontextmanager
    async def follow(self, run_id: str, after: Cursor) -> AsyncGenerator[AsyncIterator[list[bytes]]]:
        reader = _Reader(self._connection, run_id, after)
        listening = await self._connection.listen(f"ropewalk.run.{token_of(run_id)}.live", reader.hear)
        self._connection.on_change.append(reader.ask_again)
        try:
            yield reader.batches()
        finally:
            self._connection.on_change.remove(reader.ask_again)
            self.dropped += reader.dropped
            await self._connection.let_go(listening)

    async def close(self) -> None:
        for listening in self._listenings:
            await self._connection.let_go(listening)
        self._listenings.clear()
        if self._on_doubt is not None:
            self._connection.on_change.remove(self._doubt)
            self._on_doubt = None
        if self._giving:
            await asyncio.wait(self._giving)


class _Reader:
    """One who follows a run."""

    def __init__(self, connection: NatsConnection, run_id: str, after: Cursor) -> None:
        self._connection = connection
        self._question = (f"ropewalk.run.{token_of(run_id)}.since", b"%d %d" % after)
        self._heard: deque[list[bytes]] = deque()
        self._something = asyncio.Event()
        self._must_ask = True
        self.dropped = 0

    def hear(self, _subject: bytes, _reply: bytes, body: bytes, _headers: bytes) -> None:
        bodies, _ = unframed(body)
        if len(self._heard) >= _MOST_WAITING:
            self.dropped += len(bodies)
        else:
            self._heard.append(bodies)
            self._something.set()

    def ask_again(self) -> None:
        self._must_ask = True
        self._something.set()

    async def batches(self) -> AsyncIterator[list[bytes]]:
        while True:
            if self._must_ask and (client := self._connection.now()):
                self._must_ask = False
                async for bodies in self._asked(client):
                    yield bodies
            while self._heard:
                yield self._heard.popleft()
            self._something.clear()
            if not (self._must_ask and self._connection.now()):
                await self._something.wait()

    async def _asked(self, client: QuickClient) -> AsyncIterator[list[bytes]]:
        """Yield what a driver keeps: the messages of one answer, or nothing when none came in time."""
        answers: asyncio.Queue[tuple[list[bytes], bool]] = asyncio.Queue()

        def on_message(_subject: bytes, _reply: bytes, body: bytes, headers: bytes) -> None:
            answers.put_nowait(([], True) if headers else unframed(body))  # headers: the server, nobody is there

        subject, body = self._question
        inbox = client.new_inbox()
        number = await client.hear(inbox, on_message)
        try:
            if not client.publish_now(subject, body, inbox):
                return
            is_last = False
            while not is_last:
                bodies, is_last = await asyncio.wait_for(answers.get(), _ANSWER_SECONDS)
                if bodies:
                    yield bodies
        except TimeoutError:
            return
        finally:
            with contextlib.suppress(ConnectionError):
                await client.unhear(number)


@lru_cache(maxsize=4096)
def token_of(run_id: str) -> str:
    """Encode a run's id as one token of a subject."""
    return base64.urlsafe_b64encode(checked_run_id(run_id).encode()).rstrip(b"=").decode()


def _run_of(subject: bytes) -> str | None:
    token = subject.split(b".")[2]
    try:
        return base64.b64decode(token + b"=" * (-len(token) % 4), b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None  # not a question of ours


def _cursor_of(body: bytes) -> Cursor | None:
    entry, _, n = body.partition(b" ")
    return (int(entry), int(n)) if entry.isdigit() and n.isdigit() else None
