"""Tells servers what the runs of a worker say between two entries, and what they have said, to those who ask.

Entries are in the log, where every server finds them; what is told here is what no log has. Nothing waits for it.
"""

import asyncio

from pydantic_core import to_json

from ropewalk.contracts import RunRecord
from ropewalk.contracts.live_events import LiveEvents
from ropewalk.core.engine import Engine
from ropewalk.core.feed import Feed
from ropewalk.events import Event, parse_event_id

_LOOKS_SECONDS = 1.0
_BREATH_SECONDS = 0.002
"""Between two messages of a run: what is said meanwhile travels together."""


class Broadcasting:
    """The live events of the runs that one worker drives."""

    def __init__(self, live: LiveEvents) -> None:
        self._live = live
        self._feeds: dict[str, Feed] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Answer those who begin to follow a run."""
        await self._live.answer(self._kept)

    def _kept(self, run_id: str, after: tuple[int, int]) -> list[bytes]:
        feed = self._feeds.get(run_id)
        return [] if feed is None else [dump_event(event) for event in feed.collect(after) if _is_live(event)]

    def on_drive(self, record: RunRecord, engine: Engine) -> None:
        """Tell what a run says, from now on."""
        task = asyncio.create_task(self._tell(record, engine), name=f"ropewalk: live events of {record.run_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, record: RunRecord, engine: Engine) -> None:
        feed = self._feeds[record.run_id] = engine.feed
        cursor, said_at, now = (record.last, 0), 0.0, asyncio.get_running_loop().time
        try:
            while True:
                newest = feed.newest
                if newest > cursor:
                    if (early := said_at + _BREATH_SECONDS - now()) > 0:
                        await asyncio.sleep(early)
                        newest = feed.newest
                    events = [event for event in feed.collect(cursor) if _is_live(event)]
                    cursor = newest
                    if events:
                        self._live.say(record.run_id, [dump_event(event) for event in events])
                        said_at = now()
                elif engine.lost is not None or not engine.driving:
                    return
                else:
                    await feed.changed(_LOOKS_SECONDS)
        finally:
            if self._feeds.get(record.run_id) is feed:
                del self._feeds[record.run_id]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait({*self._tasks})


def dump_event(event: Event) -> bytes:
    """Return a live event as it travels."""
    return to_json({"id": event.id, "type": event.type, "node": event.node, "data": event.data})


def _is_live(event: Event) -> bool:
    return parse_event_id(event.id)[1] > 0
