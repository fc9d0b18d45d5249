"""Server-sent events: a run's events as an endless HTTP response, framed here, sent as raw ASGI.

1. At once: ``retry:`` and an ``id:``, so that a client which is cut off before the first event still has its cursor.
2. Events as they come, several to a message when several are there; each event's bytes are made once for all readers.
3. A comment when nothing was said for a while.
4. The last event of the run's stretch, or a ``reconnect`` that says why: then the response ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from ropewalk.server.channel import Cursor
from ropewalk.server.following import Reader

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

RETRY_MILLISECONDS = 1_000
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
HEARTBEAT = b": still here\n\n"


class EventStream(Response):
    """The ASGI response that follows one run."""

    def __init__(self, reader: Reader, *, retry_milliseconds: int = RETRY_MILLISECONDS) -> None:
        super().__init__()
        self._reader = reader
        self._retry = retry_milliseconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the run stops, the reader leaves or the server does."""
        reader = self._reader
        watcher = asyncio.create_task(_until_it_leaves(receive, reader))
        reader.task = asyncio.current_task()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            opening = _opening(reader.cursor, self._retry)
            await _body(send, opening + b"".join([frame.sse for frame in reader.opening]))
            while (said := await reader.take()) is not None:
                data = said.data
                if data is None:
                    data = b"".join([frame.sse for frame in said.frames]) or HEARTBEAT
                reader.is_sending = True
                await _body(send, data)
                reader.is_sending = False
            if not reader.is_gone:
                reader.is_sending = True
                await _body(send, farewell(reader), more=False)
        except asyncio.CancelledError:
            if not reader.is_stuck:
                raise
        finally:
            watcher.cancel()
            await reader.close()


def farewell(reader: Reader) -> bytes:
    """Return the event that tells a reader why its stream ends before its run; nothing where the run has told it."""
    if reader.why == "ended":
        return b""
    return _sse(farewell_data(reader))


def farewell_data(reader: Reader) -> dict[str, Any]:
    """Return the same as an object."""
    if reader.why == "gone":
        return _farewell(reader.run_id, reader.cursor, "end", "run_not_found")
    return _farewell(reader.run_id, reader.cursor, "reconnect", reader.why)


def stream_of_nothing(run_id: str, cursor: Cursor) -> Response:
    """Return what a reader is sent who comes back with a cursor to a run that is not there any more: its end."""
    body = _opening(cursor, RETRY_MILLISECONDS) + _sse(_farewell(run_id, cursor, "end", "run_not_found"))
    response = Response(body)
    response.raw_headers += HEADERS
    return response


def _opening(cursor: Cursor, retry_milliseconds: int) -> bytes:
    return b"retry: %d\nid: %b\n\n" % (retry_milliseconds, _id_of(cursor).encode())


def _id_of(cursor: Cursor) -> str:
    entry, n = cursor
    return f"{entry}.{n}" if n else str(entry)


def _farewell(run_id: str, cursor: Cursor, kind: str, reason: str) -> dict[str, Any]:
    return {"run_id": run_id, "id": _id_of(cursor), "type": kind, "node": None, "data": {"reason": reason}}


def _sse(told: dict[str, Any]) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (told["type"].encode(), told["id"].encode(), to_json(told))


async def _body(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def _until_it_leaves(receive: Receive, reader: Reader) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.leave()
