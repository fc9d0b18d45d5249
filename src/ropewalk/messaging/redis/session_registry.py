"""The living connections of sessions on a Redis server.

``session:connections:{session_id}`` is the plain set that seeds and strangers know: SMEMBERS gives the living members,
as of the last time that anybody of us announced or asked. When each of them ends is kept beside it, in
``{session:connections:<id>}:ends``. The braces are a cluster's: they make it keep that key where the set is, whose own
name has none, so that one script holds both. Both keys end with their last member. A member that a stranger added is
given five minutes when it is first met; one that a stranger took out is forgotten.

Each session is a script of its own; those that are asked at the same time share a round trip, in a cluster one for
each node.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from ropewalk.contracts.session_registry import Connection
from ropewalk.messaging.redis.asking_desk import AskingDesk
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.talk import Run, beside, script, text
from ropewalk.messaging.session_names import checked_connections, checked_session, pod_of


class RedisSessionRegistry:
    """A registry over a client that stays its maker's to close."""

    def __init__(self, client: AsyncRedisClient) -> None:
        self._asking = AskingDesk(client, "The session registry")

    async def announce(self, connections: Iterable[Connection], *, ttl_seconds: float) -> None:
        ttl_ms = max(1, round(ttl_seconds * 1000))
        runs = [
            Run(script("session_announce", "session_rules"), _keys(session_id), (ttl_ms, *members))
            for session_id, members in _by_session(connections)
        ]
        await self._asked(runs)

    async def forget(self, connections: Iterable[Connection]) -> None:
        runs = [
            Run(script("session_forget", "session_rules"), _keys(session_id), members)
            for session_id, members in _by_session(connections)
        ]
        await self._asked(runs)

    async def pods_of(self, session_ids: Sequence[str]) -> list[frozenset[str]]:
        runs = [Run(script("session_members", "session_rules"), _keys(asked_for), ()) for asked_for in session_ids]
        told = await self._asked(runs)
        return [frozenset(pod for member in members if (pod := pod_of(text(member)))) for members in told]

    async def claim(self, session_id: str, user_id: str, *, ttl_seconds: float) -> bool:
        key = f"chat:owner:{checked_session(session_id)}"
        run = Run(script("session_claim"), (key,), (user_id, max(1, round(ttl_seconds * 1000))))
        return bool(await self._asking.ask(run))

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._asking.close()

    async def _asked(self, runs: Sequence[Run]) -> list[Any]:
        return await asyncio.gather(*map(self._asking.ask, runs))


def _by_session(connections: Iterable[Connection]) -> list[tuple[str, list[str]]]:
    found = defaultdict[str, list[str]](list)
    for one in checked_connections(connections):
        found[one.session_id].append(one.member)
    return list(found.items())


@lru_cache(maxsize=4096)
def _keys(session_id: str) -> tuple[str, str]:
    """Return set, ends."""
    key = f"session:connections:{checked_session(session_id)}"
    return key, beside(key, "ends")
