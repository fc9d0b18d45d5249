"""Brings a client from its cursor to where its session is at its pod; from there on it gets what all others get.

1. With a cursor that the log has: everything behind it, no less and no more.
2. Without one: from the first message on that is not over, or whose end nobody has seen.
3. With a cursor of a log that is gone: that it is so, every message of which it may have seen a part anew, and then the
   log from its beginning.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ropewalk.chat.chunks import Chunk, read_chunk
from ropewalk.chat.desk import ChatDesk
from ropewalk.chat.frames import Cursor, Frame, event, frame_of
from ropewalk.chat.place import Place
from ropewalk.chat.viewer import ENDED_BY_US, Viewer
from ropewalk.contracts.chunk_log import ChunkLog, LogPage
from ropewalk.errors import RopewalkError
from ropewalk.server.owned import Caller

_PAGE = 1000
_TOLD_ANEW = 20
"""Messages of the history that a client is told anew when nobody knows what it has."""
_AGAIN_SECONDS = 0.25
_RETRY = b"retry: 1000\n\n"


@dataclass(slots=True, kw_only=True)
class PodCounts:
    """What a pod has done, for those who count."""

    chunks: int = 0
    gaps: int = 0
    resumed: int = 0
    unrecovered: int = 0
    """Clients whose cursor was of a log that is gone."""


class _Start(NamedTuple):
    """Where a client begins."""

    page: LogPage
    at: int
    """It is given what is behind this place."""
    cursor: str | None
    """The first id that it is told."""
    told: bytes = b""
    """What it is told before the log."""
    halfway: bool = False
    """The first chunk is one of which it has the first event."""
    recovered: bool | None = None
    """None: it brought no cursor."""


class Joining:
    """How clients begin."""

    def __init__(self, desk: ChatDesk, chunk_log: ChunkLog, counts: PodCounts) -> None:
        self._desk = desk
        self._log = chunk_log
        self._counts = counts

    async def join(self, place: Place, viewer: Viewer, cursor: Cursor | str | None) -> None:
        """Let a client have what it has not seen, then what comes. While the log cannot be read, it waits."""
        while True:
            try:
                start = await self._start(viewer, cursor)
                break
            except RopewalkError:
                await asyncio.sleep(_AGAIN_SECONDS)
        connected: dict[str, object] = {"connection_id": viewer.connection_id, "session_id": viewer.session_id}
        if start.recovered is not None:
            connected["recovered"] = start.recovered
        viewer.tell(_RETRY + event("connected", connected, start.cursor) + start.told)
        try:
            await self._catch_up(place, viewer, start)
        except RopewalkError:
            viewer.end(ENDED_BY_US)  # it comes back with the cursor that it has by now

    async def _start(self, viewer: Viewer, cursor: Cursor | str | None) -> _Start:
        if cursor is None:
            page = await self._log.unseen(viewer.session_id, limit=_PAGE)
            at = page.chunks[0].at - 1 if page.chunks else page.newest
            return _Start(page, at, _cursor(page, at))
        if isinstance(cursor, Cursor):
            after = max(0, cursor.at - cursor.halfway)
            page = await self._log.read(viewer.session_id, after=after, limit=_PAGE)
            if page.log == cursor.log and page.oldest - 1 <= after and cursor.at <= page.newest:
                self._counts.resumed += 1
                return _Start(page, after, str(cursor), halfway=cursor.halfway, recovered=True)
        self._counts.unrecovered += 1
        return await self._anew(viewer)

    async def _anew(self, viewer: Viewer) -> _Start:
        """Begin with the log's beginning, and before it with the messages that are not in it from their beginning."""
        page = await self._log.read(viewer.session_id, after=0, limit=_PAGE)
        at = page.oldest - 1
        chunks = [read_chunk(one.body) for one in page.chunks]
        begun = {chunk.message_id for chunk in chunks if chunk is not None and _begins(chunk)}
        user = Caller(owner=viewer.user_id)
        history = await self._desk.messages(user, viewer.session_id, viewer.user_id, limit=_TOLD_ANEW)
        cursor = _cursor(page, at)
        told: list[bytes] = []
        for item in history["items"]:
            if item["role"] != "assistant":
                continue
            message_id, text = item["message_id"], item["content"]
            is_begun = message_id in begun
            told.append(event("reset", {"message_id": message_id, "text": "" if is_begun else text}, cursor))
            if not is_begun and item["status"] == "DONE":
                complete = {"message_id": message_id, "token_count": len(text.split())}
                told.append(event("message_complete", complete, cursor))
        return _Start(page, at, cursor, told=b"".join(told), recovered=False)

    async def _catch_up(self, place: Place, viewer: Viewer, start: _Start) -> None:
        page, name = start.page, start.page.log
        viewer.at = start.at
        under_way: set[str] = set()
        is_first = start.halfway
        while name is not None:
            frames = [*_frames(page, name, viewer.at, under_way)]
            if is_first and frames:
                frames[0] = frames[0]._replace(head=b"")
                is_first = False
            viewer.give(frames)
            if place.log is None:
                others = any(
                    one.is_live for one in place.viewers
                )  # they came before there was a log: they have nothing
                place.begin(name, 0 if others else viewer.at, under_way)
            if place.log != name:  # the log has begun anew meanwhile
                viewer.end(ENDED_BY_US)
                return
            if viewer.at >= place.at:
                break
            page = await self._log.read(viewer.session_id, after=viewer.at, limit=_PAGE)
            if page.log != name or not page.chunks:
                viewer.end(ENDED_BY_US)
                return
        viewer.is_live = True
        place.catch_up()  # what was said before workers knew of the client


def _frames(page: LogPage, name: str, after: int, under_way: set[str]) -> Iterable[Frame]:
    for one in page.chunks:
        chunk = read_chunk(one.body) if one.at > after else None
        if chunk is not None:
            (under_way.discard if chunk.is_final or chunk.is_asking else under_way.add)(chunk.message_id)
            yield frame_of(name, one.at, chunk)


def _cursor(page: LogPage, at: int) -> str | None:
    return None if page.log is None else f"{page.log}.{at}"


def _begins(chunk: Chunk) -> bool:
    """Tell whether a message's text can be told from this chunk on."""
    return chunk.chunk_id == 0 or chunk.reset_text is not None
