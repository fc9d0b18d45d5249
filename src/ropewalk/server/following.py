"""Lets any number of readers follow runs, each from its own cursor: one source for what was and for what comes.

A reader who is further back than what a run's channel keeps reads the log at its own pace until it has caught up, and
takes from the channel from there on; both come from `Run.batches`, so that a stream that was cut anywhere joins to the
same bytes.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, NamedTuple, Protocol

from ropewalk.contracts import RunRecord
from ropewalk.contracts.live_events import LiveEvents
from ropewalk.core.run import Run
from ropewalk.errors import RopewalkError, RunNotFound
from ropewalk.events import Event, parse_event_id
from ropewalk.server.channel import KEPT_FRAMES, Channel, Cursor, Frame, frame_of
from ropewalk.server.views import pause_data

HEARTBEAT_SECONDS = 15.0
_STUCK_SECONDS = 30
_LINGERS_SECONDS = 60.0
"""How long a channel that nobody reads is kept."""
_ENDED = ("DONE", "FAILED", "CANCELLED")
_STOPPED = (*_ENDED, "PAUSED")
_CHANNELS_KEPT = 1_000
_QUIET_BYTES = 64 * 1024 * 1024
"""What channels that nobody reads may hold in all."""
_FROM_THE_START = KEPT_FRAMES // 4
"""A run with fewer entries is kept whole by its channel: readers who come later join it at any cursor."""
_LOOKS_AGAIN_SECONDS = 1.0
"""How often a paused run is looked at that another process may have let go on."""


class Say(NamedTuple):
    """Frames for a reader, in order; none at all when it is time for a heartbeat."""

    frames: list[Frame]
    data: bytes | None = None
    """The frames as server-sent events, where these bytes are shared with others."""


class Reader:
    """One who follows one run. Used by one task: `take` until it returns None."""

    def __init__(
        self, following: "Following", channel: Channel, run_of: Callable[[], Run[Any]], cursor: Cursor, *, through: bool
    ) -> None:
        self.run_id = channel.run_id
        self.cursor = cursor
        """The id of the newest event that was taken."""
        self.opening: list[Frame] = []
        """What is to be sent first: a snapshot for a reader whose cursor nobody knows, the last event again for one
        who came behind it."""
        self.owner: str | None = None
        self.why = "ended"
        """When `take` has returned None: ended, gone (the run was deleted), overrun, closing, or an error's code."""
        self._following = following
        self._channel = channel
        self._run_of = run_of
        self._through = through
        self._place: int | None = channel.place_of(cursor)
        self._log: AsyncGenerator[list[Event]] | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self.is_beating = False
        """True when a heartbeat is due; whoever sends it sets it back."""
        self.is_gone = False
        """The other side has left."""
        self.task: asyncio.Task[Any] | None = None
        """What sends; it is cancelled when it `is_stuck`."""
        self.is_sending = False
        self.is_stuck = False
        """The other side has not read for so long that the connection is given up: it comes back with its cursor."""
        self._seconds_sending = 0

    async def take(self) -> Say | None:
        """Return what is new, waiting for it; an empty `Say` when a heartbeat is due; None at the end (see `why`)."""
        while not self._is_over():
            if self._place is None:
                said = await self._from_the_log()
                if said is not None or self._place is None:
                    return said
                continue
            if self._place < self._channel.end:
                if self._channel.at(self._place).cursor > self.cursor:
                    return self._from_the_channel()
                self._place = self._channel.place_of(self.cursor)  # a channel that was still catching up itself
                continue
            if self._has_ended():
                return None
            if self.is_beating:
                self.is_beating = False
                return Say(frames=[])
            await self._new()
        return None

    def _is_over(self) -> bool:
        """Tell whether this reader gets no more, whatever the run does."""
        if self._following.is_closing or self.is_gone:
            self.why = "closing"
            return True
        if self._place is not None and self._place < self._channel.dropped:
            self.why = "overrun"
            return True
        return False

    def _from_the_channel(self) -> Say:
        assert self._place is not None
        piece = self._channel.piece(self._place)
        self._place = piece.end
        self.cursor = piece.frames[-1].cursor
        return Say(piece.frames, piece.data)

    async def _from_the_log(self) -> Say | None:
        """Return the next piece of what is further back; None when the reader has caught up, or it cannot go on."""
        if self._log is None:
            self._log = self._run_of().batches("{}.{}".format(*self.cursor))
        try:
            batch = await anext(self._log, None)
        except RopewalkError as trouble:
            self.why = trouble.code
            return None
        frames = [frame_of(self.run_id, event) for event in batch or ()]
        if frames:
            self.cursor = frames[-1].cursor
            self._place = self._channel.place_of(self.cursor)
        else:  # the run has stopped, and the reader has all of it
            self._place = self._channel.place_of(max(self.cursor, self._channel.start))
        if self._place is not None:
            await self._log.aclose()
            self._log = None
        return Say(frames) if frames else None

    def _has_ended(self) -> bool:
        channel = self._channel
        if channel.trouble is not None:
            self.why = "gone" if isinstance(channel.trouble, RunNotFound) else channel.trouble.code
            return True
        if not channel.rests or (self._through and not channel.is_over):
            return False
        self.why = "ended"
        return True

    async def _new(self) -> None:
        self._wakeup = asyncio.get_running_loop().create_future()
        self._channel.tell(self.wake)
        try:
            await self._wakeup
        finally:
            self._channel.untell(self.wake)
            self._wakeup = None

    def wake(self) -> None:
        """Let `take` look again."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def look_at_the_clock(self) -> None:
        """Count, once a second, for how long a piece has been on its way; give up a connection that is frozen."""
        self._seconds_sending = self._seconds_sending + 1 if self.is_sending else 0
        if self._seconds_sending > _STUCK_SECONDS and self.task is not None:
            self.is_stuck = True
            self.task.cancel()

    def leave(self) -> None:
        """Let `take` return: the other side is gone."""
        self.is_gone = True
        self.wake()

    async def close(self) -> None:
        """Leave the channel; every reader is closed once."""
        if self._log is not None:
            await self._log.aclose()
            self._log = None
        self._following.left(self, self._channel)


class Closes(Protocol):
    """What is told when streams end."""

    async def close(self) -> None: ...


class Following:
    """The channels of all runs that are read here."""

    def __init__(self, *, heartbeat_seconds: float = HEARTBEAT_SECONDS, live: LiveEvents | None = None) -> None:
        """``live`` brings what is said of runs that other processes drive."""
        self.is_closing = False
        self._live = live
        self.heartbeat_seconds = heartbeat_seconds
        self.check: Callable[[Iterable[Reader], str | None], None] = _admit_anybody
        """Raises `LimitReached` for one more reader than an owner may have; asked in the instant that one enters."""
        self.readers: set[Reader] = set()
        self.conversations: set[Closes] = set()
        """Connections that carry several readers each."""
        self._channels: dict[str, Channel] = {}
        self._sources: dict[str, Callable[[], Run[Any]]] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def follow(
        self,
        run_of: Callable[[], Run[Any]],
        record: RunRecord,
        after: str | None,
        *,
        through: bool,
        owner: str | None = None,
    ) -> Reader:
        """Return ``owner``'s reader of a run's events behind ``after`` (None: from the beginning); `Reader.close` it.

        A cursor that nobody knows is answered by a snapshot of the run, and what comes behind it. Raises
        `LimitReached`.
        """
        self.check(self.readers, owner)
        cursor = parsed_cursor(after)
        engine = await run_of().read()
        newest = max(engine.feed.newest, (record.last, 0))
        channel = self._channels.get(record.run_id)
        known = max(newest, channel.newest) if channel else newest
        if channel is None:
            start = (0, 0) if known[0] <= _FROM_THE_START else (known[0], 0)
            channel = self._channels[record.run_id] = Channel(record.run_id, start, self._live)
        opening: list[Frame] = []
        if cursor is None or (cursor > known and not self._may_have_been_told(cursor, record)):
            opening, cursor = await self._snapshot(run_of(), after)
        if cursor >= (record.last, 0) and record.status in (_ENDED if through else _STOPPED):
            opening += await self._last_again(run_of(), record, cursor)
        reader = Reader(self, channel, run_of, cursor, through=through)
        reader.opening, reader.owner = opening, owner
        self.check(self.readers, owner)  # again: others came in while the run was looked at
        self._enter(reader, channel, run_of)
        return reader

    def _may_have_been_told(self, cursor: Cursor, record: RunRecord) -> bool:
        """Tell whether another server may have given an id that is not known here: of a live event of this moment."""
        return self._live is not None and record.status == "RUNNING" and cursor[0] <= record.last

    async def _snapshot(self, run: Run[Any], after: str | None) -> tuple[list[Frame], Cursor]:
        """Return what is told to a reader whose cursor nobody knows: that it is so, and where the run stands."""
        standing = await run.look()
        data = {
            "recovered": False,
            "after": (after or "")[:100],
            "status": str(standing.status),
            "state": standing.state,
            "pauses": [pause_data(pause) for pause in standing.pauses],
        }
        event = Event(id=str(standing.number), type="snapshot", node=None, data=data)
        return [frame_of(run.run_id, event)], (standing.number, 0)

    async def _last_again(self, run: Run[Any], record: RunRecord, cursor: Cursor) -> list[Frame]:
        """Return the event with which the run stopped, for a reader who came behind it: it shall not wait."""
        async with contextlib.aclosing(run.batches(str(record.last - 1))) as batches:
            async for batch in batches:
                return [frame_of(run.run_id, event) for event in batch if parse_event_id(event.id) <= cursor]
        return []

    def _enter(self, reader: Reader, channel: Channel, run_of: Callable[[], Run[Any]]) -> None:
        self.readers.add(reader)
        self._sources[channel.run_id] = run_of
        channel.readers += 1
        channel.go(run_of)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="ropewalk: keeper of streams")

    def left(self, reader: Reader, channel: Channel) -> None:
        """Take a reader out."""
        if reader in self.readers:
            self.readers.discard(reader)
            channel.readers -= 1
            if not channel.readers:
                channel.quiet_since = asyncio.get_running_loop().time()

    def stir(self, run_id: str) -> None:
        """Look at a run again: somebody has let it go on, or has ended it."""
        channel = self._channels.get(run_id)
        source = self._sources.get(run_id)
        if channel is not None and source is not None and channel.readers:
            channel.go(source)

    async def _keep(self) -> None:
        """Once a second: heartbeats, paused runs that may go on elsewhere, channels that nobody reads any more."""
        loop = asyncio.get_running_loop()
        beat = loop.time() + self.heartbeat_seconds
        while self._channels and not self.is_closing:
            await asyncio.sleep(min(_LOOKS_AGAIN_SECONDS, self.heartbeat_seconds))
            now = loop.time()
            for reader in [*self.readers]:
                reader.look_at_the_clock()
            if now >= beat:
                beat = now + self.heartbeat_seconds
                for reader in [*self.readers]:
                    reader.is_beating = True
                    reader.wake()
            for channel in [*self._channels.values()]:
                channel.forget_old(now)
                if channel.readers and channel.rests and not channel.is_over:
                    self.stir(channel.run_id)
            await self._drop_quiet(now)

    async def _drop_quiet(self, now: float) -> None:
        quiet = sorted((c for c in self._channels.values() if not c.readers), key=lambda c: c.quiet_since)
        surplus = len(self._channels) - _CHANNELS_KEPT
        room = _QUIET_BYTES - sum(channel.size for channel in quiet)
        for at, channel in enumerate(quiet):
            if at < surplus or room < 0 or now - channel.quiet_since > _LINGERS_SECONDS:
                room += channel.size
                del self._channels[channel.run_id]
                self._sources.pop(channel.run_id, None)
                await channel.stop()

    async def close(self) -> None:
        """Tell every reader to come back, and let go of the runs."""
        self.is_closing = True
        for reader in [*self.readers]:
            reader.wake()
        for channel in [*self._channels.values()]:
            await channel.stop()
            channel.wake()
        await asyncio.gather(*[conversation.close() for conversation in [*self.conversations]])
        if self._keeper is not None:
            self._keeper.cancel()


def _admit_anybody(_: Iterable[Reader], __: str | None) -> None:
    """Set no limit."""


def parsed_cursor(after: str | None) -> Cursor | None:
    """Return the cursor; None for what is none. Nothing at all is the beginning."""
    try:
        return parse_event_id(after or None)
    except ValueError:
        return None
