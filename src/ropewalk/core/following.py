"""Follows one run for one reader: first what lies behind the reader's cursor, then what happens, as it happens.

1. What the feed no longer keeps is read from the store, page by page.
2. The rest comes from the feed, which the reader has joined; when the fold is read afresh, the reader joins its feed.
3. With nothing new it waits, until the stretch has ended.
"""

from ropewalk.core.facts import read_entry
from ropewalk.core.feed import Feed
from ropewalk.core.reading import Reading
from ropewalk.events import Event, parse_event_id

_PAGE = 500


class Follower:
    """One reader of a run's events. Who makes it leaves it."""

    def __init__(self, reading: Reading, cursor: tuple[int, int], feed: Feed) -> None:
        self._reading = reading
        self._cursor = cursor
        self._feed = feed
        feed.join()

    async def news(self) -> list[Event] | None:
        """Return everything behind what was returned before, once there is something; None when the stretch has
        ended.
        """
        reading = self._reading
        while True:
            engine = await reading.read()
            self._move_to(engine.feed)
            news = await self._behind_cursor()
            if news:
                self._cursor = parse_event_id(news[-1].id)
                return news
            if not engine.driving:
                if engine.lost is not None:
                    await reading.forget_if_cancelled(engine.lost)
                    continue
                if engine.schedule.status not in ("RUNNING", "IDLE"):
                    return None
            await reading.changed(engine)

    def leave(self) -> None:
        """Be no reader any more."""
        self._feed.leave()

    def _move_to(self, feed: Feed) -> None:
        if feed is not self._feed:
            self._feed.leave()
            self._feed = feed
            feed.join()

    async def _behind_cursor(self) -> list[Event]:
        """Return what comes behind it: from the store as long as the reader is further back than the feed."""
        if not self._feed.holds(self._cursor[0]):
            stored = await self._stored_events(self._cursor[0])
            if stored:
                return self._feed.among(stored, self._cursor)
        return self._feed.collect(self._cursor)

    async def _stored_events(self, after: int) -> list[Event]:
        store = self._reading.desk.store
        if store is None:
            return []
        page = await store.read(self._reading.run_id, after=after, limit=_PAGE)
        entries = [read_entry(number, body) for number, body in page]
        return [Event(id=str(entry.number), type=entry.type, node=entry.node, data=entry.data) for entry in entries]
