"""The live events of runs within one process."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from ropewalk.contracts.live_events import Cursor, OnAsked

_MOST_WAITING = 10_000
"""How many batches may wait for one reader that does not read."""


class MemoryLiveEvents:
    """What drivers and readers of this process share."""

    def __init__(self) -> None:
        self._readers: dict[str, list[asyncio.Queue[list[bytes]]]] = {}
        self._answers: list[OnAsked] = []
        self._on_nobody: list[Callable[[str], None]] = []
        self.dropped = 0

    def say(self, run_id: str, bodies: list[bytes]) -> None:
        for reader in self._readers.get(run_id, ()):
            try:
                reader.put_nowait(list(bodies))
            except asyncio.QueueFull:
                self.dropped += len(bodies)

    async def answer(self, on_asked: OnAsked) -> None:
        self._answers.append(on_asked)

    async def heed(self, *, on_nobody: Callable[[str], None], on_doubt: Callable[[], None]) -> None:
        self._on_nobody.append(on_nobody)  # nothing comes between who asks and who answers: there is never a doubt

    def say_first(self, run_id: str, bodies: list[bytes]) -> None:
        self.say(run_id, bodies)
        asyncio.get_running_loop().call_soon(self._tell_if_nobody, run_id)

    def _tell_if_nobody(self, run_id: str) -> None:
        if run_id not in self._readers:
            for on_nobody in self._on_nobody:
                on_nobody(run_id)

    @asynccontextmanager
    async def follow(self, run_id: str, after: Cursor) -> AsyncGenerator[AsyncIterator[list[bytes]]]:
        reader = asyncio.Queue[list[bytes]](_MOST_WAITING)
        self._readers.setdefault(run_id, []).append(reader)
        kept = [bodies for on_asked in self._answers if (bodies := on_asked(run_id, after))]
        try:
            yield _told(kept, reader)
        finally:
            self._readers[run_id].remove(reader)
            if not self._readers[run_id]:
                del self._readers[run_id]

    async def close(self) -> None:
        self._answers.clear()
        self._on_nobody.clear()


async def _told(kept: list[list[bytes]], reader: asyncio.Queue[list[bytes]]) -> AsyncIterator[list[bytes]]:
    for bodies in kept:
        yield bodies
    while True:
        yield await reader.get()
