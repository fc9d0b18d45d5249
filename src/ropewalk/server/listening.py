"""The socket under `ropewalk serve`: uvicorn, with what it leaves open closed.

1. Headers must be whole within some seconds, and a body within a minute: slow ones hold no connection (slow loris).
2. Headers have a size before they are parsed, not only after.
3. A stop lets streams say goodbye first: uvicorn alone would wait for them for ever.
4. The kernel gives up a connection whose other side takes nothing for a minute.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ropewalk.server.gateway import MAX_HEADER_BYTES
from ropewalk.server.joined import JoiningTransport

log = logging.getLogger("ropewalk")

HEADER_SECONDS = 10.0
BODY_SECONDS = 60.0
_DEAD_MILLISECONDS = 60_000
_BACKLOG = 2_048
_LOOKS_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: 0\r\n\r\n"
)
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def open_socket(host: str, port: int, *, dead_seconds: float | None = None) -> socket.socket:
    """Bind a listening socket; port 0 is any free one. ``dead_seconds``: another time than a minute after which a side
    that takes nothing is given up. Raises OSError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio asks for it to send at once
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    dead_after = getattr(socket, "TCP_USER_TIMEOUT", None)
    if dead_after is not None:
        milliseconds = _DEAD_MILLISECONDS if dead_seconds is None else max(1, int(dead_seconds * 1000))
        listening.setsockopt(socket.IPPROTO_TCP, dead_after, milliseconds)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


class Listener(uvicorn.Server):
    """Serves one app until it is told to stop."""

    def __init__(
        self,
        app: Any,
        *,
        before_end: Callable[[], Awaitable[None]],
        grace_seconds: float = 30.0,
        read_seconds: float | None = None,
    ) -> None:
        """``read_seconds`` is what a whole request has; None: its headers and its body have theirs."""
        config = uvicorn.Config(
            app,
            http=protocol(read_seconds),
            ws="websockets-sansio",
            ws_max_size=1024 * 1024,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(grace_seconds),
            lifespan="on",
        )
        super().__init__(config)
        self._before_end = before_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let streams end, then do what uvicorn does."""
        for server in self.servers:
            server.close()
        ending = asyncio.ensure_future(self._before_end())
        while not ending.done() and not self.force_exit:
            await asyncio.wait({ending}, timeout=_LOOKS_SECONDS)
        ending.cancel()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at the first signal, do not wait after a second; the process ends as its program wants, not by the
        signal, as it would with uvicorn's own.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._heard)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _heard(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def protocol(read_seconds: float | None = None) -> type[asyncio.Protocol]:
    """Return the HTTP protocol: on the C parser where it is installed."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415  an optional driver
    except ImportError:
        base: Any = H11Protocol
    else:
        base = HttpToolsProtocol
    return cast("type[asyncio.Protocol]", type("Guarded", (_Guards, base), {"guard_seconds": read_seconds}))


class _Guards:
    """A clock for headers and bodies, and a size for headers: what stands before uvicorn's protocol."""

    cycle: Any
    transport: Any
    guard_due: float | None = None
    """When what is awaited is late; None while nothing is."""
    guard_timer: asyncio.TimerHandle | None = None
    """It rings no later than that; to set one anew for each request would cost as much as reading it."""
    guard_size = 0
    guard_seconds: float | None = None
    """For a whole request; None: for its headers and its body apart."""
    guard_in_body = False

    def connection_made(self, transport: Any) -> None:
        self._base.connection_made(JoiningTransport(transport))
        self._expect(self.guard_seconds or HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard_due = None
        if self.guard_timer is not None:
            self.guard_timer.cancel()
            self.guard_timer = None
        self._base.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._reads_headers():
            self.guard_in_body = False
            self.guard_size += len(data)
            if self.guard_due is None:
                self._expect(self.guard_seconds or HEADER_SECONDS)
        self._base.data_received(data)
        if self._reads_headers():
            if self.guard_size > MAX_HEADER_BYTES:
                self._give_up(_TOO_LARGE)
            return
        self.guard_size = 0
        was_in_body, self.guard_in_body = self.guard_in_body, self.cycle is not None and self.cycle.more_body
        if not self.guard_in_body:
            self.guard_due = None
        elif not was_in_body and self.guard_seconds is None:  # once: a byte now and then prolongs nothing
            self._expect(BODY_SECONDS)

    @property
    def _base(self) -> Any:
        return super()

    def _reads_headers(self) -> bool:
        """Tell whether the next request's headers are not whole yet."""
        return self.cycle is None or self.cycle.response_complete

    def _expect(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.guard_due = due = loop.time() + seconds
        timer = self.guard_timer
        if timer is None or timer.when() > due:
            if timer is not None:
                timer.cancel()
            self.guard_timer = loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self.guard_timer, due = None, self.guard_due
        if due is None:
            return
        loop = asyncio.get_running_loop()
        if due <= loop.time():
            self._give_up(_TOO_SLOW)
        else:
            self.guard_timer = loop.call_at(due, self._ring)

    def _give_up(self, goodbye: bytes) -> None:
        self.guard_due = None
        transport = self.transport
        if transport is not None and not transport.is_closing():
            if self._reads_headers():
                transport.write(goodbye)
            transport.close()
