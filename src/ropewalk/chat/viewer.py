"""One client's stream at a pod: what is to be sent to it, in order, and why it ends. Nothing waits for it."""

import asyncio
from collections import deque
from typing import Any

from ropewalk.chat.frames import Frame

MOST_BYTES = 1024 * 1024
"""What may wait for a client; a slower one is closed, and comes back with its cursor."""
ENDED_BY_US, TOO_SLOW = "closing", "overrun"


class Viewer:
    """A client that follows a session."""

    def __init__(self, session_id: str, user_id: str, connection_id: str) -> None:
        self.session_id = session_id
        self.user_id = user_id
        self.connection_id = connection_id
        self.owner: str | None = user_id
        self.at = 0
        """The newest place that was given to it."""
        self.is_live = False
        """It has caught up with its session, and is given what comes."""
        self.why: str | None = None
        """Why it ends; None: it goes on."""
        self.sending: asyncio.Task[Any] | None = None
        """What waits for its connection to take more; it is cancelled when so much waits that the client must go."""
        self.sent = 0
        """How many pieces its connection took."""
        self._waiting: deque[Frame | bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()

    def give(self, frames: list[Frame]) -> None:
        """Let it have frames, in order; what it has is passed over."""
        for frame in frames if self.why is None else ():
            if frame.at > self.at:
                self.at = frame.at
                self._waiting.append(frame)
                self._size += len(frame.head) + len(frame.tail)
        if self._size > MOST_BYTES:
            self.end(TOO_SLOW)
        self._wake.set()

    def tell(self, data: bytes) -> None:
        """Let it have something that is in no log: a ping."""
        if self.why is None:
            self._waiting.append(data)
            self._size += len(data)
        self._wake.set()

    def end(self, why: str) -> None:
        """Let its stream end, with what waits unsent."""
        if self.why is None:
            self.why = why
            self._waiting.clear()
            if why == TOO_SLOW and self.sending is not None:
                self.sending.cancel()
        self._wake.set()

    async def take(self) -> tuple[bytes, list[str]] | None:
        """Return what is to be sent now, and the messages that end with it; None when the stream is over."""
        while self.why is None and not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        if self.why is not None:
            return None
        pieces: list[bytes] = []
        ended: list[str] = []
        while self._waiting:
            one = self._waiting.popleft()
            if isinstance(one, bytes):
                pieces.append(one)
                continue
            pieces += (one.head, one.tail)
            if one.ends is not None:
                ended.append(one.ends)
        self._size = 0
        return b"".join(pieces), ended
