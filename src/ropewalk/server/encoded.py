"""A run in other people's words as a stream of server-sent events, sent as raw ASGI."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from ropewalk.server.following import Reader
from ropewalk.server.stream import HEADERS, HEARTBEAT, Receive, Scope, Send


class EncodedStream(Response):
    """The ASGI response that sends what ``pieces`` yields; an empty piece is a sign of life."""

    def __init__(self, reader: Reader, pieces: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._reader = reader
        self._pieces = pieces
        self._more = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the pieces end or the other side leaves; a connection that takes nothing is given up."""
        reader = self._reader
        watcher = asyncio.create_task(_until_it_leaves(receive, reader))
        reader.task = asyncio.current_task()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *self._more]})
            async for piece in self._pieces:
                if reader.is_gone:
                    return
                reader.is_sending = True
                await send({"type": "http.response.body", "body": piece or HEARTBEAT, "more_body": True})
                reader.is_sending = False
            if not reader.is_gone:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not reader.is_stuck:
                raise
        finally:
            watcher.cancel()
            await reader.close()


@asynccontextmanager
async def attended(request: Request, reader: Reader) -> AsyncGenerator[None]:
    """Close the reader afterwards, and let it end as soon as who asked is gone."""
    watcher = asyncio.create_task(_until_it_leaves(request.receive, reader))
    try:
        yield
    finally:
        watcher.cancel()
        await reader.close()


def sse(objects: list[dict[str, Any]]) -> bytes:
    """Return objects as the data of one server-sent event each."""
    return b"".join([b"data: %b\n\n" % to_json(one) for one in objects])


async def _until_it_leaves(receive: Receive, reader: Reader) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.leave()
