"""What one run says, encoded once for all who read it here: the newest part, kept in memory.

1. A channel has one task, however many read: it asks the run for what is new, encodes it, and wakes the readers. Where
   another process drives the run it listens to that one first.
2. A reader is a place in what is kept. It takes what is behind its place; nothing waits for it. What a reader has not
   taken when room is needed is gone for it: it is told to come back, with its cursor.
3. Between two looks the task rests: half as long as the readers took, at least 1 ms and at most 50. So the first token
   goes out at once, what there is no time for is coalesced, and streams take no more than two thirds of a loop.
4. When the run stops the task ends; what is kept stays for those who come back, for a while.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from ropewalk.contracts.live_events import LiveEvents
from ropewalk.core.run import Run
from ropewalk.errors import RopewalkError
from ropewalk.events import LAST_OF_A_STRETCH, Event, parse_event_id
from ropewalk.server.overhearing import overhearing
from ropewalk.server.views import event_data

Cursor = tuple[int, int]

KEPT_FRAMES = 8_192
KEPT_BYTES = 4 * 1024 * 1024
KEPT_SECONDS = 120.0
PIECE_BYTES = 64 * 1024
"""What is handed to a connection at once, about: a slow one holds no more than that and its own buffer."""
_RESTS_SECONDS = (0.001, 0.05)
_OVER = frozenset({"run_done", "run_failed", "run_cancelled"})


class Frame(NamedTuple):
    """One event, ready to be sent."""

    cursor: Cursor
    type: str
    sse: bytes
    """As a server-sent event."""
    json_at: int
    """Where in that the object begins that every door sends."""
    at: float
    """When it was encoded, by the loop's clock."""

    @property
    def json(self) -> bytes:
        return self.sse[self.json_at : -2]

    @property
    def event(self) -> Event:
        """What was encoded: decoded when it is asked for, so that what is kept is small."""
        told = from_json(self.json)
        return Event(id=told["id"], type=told["type"], node=told["node"], data=told["data"])


class Piece(NamedTuple):
    """Neighbouring frames, joined once for all who are at the same place."""

    begin: int
    end: int
    """The place behind its last frame."""
    of: int
    """The end of the channel when it was made."""
    frames: list[Frame]
    data: bytes


def frame_of(run_id: str, event: Event) -> Frame:
    """Encode an event. Newlines cannot break the framing: JSON escapes them."""
    json = to_json(event_data(run_id, event))
    head = b"event: %b\nid: %b\ndata: " % (event.type.encode(), event.id.encode())
    at = asyncio.get_running_loop().time()
    return Frame(parse_event_id(event.id), sys.intern(event.type), b"%b%b\n\n" % (head, json), len(head), at)


class Channel:
    """The newest events of one run."""

    def __init__(self, run_id: str, start: Cursor, live: LiveEvents | None = None) -> None:
        self.run_id = run_id
        self._live = live
        self.start = start
        """Everything behind this id is in `frames`, as far as it was said."""
        self.frames: list[Frame] = []
        self.dropped = 0
        """How many frames had to make room: the place of the first one kept."""
        self.readers = 0
        self.trouble: RopewalkError | None = None
        """Why nothing more comes, though the run has not stopped."""
        self.rests = False
        """The run has stopped, and all it said is here."""
        self.quiet_since = 0.0
        self.size = 0
        """Bytes of all frames."""
        self._waiting: set[Callable[[], None]] = set()
        self._piece: Piece | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def newest(self) -> Cursor:
        return self.frames[-1].cursor if self.frames else self.start

    @property
    def end(self) -> int:
        """The place behind the newest frame."""
        return self.dropped + len(self.frames)

    @property
    def is_over(self) -> bool:
        return self.rests and bool(self.frames) and self.frames[-1].type in _OVER

    def place_of(self, cursor: Cursor) -> int | None:
        """Return the place of the first frame behind ``cursor``; None when that is further back than what is kept."""
        if cursor < self.start:
            return None
        low, high = 0, len(self.frames)
        while low < high:
            middle = (low + high) // 2
            if self.frames[middle].cursor <= cursor:
                low = middle + 1
            else:
                high = middle
        return self.dropped + low

    def at(self, place: int) -> Frame:
        return self.frames[place - self.dropped]

    def piece(self, place: int) -> "Piece":
        """Return what is behind ``place``, as much as is sent at once; readers of one place share it."""
        known = self._piece
        if known is None or known.begin != place or known.of != self.end:
            known = self._piece = self._made_piece(place)
        return known

    def _made_piece(self, place: int) -> "Piece":
        first = at = place - self.dropped
        size = 0
        while at < len(self.frames) and size < PIECE_BYTES:
            size += len(self.frames[at].sse)
            at += 1
        frames = self.frames[first:at]
        data = b"".join([frame.sse for frame in frames])
        return Piece(place, self.dropped + at, self.end, frames, data)

    # -- following the run --------------------------------------------------------------------------------------------

    def go(self, run_of: Callable[[], Run[Any]]) -> None:
        """Follow the run, unless that is done already."""
        if self._task is None or self._task.done():
            self.rests, self.trouble = False, None
            self._task = asyncio.create_task(self._follow(run_of()), name=f"ropewalk: readers of {self.run_id}")

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _follow(self, run: Run[Any]) -> None:
        loop = asyncio.get_running_loop()
        entry, n = self.newest
        try:
            async with (
                overhearing(self._live, run, (entry, n)),
                contextlib.aclosing(run.batches(f"{entry}.{n}")) as batches,
            ):
                async for batch in batches:
                    self._take(batch)
                    if batch[-1].type not in LAST_OF_A_STRETCH:
                        await _breathe(loop)
            self.rests = True
        except RopewalkError as trouble:
            self.trouble = trouble
        finally:
            self.wake()

    def _take(self, batch: list[Event]) -> None:
        for event in batch:
            frame = frame_of(self.run_id, event)
            self.frames.append(frame)
            self.size += len(frame.sse)
        if len(self.frames) > KEPT_FRAMES or self.size > KEPT_BYTES:
            self._make_room()
        self.wake()

    def _make_room(self) -> None:
        """Drop the oldest quarter, so that it is not done for each event; the newest one always stays."""
        gone = 0
        most, room = KEPT_FRAMES * 3 // 4, KEPT_BYTES * 3 // 4
        while len(self.frames) - gone > 1 and (len(self.frames) - gone > most or self.size > room):
            self.size -= len(self.frames[gone].sse)
            gone += 1
        self._drop(gone)

    def forget_old(self, now: float) -> None:
        """Drop what was said so long ago that nobody comes back for it: the log has it."""
        before = now - KEPT_SECONDS
        if len(self.frames) < 2 or self.frames[0].at >= before:
            return
        gone = 0
        while gone < len(self.frames) - 1 and self.frames[gone].at < before:
            self.size -= len(self.frames[gone].sse)
            gone += 1
        self._drop(gone)

    def _drop(self, gone: int) -> None:
        if gone:
            self.start = self.frames[gone - 1].cursor
            self.dropped += gone
            del self.frames[:gone]

    # -- those who wait -----------------------------------------------------------------------------------------------

    def tell(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when there is something new."""
        self._waiting.add(wake)

    def untell(self, wake: Callable[[], None]) -> None:
        self._waiting.discard(wake)

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for wake in waiting:
            wake()


async def _breathe(loop: asyncio.AbstractEventLoop) -> None:
    """Let the readers have what is new, then rest for half as long as that took: 1 ms at least, 50 ms at most."""
    shortest, longest = _RESTS_SECONDS
    began = loop.time()
    await asyncio.sleep(0)  # their tasks are woken
    await asyncio.sleep(0)  # and have sent
    await asyncio.sleep(min(longest, max(shortest, (loop.time() - began) / 2)))
