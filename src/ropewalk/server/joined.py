"""A transport on which the head of an HTTP answer and the first of its body are one write, so one packet and one call
of the system, though the server gives them one after the other.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

_HEAD = b"HTTP/1.1 "


class JoiningTransport:
    """Stands before a transport; what is neither a write nor the end is that one's own affair."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head: bytes | None = None
        """What waits for its body, to the end of this turn of the loop at most."""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Write ``data``; a head that waits goes before it."""
        head = self._head
        if head is not None:
            self._head = None
            self._transport.write(head + data)
        elif data[: len(_HEAD)] == _HEAD:
            self._head = data
            self._loop.call_soon(self._let_go)
        else:
            self._transport.write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Write all ``pieces``, as `write` does."""
        self.write(b"".join(pieces))

    def _let_go(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._transport.write(head)

    def close(self) -> None:
        """Write what waits, and close."""
        self._let_go()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
