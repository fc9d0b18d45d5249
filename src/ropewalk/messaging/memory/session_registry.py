"""The living connections of sessions within one process."""

import time
from collections.abc import Callable, Iterable, Sequence

from ropewalk.contracts.session_registry import Connection
from ropewalk.messaging.session_names import checked_connections, checked_session

_SWEEP = 256
"""After how many announcements sessions are looked for that nobody asked about since they ended."""


class MemorySessionRegistry:
    """A registry that all pods and workers of this process share."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, dict[Connection, float]] = {}
        self._owners: dict[str, tuple[str, float]] = {}
        self._announced = 0

    async def announce(self, connections: Iterable[Connection], *, ttl_seconds: float) -> None:
        until = self._clock() + ttl_seconds
        for one in checked_connections(connections):
            self._sessions.setdefault(one.session_id, {})[one] = until
        self._announced += 1
        if self._announced % _SWEEP == 0:
            for session_id in list(self._sessions):
                self._living(session_id)
            self._owners = {key: owner for key, owner in self._owners.items() if owner[1] > self._clock()}

    async def forget(self, connections: Iterable[Connection]) -> None:
        for one in checked_connections(connections):
            self._sessions.get(one.session_id, {}).pop(one, None)
            self._living(one.session_id)

    async def pods_of(self, session_ids: Sequence[str]) -> list[frozenset[str]]:
        return [frozenset(one.pod_id for one in self._living(checked_session(asked))) for asked in session_ids]

    async def claim(self, session_id: str, user_id: str, *, ttl_seconds: float) -> bool:
        now = self._clock()
        owner, until = self._owners.get(checked_session(session_id), (user_id, now))
        if owner != user_id and until > now:
            return False
        self._owners[session_id] = (user_id, now + ttl_seconds)
        return True

    async def close(self) -> None:
        """Do nothing: others may share it."""

    def _living(self, session_id: str) -> list[Connection]:
        now, known = self._clock(), self._sessions.get(session_id, {})
        for gone in [one for one, until in known.items() if until <= now]:
            del known[gone]
        if not known:
            self._sessions.pop(session_id, None)
        return list(known)
