"""Measures how many requests a second a server takes that start something, over connections that stay open.

Two costs: `wall`, until the last request is answered, and `ended`, until all that was started has come to its end too.
A server that puts off what it was asked for is quick by the first alone.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.measure import Costs
from benchmarks.readers import Child

_LOOKS_SECONDS = 0.02
_LENGTH = b"content-length:"


def started_per_second(
    server: Child,
    path: str,
    body: Any,
    *,
    requests: int,
    at_once: int,
    is_idle: Callable[[], bool],
    accepts: tuple[int, ...] = (200, 202),
) -> Callable[[], Awaitable[Costs]]:
    """Return a repetition that POSTs ``requests`` times over ``at_once`` connections; ``is_idle`` asks the server
    whether all that was started has ended.
    """
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: {server.host}\r\ncontent-type: application/json"
    request = f"{head}\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data

    async def repeat() -> Costs:
        loop = asyncio.get_running_loop()
        began = loop.time()
        askers = [_Asker(request, requests // at_once, accepts) for _ in range(at_once)]
        for asker in askers:
            await loop.create_connection(lambda asker=asker: asker, server.host, server.port)
        await asyncio.gather(*[asker.done for asker in askers])
        answered, count = loop.time(), requests // at_once * at_once
        while not await loop.run_in_executor(None, is_idle):
            await asyncio.sleep(_LOOKS_SECONDS)
        return {"wall": (answered - began) / count, "ended": (loop.time() - began) / count}

    return repeat


class _Asker(asyncio.Protocol):
    """One connection: asks, and asks again when it is answered; cheap, for it has to live beside the server."""

    def __init__(self, request: bytes, count: int, accepts: tuple[int, ...]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._left = count
        self._accepts = accepts
        self._got = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got = got = self._got + data if self._got else data
        end = got.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        headers = got[:end].lower()
        if int(headers[9:12]) not in self._accepts:
            self.done.set_exception(AssertionError(headers))
            return
        at = headers.index(_LENGTH) + len(_LENGTH)
        if len(got) < end + int(headers[at : headers.index(b"\r", at)]):
            return
        self._got = b""
        self._left -= 1
        if self._left:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("the connection was cut"))
