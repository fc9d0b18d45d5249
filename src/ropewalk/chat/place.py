"""A session at a pod: the newest chunk that its clients here have, and how they get the next one.

A chunk that comes over the bus with the next place goes to all at once. A later one says that something is missing:
the log is read. An earlier one came twice. A log with another name has begun anew: it is read from its beginning.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from ropewalk.chat.chunks import Chunk, read_chunk
from ropewalk.chat.frames import Frame, frame_of
from ropewalk.chat.viewer import TOO_SLOW, Viewer
from ropewalk.contracts.chunk_log import ChunkLog, LogPage
from ropewalk.errors.chat import BusUnavailable

log = logging.getLogger("ropewalk")

_PAGE = 1000
_AGAIN_SECONDS = 0.25


class Place:
    """One session at this pod."""

    def __init__(
        self,
        session_id: str,
        chunk_log: ChunkLog,
        *,
        on_gap: Callable[[], None],
        on_loss: "Callable[[Place, Viewer], None]",
    ) -> None:
        """``on_loss`` is told of each client that has seen another life of the log than the one that is followed now:
        it makes the client live again.
        """
        self.session_id = session_id
        self.log: str | None = None
        """The life of the log that is followed; None: there was none when it was looked."""
        self.at = 0
        self.viewers: set[Viewer] = set()
        self.open: dict[str, float] = {}
        """Messages that somebody is writing -> when something was heard of them, by the loop's clock."""
        self.begun_at = asyncio.get_running_loop().time()
        self.checked_at = 0.0
        """When the log was last read."""
        self._chunks = chunk_log
        self._on_gap = on_gap
        self._on_loss = on_loss
        self._catching: asyncio.Task[None] | None = None
        self._again = False

    def take(self, chunk: Chunk) -> None:
        """Take a chunk that came over the bus and is in the log."""
        place = chunk.place
        assert place is not None
        name, at = place
        if name == self.log and at <= self.at:
            return
        if name == self.log and at == self.at + 1 and not self.is_catching:
            self._deliver([frame_of(name, at, chunk)], [chunk])
        else:
            if name == self.log and not self.is_catching:
                self._on_gap()
            self.catch_up()

    @property
    def is_catching(self) -> bool:
        return self._catching is not None and not self._catching.done()

    def catch_up(self) -> None:
        """Read what the log has beyond here, unless that is being done: then once more behind it."""
        if self.is_catching:
            self._again = True
        else:
            self._catching = asyncio.create_task(self._catch_up(), name=f"ropewalk: gap of {self.session_id}")

    async def read_on(self) -> None:
        """Return when the log was read to its end."""
        self.catch_up()
        if self._catching is not None:
            await asyncio.wait({self._catching})

    async def _catch_up(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                page = await self._chunks.read(self.session_id, after=self.at, limit=_PAGE)
            except BusUnavailable as trouble:
                log.debug("session %s: %s", self.session_id, trouble)
                await asyncio.sleep(_AGAIN_SECONDS)
                self._again = bool(self.viewers)
                continue
            self.checked_at = asyncio.get_running_loop().time()
            self._again = self._take_page(page) or self._again

    def _take_page(self, page: LogPage) -> bool:
        """Take in what the log has; tell whether it must be read again."""
        if page.log is None:
            return False
        if page.log != self.log:
            self._begin_anew(page.log)
            return True
        if page.oldest > self.at + 1:  # more was said than is kept: the clients come back and are told anew
            self.at = page.oldest - 1
            for viewer in [*self.viewers]:
                viewer.end(TOO_SLOW)
        found = [(one.at, read_chunk(one.body)) for one in page.chunks if one.at > self.at]
        read = [(at, chunk) for at, chunk in found if chunk is not None]
        self._deliver([frame_of(page.log, at, chunk) for at, chunk in read], [chunk for _, chunk in read])
        if found:
            self.at = max(self.at, found[-1][0])
        return self.at < page.newest and bool(page.chunks)

    def _begin_anew(self, log: str) -> None:
        """Follow another life of the log: nothing of it was given to anybody."""
        was_lost = self.log is not None
        self.log, self.at = log, 0
        for viewer in self.viewers:
            viewer.at = 0
            if was_lost and viewer.is_live:
                viewer.is_live = False
                self._on_loss(self, viewer)

    def watch(self, message_ids: Iterable[str]) -> None:
        """Look for news of messages that nothing was heard of."""
        now = asyncio.get_running_loop().time()
        for message_id in message_ids:
            self.open.setdefault(message_id, now)

    def begin(self, log: str, at: int, under_way: Iterable[str]) -> None:
        """Begin where the first client here has come to."""
        self.log, self.at = log, at
        now = asyncio.get_running_loop().time()
        self.open.update(dict.fromkeys(under_way, now))

    def _deliver(self, frames: list[Frame], chunks: list[Chunk]) -> None:
        now = asyncio.get_running_loop().time()
        for frame, chunk in zip(frames, chunks, strict=True):
            self.at = frame.at
            if chunk.is_final or chunk.is_asking:
                self.open.pop(chunk.message_id, None)
            else:
                self.open[chunk.message_id] = now
        for viewer in self.viewers:
            if viewer.is_live:
                viewer.give(frames)

    def close(self) -> None:
        if self._catching is not None:
            self._catching.cancel()
