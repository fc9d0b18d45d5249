"""A pod: the clients that are connected here, each with the chunks of its session, from its own cursor on.

1. A client is announced before anything is read, so that workers know of it; then it joins (`chat/joining.py`).
2. What workers send goes to the session's place here (`chat/place.py`), what strangers send through the relay.
3. Twice a second: some connections are announced again, quiet messages are looked for in the log, and in the store.
"""

import asyncio
import itertools
import logging
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

from ropewalk.chat.chunks import read_chunk
from ropewalk.chat.closing import Closing
from ropewalk.chat.desk import ChatDesk
from ropewalk.chat.frames import Cursor, event
from ropewalk.chat.joining import Joining, PodCounts
from ropewalk.chat.outlet import Ways
from ropewalk.chat.place import Place
from ropewalk.chat.relay import Relay
from ropewalk.chat.requests import now_text
from ropewalk.chat.sweeping import Sweep
from ropewalk.chat.viewer import ENDED_BY_US, Viewer
from ropewalk.contracts.session_registry import Connection, SessionRegistry
from ropewalk.errors.chat import BusUnavailable
from ropewalk.server.owned import Caller

log = logging.getLogger("ropewalk")

PING_SECONDS = 30.0
TTL_SECONDS = 30.0
_TICK_SECONDS = 0.5
_QUIET_SECONDS = 1.0
"""After so long without a word of a message that is under way, the log is read."""
_NEW_SECONDS = 3.0
_STORE_SECONDS = 3.0
"""And after so long the store is asked whether its run has stopped."""
_LOOKS_SECONDS = 15.0
_EXPECTED_SECONDS = 5.0
_MOST_EXPECTED = 10_000
_SWEEP_SECONDS = 10.0


def due(connections: Iterable[Connection], tick: int, *, ttl_seconds: float) -> list[Connection]:
    """Return those that are announced again in a tick: each once in a third of its life, and not all in one tick, in
    which nobody would be sent anything.
    """
    ticks = max(1, int(ttl_seconds / 3 / _TICK_SECONDS))
    return [one for one in connections if hash(one.connection_id) % ticks == tick % ticks]


class Pod:
    """The clients of one gateway process."""

    def __init__(
        self,
        pod_id: str,
        desk: ChatDesk,
        *,
        ways: Ways,
        registry: SessionRegistry,
        relay: Relay,
        closing: Closing,
        sweep: Sweep,
        ttl_seconds: float = TTL_SECONDS,
    ) -> None:
        self.pod_id = pod_id
        self.counts = PodCounts()
        self.places: dict[str, Place] = {}
        self._log = ways.log
        self._joining = Joining(desk, ways.log, self.counts, closing)
        self._bus = ways.bus
        self._registry = registry
        self._relay = relay
        self._closing = closing
        self._sweep = sweep
        self._ttl = ttl_seconds
        self._keeper: asyncio.Task[None] | None = None
        self._beginning: set[asyncio.Task[None]] = set()
        self._seen: dict[str, set[str]] = {}
        self._expected: dict[str, float] = {}
        """Messages that were taken here, and whose session has no client here -> when they were last looked at."""
        self._beside: asyncio.Task[None] | None = None
        self._swept = 0.0

    async def start(self) -> None:
        """Listen to workers."""
        await self._bus.listen(self.pod_id, self.hear)
        self._keeper = asyncio.create_task(self._keep(), name="ropewalk: keeper of connections")

    @property
    def viewers(self) -> list[Viewer]:
        return [viewer for place in self.places.values() for viewer in place.viewers]

    def hear(self, body: bytes) -> None:
        """Take a chunk that came over the bus."""
        chunk = read_chunk(body)
        if chunk is None:
            return
        self.counts.chunks += 1
        place = self.places.get(chunk.session_id)
        if chunk.place is None:
            self._relay.take(chunk, is_followed=place is not None)
        elif place is not None:
            place.take(chunk)

    # -- connections --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def connect(self, user: Caller, session_id: str, cursor: Cursor | str | None) -> AsyncGenerator[Viewer]:
        """Let a client follow a session of its own. ``cursor`` as text is one that no pod has told."""
        assert user.owner is not None
        viewer = Viewer(session_id, user.owner, str(uuid.uuid4()))
        connection = Connection(session_id, self.pod_id, viewer.connection_id)
        place = self.places.get(session_id)
        if place is None:
            place = self.places[session_id] = Place(
                session_id, self._log, on_gap=self._count_gap, on_loss=self._begin_anew
            )
        place.viewers.add(viewer)
        joining = asyncio.create_task(self._join(place, viewer, connection, cursor), name="ropewalk: a client joins")
        try:
            yield viewer
        finally:
            joining.cancel()
            place.viewers.discard(viewer)
            if not place.viewers and self.places.get(session_id) is place:
                place.close()
                del self.places[session_id]
            await self._forget([connection])

    def _begin_anew(self, place: Place, viewer: Viewer) -> None:
        task = asyncio.create_task(self._joining.begin_anew(place, viewer), name="ropewalk: a client begins anew")
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _join(self, place: Place, viewer: Viewer, connection: Connection, cursor: Cursor | str | None) -> None:
        await self._announce([connection])
        await self._joining.join(place, viewer, cursor)

    # -- keeping ------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pinged = loop.time()
        for tick in itertools.count():
            await asyncio.sleep(_TICK_SECONDS)
            now = loop.time()
            await self._announce(due(self._connections(), tick, ttl_seconds=self._ttl))
            if now - pinged >= PING_SECONDS:
                pinged = now
                ping = event("ping", {"timestamp": now_text()})
                for viewer in self.viewers:
                    viewer.tell(ping)
            for place in [*self.places.values()]:
                self._look_after(place, now)
            if self._beside is None or self._beside.done():
                self._beside = asyncio.create_task(self._look_at_the_store(now), name="ropewalk: quiet messages")
            await self._note_seen()
            self._relay.look_around(now)

    def _look_after(self, place: Place, now: float) -> None:
        """Read the log where something should have been heard."""
        quiet = [message_id for message_id, at in place.open.items() if now - at > _QUIET_SECONDS]
        since = now - place.checked_at
        is_new = now - place.begun_at < _NEW_SECONDS  # workers may not know of its clients yet
        if ((quiet or is_new) and since > _QUIET_SECONDS) or since > _LOOKS_SECONDS:
            place.checked_at = now
            place.catch_up()

    async def _look_at_the_store(self, now: float) -> None:
        """End the messages whose runs have stopped, and tell again of those that nobody has taken.

        It has a task of its own: a store that is away must not keep connections from being announced.
        """
        for place in [*self.places.values()]:
            for message_id, at in [*place.open.items()]:
                if now - at > _STORE_SECONDS:
                    place.open[message_id] = now
                    await self._closing.close(message_id)
        for message_id, at in [*self._expected.items()]:
            if now - at > _EXPECTED_SECONDS:
                self._expected[message_id] = now
                if await self._closing.close(message_id, asks=False):
                    del self._expected[message_id]
        if now - self._swept >= _SWEEP_SECONDS:
            self._swept = now
            await self._sweep.sweep()

    def expect(self, session_id: str, message_id: str) -> None:
        """See to it that a message which was taken here gets an end, whoever dies who was to write it."""
        place = self.places.get(session_id)
        if place is not None:
            place.watch([message_id])
            return
        self._expected[message_id] = asyncio.get_running_loop().time()
        while len(self._expected) > _MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]

    def note_seen(self, viewer: Viewer, ended: Iterable[str]) -> None:
        """Note that a client was sent the end of messages."""
        self._seen.setdefault(viewer.session_id, set()).update(ended)

    async def _note_seen(self) -> None:
        seen, self._seen = self._seen, {}
        try:
            await asyncio.gather(*[self._log.seen(session, [*ended]) for session, ended in seen.items()])
        except BusUnavailable as trouble:  # a new client is told of these messages once more
            log.debug("what was seen is not noted: %s", trouble)

    def _connections(self) -> list[Connection]:
        return [Connection(one.session_id, self.pod_id, one.connection_id) for one in self.viewers]

    async def _announce(self, connections: list[Connection]) -> None:
        try:
            if connections:
                await self._registry.announce(connections, ttl_seconds=self._ttl)
        except BusUnavailable as trouble:  # it is tried again soon; until then the log is read for what comes
            log.warning("connections are not announced: %s", trouble)

    async def _forget(self, connections: list[Connection]) -> None:
        try:
            await self._registry.forget(connections)
        except BusUnavailable as trouble:
            log.debug("connections are forgotten by themselves: %s", trouble)

    def _count_gap(self) -> None:
        self.counts.gaps += 1

    async def close(self) -> None:
        """Let every stream end; the clients come back elsewhere with their cursors."""
        for viewer in self.viewers:
            viewer.end(ENDED_BY_US)
        tasks = {task for task in (self._keeper, self._beside, *self._beginning) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._joining.close()
        await self._note_seen()
        await self._forget(self._connections())
