"""The way of one message's chunks: into its session's log, then, with their places, to the pods of the session."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from ropewalk.chat import chunks
from ropewalk.chat.chunks import Head
from ropewalk.chat.whereabouts import Whereabouts
from ropewalk.contracts.chunk_log import Appended, ChunkLog
from ropewalk.contracts.pod_bus import PodBus
from ropewalk.errors.chat import BusUnavailable, ChunkRefused

log = logging.getLogger("ropewalk")

Make = Callable[[Head, int, str], bytes]
"""Makes a chunk of a number and a text."""
_AGAIN_SECONDS = (0.05, 2.0)
_WITHIN_AN_EPOCH = 1 << 20
"""So many may write a message one after the other while its run has one owner: who drives it, and those who end it."""
_STEP = 1000
_NOT_OPENED = Appended(first=0, log="", chunks=0)


@dataclass(slots=True, kw_only=True)
class Told:
    """What a process has told, for those who count."""

    chunks: int = 0
    resets: int = 0
    unavailable: int = 0
    """How often the log could not be reached."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """What chunks are carried by."""

    log: ChunkLog
    bus: PodBus
    whereabouts: Whereabouts
    told: Told


class Outlet:
    """Writes the chunks of one message with one fence, one at a time. Used by one task.

    A message that nobody can have written before need not be opened: its first chunk does that, or finds that somebody
    has written it all the same, and then it is told anew.

    A log that cannot be reached is tried again until it can, or the task is cancelled.
    """

    def __init__(self, head: Head, fence: int, ways: Ways, whole: Callable[[], str]) -> None:
        """``fence`` is the epoch of the message's run; ``whole`` gives the text as it stands with all that was given to
        `say`: for a log that was lost.
        """
        self.head = head
        self._fence = fence * _WITHIN_AN_EPOCH
        self._ways = ways
        self._whole = whole
        self._next = 0
        self._log = ""
        """The life of the log in which the message was opened; empty: it was not, and its first chunk opens it."""

    async def open(self) -> bool:
        """Write the message from now on; tell whether clients may have something of it: it has chunks already, or the
        log was away, and they were told from the store meanwhile.

        Raises `ChunkRefused` and `MessageOver`.
        """
        wait, longest = _AGAIN_SECONDS
        was_away = False
        while True:
            try:
                opened = await self._ways.log.open(self.head.session_id, self.head.message_id, fence=self._fence)
            except BusUnavailable as trouble:
                self._count(trouble)
                was_away = True
                await asyncio.sleep(wait)
                wait = min(longest, wait * 2)
            else:
                self._next, self._log = opened.chunks, opened.log
                return was_away or opened.chunks > 0

    async def take_over(self) -> None:
        """Write a message to its end in place of whoever drove its run: that one is refused from now on, and so is
        another one who ends it. Raises `ChunkRefused` when the run has another owner, and `MessageOver`.
        """
        epoch = self._fence // _WITHIN_AN_EPOCH
        while True:
            self._fence += 1 + secrets.randbelow(_STEP)
            try:
                await self.open()
            except ChunkRefused as refused:
                if refused.held // _WITHIN_AN_EPOCH != epoch:
                    raise
                self._fence = refused.held
            else:
                return

    async def anew(self, text: str) -> None:
        """Say that the text so far is void, and what stands for it. Raises `ChunkRefused`."""
        self._ways.told.resets += 1
        await self.say(text, chunks.reset, is_text=False)

    async def say(self, text: str, make: Make = chunks.content, *, final: bool = False, is_text: bool = True) -> None:
        """Say one chunk; it is in the log on return. Raises `ChunkRefused`."""
        if final and is_text and text and not self._next:  # two, so that a log that was lost can be told from this one
            await self.say(text)
            text = ""
        while True:
            body = make(self.head, self._next, text)
            appended = await self._appended(body, final)
            if appended.refused:
                raise ChunkRefused(self.head.message_id, self._fence, self._fence + 1)
            if appended.first:
                self._next = appended.chunks
                await self._send(chunks.placed(body, appended.log, appended.first))
                before, self._log = self._log, appended.log
                if before not in ("", appended.log) and not final:  # it was lost before the first chunk
                    await self.anew(self._whole())
                return
            if self._log:
                log.info("message %s is written again: the log of its session was lost", self.head.message_id)
            await self.open()
            if make is not chunks.reset:
                await self.anew(self._whole())
                if is_text and not final:
                    return
                text = ""

    async def _appended(self, body: bytes, final: bool) -> Appended:
        wait, longest = _AGAIN_SECONDS
        where = (self.head.session_id, self.head.message_id)
        while True:
            try:
                return await self._ways.log.append(*where, [body], fence=self._fence, chunk_id=self._next, final=final)
            except BusUnavailable as trouble:
                self._count(trouble)
                if not self._log:  # clients may be told from the store meanwhile: it is opened first
                    return _NOT_OPENED
                await asyncio.sleep(wait)
                wait = min(longest, wait * 2)

    async def _send(self, body: bytes) -> None:
        self._ways.told.chunks += 1
        pods = await self._ways.whereabouts.of(self.head.session_id)
        if pods:
            self._ways.bus.publish(pods, body)
        else:
            self._ways.bus.broadcast(self.head.session_id, body)

    def _count(self, trouble: BusUnavailable) -> None:
        if not self._ways.told.unavailable:
            log.warning("chunks wait: %s", trouble)
        self._ways.told.unavailable += 1
