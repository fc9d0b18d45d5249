"""What keeps the newest chunks of each session, so that any pod can fill a gap and serve who comes late or returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """How a message stands in the log of its session when somebody begins to write it."""

    chunks: int
    """How many chunks it has: the next ``chunk_id``."""
    log: str
    """The life of the log: another one when it was lost or has expired, and began anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Appended:
    """What became of chunks that were appended."""

    first: int
    """The place of the first of them; the others follow without a gap. 0: nothing was appended."""
    log: str
    chunks: int
    """How many chunks the message has now."""
    refused: bool = False
    """Somebody else writes the message now: their fence is higher than ours. Or the message is over."""
    skipped: int = 0
    """How many of the given ones the message had already: ``first`` is the place of the one behind them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """One chunk in its place."""

    at: int
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPage:
    """A part of a session's log."""

    log: str | None
    """None: there is no log, or no longer."""
    oldest: int = 1
    """The place of the oldest chunk that is still kept; newest + 1 when there is none."""
    newest: int = 0
    chunks: Sequence[Logged] = field(default_factory=tuple[Logged, ...])


class ChunkLog(Protocol):
    """The newest chunks of sessions, each session's in one order.

    Guarantees:

    - **One order.** Places count from 1 without gaps, over all messages of the session, whoever writes.
    - **Fenced.** A message is written by the one with the highest fence it was opened with: what another one appends
      is refused, however late it comes. After its final chunk nothing is appended to a message.
    - **Once.** Chunks are appended by their ``chunk_id``: those below what the message has are not appended again, so
      that an append whose answer was lost may be repeated; a higher one than the next is refused like a lower fence.
    - **Bounded.** The newest ten thousand chunks of a session are kept, for an hour after the last append.
    - **May be lost.** A log that was lost begins a new life, under another name: `append` then answers with that name
      and appends nothing when chunks are missing before it (``refused`` is false, ``first`` 0): the writer opens the
      message again.
    """

    async def open(self, session_id: str, message_id: str, *, fence: int) -> Opened:
        """Write a message from now on: who writes it with a lower fence is refused. Raises `ChunkRefused` when somebody
        writes it with a higher one, `MessageOver` when it is over; `BusUnavailable`.
        """
        ...

    async def append(
        self, session_id: str, message_id: str, bodies: Sequence[bytes], *, fence: int, chunk_id: int, final: bool
    ) -> Appended:
        """Append chunks, the first of them with ``chunk_id``; the last ends the message when ``final``. Raises
        `BusUnavailable`: then they may be in the log or not, and the same call may be repeated. A fence that is higher
        than the message was opened with is answered like a log that was lost: open it first. The appends of one
        message are made one after the other.
        """
        ...

    async def read(self, session_id: str, *, after: int, limit: int = 1000) -> LogPage:
        """Return what stands behind the place ``after``. Raises `BusUnavailable`."""
        ...

    async def unseen(self, session_id: str, *, limit: int = 1000) -> LogPage:
        """Return where a new reader begins: at the first chunk of the oldest message that is not over, or whose end
        nobody has seen; behind the newest when there is no such message. Raises `BusUnavailable`.
        """
        ...

    async def seen(self, session_id: str, message_ids: Sequence[str]) -> None:
        """Note that somebody was shown the end of these messages. Raises `BusUnavailable`."""
        ...

    async def close(self) -> None: ...
