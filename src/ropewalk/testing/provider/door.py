"""One connection of the local provider: requests in, speeches out, kept alive in between."""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ropewalk.testing.provider.telling import Speech

HARD_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: the peer gets RST, not FIN


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """One HTTP request."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Door(asyncio.Protocol):
    """Reads requests off one connection and writes what ``answer`` says; one at a time, in order."""

    def __init__(self, answer: Callable[[Received], Speech], doors: "set[Door]") -> None:
        self._answer = answer
        self._doors = doors
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._speaking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._doors.discard(self)
        self._transport = None
        if self._speaking is not None:
            self._speaking.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def abort(self) -> None:
        """Hang up, whatever is being said."""
        if self._transport is not None:
            self._transport.abort()

    def _go_on(self) -> None:
        while self._speaking is None and self._transport is not None:
            received, self._buffer = parsed(self._buffer)
            if received is None:
                return
            speech = self._answer(received)
            if speech.end == "whole" and not speech.apart and not speech.delay_seconds:
                self._transport.write(b"".join(speech.writes))
            else:
                self._speaking = asyncio.get_running_loop().create_task(self._speak(speech))
                self._speaking.add_done_callback(self._spoken)

    def _spoken(self, task: asyncio.Task[None]) -> None:
        self._speaking = None
        if not task.cancelled():
            task.result()
            self._go_on()

    async def _speak(self, speech: Speech) -> None:
        try:
            for write in speech.writes:
                await asyncio.sleep(speech.delay_seconds)
                assert self._transport is not None
                self._transport.write(write)
            if speech.end == "stall":
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            speech.gone()
            raise
        if speech.end == "reset":
            self._reset()
        elif speech.end == "close" and self._transport is not None:
            self._transport.close()

    def _reset(self) -> None:
        if self._transport is not None:
            raw: socket.socket = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD_CLOSE)
            self._transport.abort()


def parsed(buffer: bytes) -> tuple[Received | None, bytes]:
    """Return the first whole request of a buffer, None if there is none yet, and what is left."""
    head, separator, rest = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None, buffer
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    if len(rest) < length:
        return None, buffer
    method, path, _ = first.split(" ", 2)
    return Received(method=method, path=path, headers=headers, body=rest[:length]), rest[length:]
