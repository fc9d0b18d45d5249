"""Brings a client from its cursor to where its session is at its pod; from there on it gets what all others get.

1. With a cursor that the log has: everything behind it, no less and no more.
2. Without one: from the first message on that is not over, or whose end nobody has seen.
3. With a cursor of a log that is gone: that it is so, every message of which it may have seen a part anew, and then the
   log from its beginning.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from ropewalk.chat.chunks import Chunk, read_chunk
from ropewalk.chat.closing import Closing
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
_FRESH_SECONDS = 2.0
_YOUNG_SECONDS = 300.0
"""For so long after its end a message that is not in the log may be on its way there; if not, the pod puts it there."""
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
    under_way: Set[str] = frozenset()
    """Messages that are not over and not in the log."""


class Joining:
    """How clients begin."""

    def __init__(self, desk: ChatDesk, chunk_log: ChunkLog, counts: PodCounts, closing: Closing) -> None:
        self._desk = desk
        self._closing = closing
        self._endings: set[asyncio.Task[None]] = set()
        self._log = chunk_log
        self._counts = counts

    async def join(self, place: Place, viewer: Viewer, cursor: Cursor | str | None) -> None:
        """Let a client have what it has not seen, then what comes. While the log cannot be read, it waits."""
        start = await _tried(lambda: self._start(viewer, cursor))
        connected: dict[str, object] = {"connection_id": viewer.connection_id, "session_id": viewer.session_id}
        if start.recovered is not None:
            connected["recovered"] = start.recovered
        viewer.tell(_RETRY + event("connected", connected, start.cursor) + start.told)
        await self._go_on(place, viewer, start)

    async def begin_anew(self, place: Place, viewer: Viewer) -> None:
        """Tell a client anew what it may have seen, then what comes: the log of its session was lost."""
        start = await _tried(lambda: self._anew(viewer))
        viewer.tell(start.told)
        await self._go_on(place, viewer, start)

    async def _go_on(self, place: Place, viewer: Viewer, start: _Start) -> None:
        try:
            await self._catch_up(place, viewer, start)
        except RopewalkError:
            viewer.end(ENDED_BY_US)  # it comes back with the cursor that it has by now
        if viewer.is_live:
            ending = asyncio.create_task(self._end_what_has_ended(place, viewer, start.under_way))
            self._endings.add(
                ending
            )  # it goes on when the client has left: the next pod does not know what this one knows
            ending.add_done_callback(self._endings.discard)

    async def close(self) -> None:
        for ending in self._endings:
            ending.cancel()
        if self._endings:
            await asyncio.wait({*self._endings})

    async def _end_what_has_ended(self, place: Place, viewer: Viewer, untold: Set[str]) -> None:
        """See to it that messages have an end that ended not long ago: whoever was to write it may have died."""
        store = self._desk.service.store
        try:
            found = await store.runs(owner=viewer.user_id, session=viewer.session_id, limit=_TOLD_ANEW)
        except RopewalkError:  # it is looked again when the client comes again
            found = []
        now = time.time()
        ended: set[str] = {*untold}
        for record in found:
            age = now - record.updated
            if record.status == "RUNNING" or age < _FRESH_SECONDS:  # its worker is at it, or has just been
                place.watch([record.run_id])
                ended.discard(record.run_id)
            elif record.status != "PAUSED" and age < _YOUNG_SECONDS:
                ended.add(record.run_id)
        for message_id in ended:
            if not await self._closing.close(message_id):
                place.watch([message_id])

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
        return await self._anew(viewer)

    async def _anew(self, viewer: Viewer) -> _Start:
        """Begin with the log's beginning, and before it with the messages that are not in it from their beginning."""
        self._counts.unrecovered += 1
        page = await self._log.read(viewer.session_id, after=0, limit=_PAGE)
        at = page.oldest - 1
        chunks = [read_chunk(one.body) for one in page.chunks]
        begun = {chunk.message_id for chunk in chunks if chunk is not None and _begins(chunk)}
        user = Caller(owner=viewer.user_id)
        history = await self._desk.messages(user, viewer.session_id, viewer.user_id, limit=_TOLD_ANEW)
        cursor = _cursor(page, at)
        told: list[bytes] = []
        under_way: set[str] = set()
        now = time.time()
        answers = {item["message_id"]: item for item in history["items"]}  # what is not answered yet: the question
        for message_id, item in answers.items():
            is_answer = item["role"] == "assistant" and message_id not in begun
            ending = _ending(message_id, item, now) if is_answer else None
            text = item["content"] if ending is not None else ""
            told.append(event("reset", {"message_id": message_id, "text": text}, cursor))
            if ending is not None:
                told.append(event(*ending, cursor))
            elif message_id not in begun:
                under_way.add(message_id)
        return _Start(page, at, cursor, told=b"".join(told), recovered=False, under_way=under_way)

    async def _catch_up(self, place: Place, viewer: Viewer, start: _Start) -> None:
        page = start.page
        if page.log is None and place.log is not None:  # others have heard of one meanwhile
            page = await self._read(viewer, after=0)
        name = page.log
        if name is not None and place.log not in (None, name):  # the place has not heard yet that the log is another
            await place.read_on()
        viewer.at = start.at
        under_way = {*start.under_way}
        begun: set[str] | None = set() if start.recovered is None else None
        is_first = start.halfway
        while name is not None:
            frames = [*_frames(page, name, viewer.at, under_way, begun)]
            if is_first and frames:
                frames[0] = frames[0]._replace(head=b"")
                is_first = False
            viewer.give(frames)
            if place.log is None:
                others = any(one.is_live for one in place.viewers)  # they came before there was a log, and have nothing
                place.begin(name, 0 if others else viewer.at, under_way)
            if place.log != name:  # the log has begun anew meanwhile
                viewer.end(ENDED_BY_US)
                return
            if viewer.at >= place.at:
                break
            page = await self._read(viewer, after=viewer.at)
            if page.log != name or not page.chunks:
                viewer.end(ENDED_BY_US)
                return
        viewer.is_live = True
        place.catch_up()  # what was said before workers knew of the client

    async def _read(self, viewer: Viewer, *, after: int) -> LogPage:
        """Read the log, for as long as it is away and the client stays: ended now, it might have no cursor yet, and
        come back as one that has seen nothing.
        """
        while True:
            try:
                return await self._log.read(viewer.session_id, after=after, limit=_PAGE)
            except RopewalkError:
                if viewer.why is not None:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)


async def _tried(ask: Callable[[], Awaitable[_Start]]) -> _Start:
    while True:
        try:
            return await ask()
        except RopewalkError:
            await asyncio.sleep(_AGAIN_SECONDS)


def _frames(page: LogPage, name: str, after: int, under_way: set[str], begun: set[str] | None) -> Iterable[Frame]:
    """Yield what the log has. A new reader, who has ``begun``, is not told the rest of a message that was over and seen
    before: others of the session stood between its chunks.
    """
    for one in page.chunks:
        chunk = read_chunk(one.body) if one.at > after else None
        if chunk is not None and begun is not None:
            if _begins(chunk):
                begun.add(chunk.message_id)
            elif chunk.message_id not in begun:
                chunk = None
        if chunk is not None:
            (under_way.discard if chunk.is_final or chunk.is_asking else under_way.add)(chunk.message_id)
            yield frame_of(name, one.at, chunk)


def _cursor(page: LogPage, at: int) -> str | None:
    return None if page.log is None else f"{page.log}.{at}"


def _ending(message_id: str, item: Mapping[str, Any], now: float) -> tuple[str, dict[str, Any]] | None:
    """Return the event that ends a message as the history has it; None: it goes on, or its writer may be about to tell
    its end.
    """
    match "" if now - item["timestamp"] < _YOUNG_SECONDS else item["status"]:
        case "DONE":
            return "message_complete", {"message_id": message_id, "token_count": len(item["content"].split())}
        case "FAILED":
            return "error", {"message_id": message_id, "error": item["error"]}
        case "CANCELLED":
            return "cancelled", {"message_id": message_id}
        case _:
            return None


def _begins(chunk: Chunk) -> bool:
    """Tell whether a message's text can be told from this chunk on."""
    return chunk.chunk_id == 0 or chunk.reset_text is not None
