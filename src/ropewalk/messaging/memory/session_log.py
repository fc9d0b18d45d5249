"""One session's log: what may be appended, by whom, and what is forgotten. The script log_append.lua is its twin."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ropewalk.contracts.chunk_log import Appended


@dataclass(kw_only=True, slots=True)
class Message:
    """How one message stands."""

    fence: int
    touched: int
    """The newest place when it was last opened or appended to."""
    chunks: int = 0
    first: int = 0
    """The place of its first chunk; 0: it has none."""
    is_over: bool = False
    is_seen: bool = False
    last_id: int = 0
    """The first chunk_id of the last append. The same append again gets the same answer."""
    last_at: int = 0
    """Its place."""


@dataclass(kw_only=True, slots=True)
class SessionLog:
    """The chunks of a session in their places."""

    name: str
    kept: int
    chunks: deque[bytes]
    newest: int = 0
    messages: dict[str, Message] = field(default_factory=dict[str, Message])

    @property
    def oldest(self) -> int:
        return self.newest - len(self.chunks) + 1

    def append(self, message_id: str, bodies: Sequence[bytes], *, fence: int, chunk_id: int, final: bool) -> Appended:
        """Append what the message does not have yet; see `ChunkLog.append`."""
        found = self.messages.get(message_id)
        if found is None and chunk_id == 0:
            found = self.messages[message_id] = Message(fence=fence, touched=self.newest)
        if found is None or found.fence < fence:
            return Appended(first=0, log=self.name, chunks=found.chunks if found else 0)
        if found.fence > fence or chunk_id > found.chunks:
            return Appended(first=0, log=self.name, chunks=found.chunks, refused=True)
        count = len(bodies)
        if count and chunk_id + count == found.chunks and chunk_id <= found.last_id:
            return self._ended(found, found.last_at, skipped=found.last_id - chunk_id, final=final)
        skipped = min(count, found.chunks - chunk_id)
        if found.is_over and skipped < count:
            return Appended(first=0, log=self.name, chunks=found.chunks, refused=True)
        first = self._added(found, bodies[skipped:]) if skipped < count else 0
        return self._ended(found, first, skipped=skipped, final=final and chunk_id + count == found.chunks)

    def begins_unseen(self) -> int:
        """Return the place where a new reader begins."""
        firsts = (one.first for one in self.messages.values() if one.first and not (one.is_over and one.is_seen))
        return max(self.oldest, min(firsts, default=self.newest + 1))

    def _added(self, found: Message, bodies: Sequence[bytes]) -> int:
        first, before = self.newest + 1, self.newest
        self.chunks.extend(bodies)
        self.newest += len(bodies)
        while len(self.chunks) > self.kept:
            self.chunks.popleft()
        found.first = found.first or first
        found.touched = self.newest
        found.last_id, found.last_at = found.chunks, first
        found.chunks += len(bodies)
        step = max(1, self.kept // 10)
        if self.newest > self.kept and before // step < self.newest // step:
            self._forget_messages()
        return first

    def _ended(self, found: Message, first: int, *, skipped: int, final: bool) -> Appended:
        found.is_over = found.is_over or final
        return Appended(first=first, log=self.name, chunks=found.chunks, skipped=skipped)

    def _forget_messages(self) -> None:
        """Forget what was not written since the oldest chunk that is kept."""
        for message_id in [one for one, found in self.messages.items() if found.touched < self.oldest]:
            del self.messages[message_id]
