"""The newest chunks of sessions within one process."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence

from ropewalk.contracts.chunk_log import Appended, Logged, LogPage, Opened
from ropewalk.errors.chat import ChunkRefused, MessageOver
from ropewalk.messaging.memory.session_log import Message, SessionLog
from ropewalk.messaging.session_names import checked_counts, checked_message, checked_session

_SWEEP = 1000
"""After how many openings logs are looked for whose time is over."""


class MemoryChunkLog:
    """The logs that all pods and workers of this process share."""

    def __init__(
        self, *, kept: int = 10_000, kept_seconds: float = 3600.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept = kept
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._logs: dict[str, SessionLog] = {}
        self._until: dict[str, float] = {}
        self._opened = 0

    async def open(self, session_id: str, message_id: str, *, fence: int) -> Opened:
        checked_message(message_id)
        checked_counts(fence)
        log = self._begun(session_id)
        found = log.messages.setdefault(message_id, Message(fence=fence, touched=log.newest))
        if found.is_over:
            raise MessageOver(message_id)
        if found.fence > fence:
            raise ChunkRefused(message_id, fence, found.fence)
        if found.fence < fence:
            found.is_seen = False  # the end that was shown was not that of this writer
        found.fence, found.touched = fence, log.newest
        return Opened(chunks=found.chunks, log=log.name)

    async def append(
        self, session_id: str, message_id: str, bodies: Sequence[bytes], *, fence: int, chunk_id: int, final: bool
    ) -> Appended:
        checked_message(message_id)
        checked_counts(fence, chunk_id)
        return self._begun(session_id).append(message_id, bodies, fence=fence, chunk_id=chunk_id, final=final)

    async def read(self, session_id: str, *, after: int, limit: int = 1000) -> LogPage:
        log = self._known(session_id)
        return _page(log, after, limit) if log else LogPage(log=None)

    async def unseen(self, session_id: str, *, limit: int = 1000) -> LogPage:
        log = self._known(session_id)
        return _page(log, log.begins_unseen() - 1, limit) if log else LogPage(log=None)

    async def seen(self, session_id: str, message_ids: Sequence[str]) -> None:
        log = self._known(session_id)
        for message_id in message_ids if log else ():
            if log and message_id in log.messages:
                log.messages[message_id].is_seen = True

    async def close(self) -> None:
        """Do nothing: others may share it."""

    def _known(self, session_id: str) -> SessionLog | None:
        checked_session(session_id)
        if self._until.get(session_id, 0.0) <= self._clock():
            self._logs.pop(session_id, None)
            self._until.pop(session_id, None)
        return self._logs.get(session_id)

    def _begun(self, session_id: str) -> SessionLog:
        log = self._known(session_id)
        if log is None:
            log = self._logs[session_id] = SessionLog(name=secrets.token_hex(8), kept=self._kept, chunks=deque())
        self._until[session_id] = self._clock() + self._kept_seconds
        self._opened += 1
        if self._opened % _SWEEP == 0:
            for known in list(self._logs):
                self._known(known)
        return log


def _page(log: SessionLog, after: int, limit: int) -> LogPage:
    begin = max(after + 1, log.oldest, 1)
    skipped = begin - log.oldest
    chunks = [log.chunks[at] for at in range(skipped, min(len(log.chunks), skipped + max(0, limit)))]
    logged = tuple(Logged(at=begin + place, body=body) for place, body in enumerate(chunks))
    return LogPage(log=log.name, oldest=log.oldest, newest=log.newest, chunks=logged)
