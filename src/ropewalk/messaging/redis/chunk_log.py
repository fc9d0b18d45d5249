"""The newest chunks of sessions on a Redis server.

1. The log of session S is the stream ``chat:log:{S}``, its entries ``1-0``, ``2-0``, ... without gaps, each with the
   field ``b``; beside it, in the same place of a cluster, what is known of its messages.
2. Each call is one script: it decides by what stands there, so that it may be repeated, and so that two writers meet.
3. Appends of one turn of the loop, and of the time in which the one before is under way, share one round trip; so do
   all other calls.

The append is synchronous for the server as anything else: what a server had answered and lost with its memory begins a
new life of the log. Where logs should outlive a restart let the server keep an append-only file.
"""

import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ropewalk.contracts.chunk_log import Appended, Logged, LogPage, Opened
from ropewalk.errors.chat import ChunkRefused, MessageOver
from ropewalk.messaging.redis.append_desk import AppendDesk
from ropewalk.messaging.redis.asking_desk import AskingDesk
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.talk import Run, beside, script, text
from ropewalk.messaging.session_names import checked_counts, checked_message, checked_session


class RedisChunkLog:
    """Logs for the tasks of one event loop, over a client that stays its maker's to close."""

    def __init__(self, client: AsyncRedisClient, *, kept: int = 10_000, kept_seconds: float = 3600.0) -> None:
        """Keep the newest ``kept`` chunks of a session, for ``kept_seconds`` (and at most a minute more)."""
        self._ttl_ms = max(1, round(kept_seconds * 1000))
        self._desk = AppendDesk(client, kept=kept, ttl_ms=self._ttl_ms)
        self._asking = AskingDesk(client, "The chunk log")

    async def open(self, session_id: str, message_id: str, *, fence: int) -> Opened:
        checked_message(message_id)
        checked_counts(fence)
        told = await self._asked("log_open", session_id, self._ttl_ms, secrets.token_hex(8), message_id, fence)
        match text(told[0]):
            case "over":
                raise MessageOver(message_id)
            case "refused":
                raise ChunkRefused(message_id, fence, int(told[1]))
            case _:
                return Opened(chunks=int(told[1]), log=text(told[2]))

    async def append(
        self, session_id: str, message_id: str, bodies: Sequence[bytes], *, fence: int, chunk_id: int, final: bool
    ) -> Appended:
        checked_message(message_id)
        checked_counts(fence, chunk_id)
        head = b"%d %d %d %d" % (fence, chunk_id, final, len(bodies))
        told = await self._desk.add(keys_of(session_id), (message_id.encode(), head, *bodies))
        first, chunks, refused, skipped, log = told.split()
        return Appended(
            first=int(first), log=log.decode(), chunks=int(chunks), refused=refused == b"1", skipped=int(skipped)
        )

    async def read(self, session_id: str, *, after: int, limit: int = 1000) -> LogPage:
        return _page(await self._asked("log_read", session_id, max(0, after), limit))

    async def unseen(self, session_id: str, *, limit: int = 1000) -> LogPage:
        return _page(await self._asked("log_read", session_id, "", limit))

    async def seen(self, session_id: str, message_ids: Sequence[str]) -> None:
        if message_ids:
            await self._asked("log_seen", session_id, *message_ids)

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._desk.close()
        await self._asking.close()

    async def _asked(self, name: str, session_id: str, *arguments: str | int) -> Any:
        return await self._asking.ask(Run(script(name, "log_rules"), keys_of(session_id), arguments))


@lru_cache(maxsize=4096)
def keys_of(session_id: str) -> tuple[str, str, str]:
    """Return stream, about, open."""
    stream = f"chat:log:{{{checked_session(session_id)}}}"
    return stream, beside(stream, "about"), beside(stream, "open")


def _page(told: Any) -> LogPage:
    if told is None:
        return LogPage(log=None)
    name, newest, count, entries = told
    chunks = tuple(Logged(at=int(place.partition(b"-")[0]), body=fields[1]) for place, fields in entries)
    return LogPage(log=text(name), oldest=int(newest) - count + 1, newest=int(newest), chunks=chunks)
