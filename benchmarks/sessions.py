"""The clients of the cases about the chat: each follows a session, comes back with its cursor when it was cut, and
knows which tokens it has and how late each came.

A token is a text ``{number} {when} some words of a token ``. What asks for tokens is ``{start} {phase} {pause}
{tokens}``; the file ``start`` says when everybody begins, who asks writes it when all have been asked.
"""

import asyncio
import json
import re
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

_TOKEN = re.compile(rb"(\d+) (\d+\.\d{6}) some")
_ID = re.compile(rb"id: (\S+)\n")
_MOMENT_SECONDS = 0.7
_LOOKS_SECONDS = 0.2


class Start:
    """The moment at which all begin, told through a file."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="bench-chat-")) / "start"

    def begin(self) -> float:
        """Say that all begin in a moment; return when."""
        at = time.perf_counter() + _MOMENT_SECONDS
        written = self.path.with_suffix(".new")
        written.write_text(f"{at:.6f}", encoding="ascii")
        written.rename(self.path)
        return at


async def begin_of(path: str) -> float:
    """Return when everybody begins, as soon as it is said."""
    while not Path(path).exists():
        await asyncio.sleep(_LOOKS_SECONDS)
    return float(Path(path).read_text(encoding="ascii"))


def token(number: int) -> str:
    """Return a token that says when it was said."""
    return f"{number} {time.perf_counter():.6f} some words of a token "


class Session:
    """A client's side of one session."""

    def __init__(self, host: str, port: int) -> None:
        self.session_id = f"s-{secrets.token_hex(8)}"
        self.numbers: list[int] = []
        """Of the tokens that its text is made of."""
        self.delays: list[float] = []
        self.came_at = 0.0
        """When the newest token came."""
        self.over_at = 0.0
        """When the message was complete."""
        self.cuts = 0
        self._address = (host, port)
        self._cursor = b""
        self._opened = asyncio.Event()
        self._over = asyncio.Event()
        self._connection: _Connection | None = None

    async def open(self) -> None:
        """Follow the session from the cursor on; return when the pod has said that it is connected."""
        host, port = self._address
        cursor = b"last-event-id: %b\r\n" % self._cursor if self._cursor else b""
        path = f"/api/sse?session_id={self.session_id}&user_id={self.session_id}"
        request = f"GET {path} HTTP/1.1\r\nhost: {host}\r\n".encode() + cursor + b"\r\n"
        self._opened.clear()
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_connection(lambda: _Connection(self, request), host, port)
        await self._opened.wait()

    async def cut(self, away_seconds: float) -> None:
        """Lose the connection in the middle of whatever comes, and come back after a while."""
        self.close()
        self.cuts += 1
        await asyncio.sleep(away_seconds)
        await self.open()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.leave()

    async def over(self) -> None:
        """Return when the message is complete."""
        await self._over.wait()
        self._over.clear()

    def take(self, events: bytes) -> None:
        """Take in whole events."""
        now = time.perf_counter()
        tokens = _TOKEN.findall(events)
        if b"event: reset" in events:  # the text so far is void
            _, _, tail = events.rpartition(b"event: reset")
            tokens = _TOKEN.findall(tail)
            self.numbers.clear()
        for number, at in tokens:
            self.numbers.append(int(number))
            self.delays.append(now - float(at))
        if tokens:
            self.came_at = now
        if ids := _ID.findall(events):
            self._cursor = ids[-1]
        if b"event: connected" in events:
            self._opened.set()
        if b"event: message_complete" in events:
            self.over_at = now
            self._over.set()


class _Connection(asyncio.Protocol):
    """One connection of a session."""

    def __init__(self, session: Session, request: bytes) -> None:
        self._session: Session | None = session
        self._request = request
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        events, end, self._rest = (self._rest + data).rpartition(b"\n\n")
        if end and self._session is not None:
            self._session.take(events + end)

    def leave(self) -> None:
        self._session = None
        self._transport.abort()


class Poster:
    """A connection over which messages are sent, one after another."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, session: Session, message: str) -> None:
        """Send a message; it was accepted on return."""
        host, port = self._address
        if self._streams is None:
            self._streams = await asyncio.open_connection(host, port)
        reader, writer = self._streams
        body = json.dumps(
            {"session_id": session.session_id, "user_id": session.session_id, "message": message}
        ).encode()
        head = f"POST /api/chat HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json"
        writer.write(f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        headers = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 202 " in headers.split(b"\r\n", 1)[0], headers
        length = next(line for line in headers.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def post_all(host: str, port: int, asked: list[tuple[Session, str]], *, at_once: int = 16) -> None:
    """Send messages over ``at_once`` connections."""
    left = iter(asked)

    async def send() -> None:
        poster = Poster(host, port)
        for session, message in left:
            await poster.post(session, message)
        poster.close()

    await asyncio.gather(*[send() for _ in range(min(at_once, len(asked)))])
