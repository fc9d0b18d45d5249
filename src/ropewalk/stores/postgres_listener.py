"""Hears of work: one connection that listens, for all who wait.

A lost notification costs time, never a run: whoever waits looks by itself when the next run is due, and now and then.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf

import psycopg

from ropewalk.errors import StoreUnavailable
from ropewalk.stores.postgres_server import PostgresServer, Session

_LISTEN = b"LISTEN ropewalk_work"
_LONGEST_NAME = 200
"""What a notification carries of a graph's name."""
_SECONDS_AFTER_TROUBLE = 1.0


class Listener:
    """Belongs to the store's thread."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._waiting: dict[asyncio.Event, frozenset[str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        """The connection listens, or could not be had."""

    async def wait(self, graphs: Sequence[str], at_most_seconds: float, without: Mapping[str, int]) -> None:
        """Return when a run of these graphs is due that is not passed over, or is announced, or the time is over."""
        heard = asyncio.Event()
        self._waiting[heard] = frozenset(graph[:_LONGEST_NAME] for graph in graphs)
        try:
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._listen())
            await self._tried.wait()  # what is announced while the table is looked at must be heard
            with suppress(TimeoutError):
                async with asyncio.timeout(min(at_most_seconds, await self._due_in(graphs, without))):
                    await heard.wait()
        finally:
            del self._waiting[heard]

    def wake(self) -> None:
        """Let everybody return."""
        for heard in self._waiting:
            heard.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _due_in(self, graphs: Sequence[str], without: Mapping[str, int]) -> float:
        async def next_wake(session: Session) -> float:
            row = await session.row("next_wake", graphs=[*graphs], without=[*without], lasts=[*without.values()])
            return inf if row is None or row[0] is None else max(row[0], 0.0)

        try:
            return await self._server.work(next_wake, patient=False)
        except StoreUnavailable:
            return inf

    async def _listen(self) -> None:
        while True:
            with suppress(psycopg.Error, OSError, StoreUnavailable):
                connection = await self._server.open()
                try:
                    await connection.execute(_LISTEN)
                    self._tried.set()
                    async for told in connection.notifies():
                        for heard, graphs in self._waiting.items():
                            if told.payload in graphs:
                                heard.set()
                finally:
                    await connection.close()
            self._tried.set()
            self.wake()  # what was announced meanwhile was not heard
            await asyncio.sleep(_SECONDS_AFTER_TROUBLE)
