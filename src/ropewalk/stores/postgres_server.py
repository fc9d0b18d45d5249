"""Connections to one PostgreSQL server, and what is done again when one breaks.

1. A call gets a connection that nobody uses, or a new one; when all are in use it waits in line.
2. What the server undid (deadlock, timeout, too many clients) is done again, with growing pauses.
3. When the connection was lost, the work is done again and told that it may have been carried out already.
4. A server that does not come back within ``connection_timeout`` seconds is `StoreUnavailable`. One that was never
   reached is so at once: a wrong password or port is told, not waited for.

It belongs to the event loop it is used in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

from ropewalk.stores.postgres_place import PostgreSQLConfig
from ropewalk.stores.postgres_schema import bring_up_to_date
from ropewalk.stores.postgres_sql import named_statements
from ropewalk.stores.postgres_trouble import Verdict, in_our_words, none_free, not_connected, verdict

T = TypeVar("T")
Row = tuple[Any, ...]
Parameters = Mapping[str, object]

_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5
_TROUBLES = (psycopg.Error, OSError)


class Session:
    """One connection, and the statements by name."""

    def __init__(self, connection: AsyncConnection[Row], *, doubtful: bool = False) -> None:
        self.connection = connection
        self.doubtful = doubtful
        """An earlier try of this work may have been carried out, or may yet be."""

    async def rows(self, name: str, **parameters: object) -> list[Row]:
        cursor = self.connection.cursor(binary=True)
        await cursor.execute(named_statements()[name], parameters, prepare=True)
        return await cursor.fetchall()

    async def row(self, name: str, **parameters: object) -> Row | None:
        cursor = self.connection.cursor(binary=True)
        await cursor.execute(named_statements()[name], parameters, prepare=True)
        return await cursor.fetchone()

    async def do(self, name: str, **parameters: object) -> int:
        """Return how many rows were changed."""
        cursor = self.connection.cursor(binary=True)
        await cursor.execute(named_statements()[name], parameters, prepare=True)
        return cursor.rowcount


class Known:
    """What this process has found out about the server."""

    def __init__(self) -> None:
        self.was_reached = False
        self.is_current = False
        """The tables are up to date."""
        self.migrating = asyncio.Lock()


class PostgresServer:
    """At most ``limit`` connections with these ``settings``; the first brings the tables up to date."""

    def __init__(self, config: PostgreSQLConfig, known: Known, *, limit: int, settings: Mapping[str, str]) -> None:
        self.config = config
        self._known = known
        self._settings = settings
        self._room = asyncio.Semaphore(limit)
        self._idle: list[AsyncConnection[Row]] = []

    async def work(
        self,
        work: Callable[[Session], Awaitable[T]],
        *,
        writes: bool = True,
        patient: bool = True,
        doubtful: bool = False,
    ) -> T:
        """Do ``work`` with a connection, again where that is safe; ``doubtful`` says that it may have been done before.

        Raises `StoreUnavailable`, what ``work`` raises, and `NoTables` when it does not write and there are none yet.
        """
        loop = asyncio.get_running_loop()
        began: float | None = None
        pause = _FIRST_PAUSE_SECONDS
        while True:
            reached = False
            try:
                connection = await self._take(writes=writes)
                reached = True
                try:
                    return await work(Session(connection, doubtful=doubtful))
                finally:
                    await self._give_back(connection)
            except _TROUBLES as trouble:
                found = verdict(trouble)
                if found in (Verdict.LOST, Verdict.ELSEWHERE):
                    await self._drop_idle()
                doubtful |= writes and reached and found is Verdict.LOST
                began = loop.time() if began is None else began
                waited = loop.time() - began
                over = waited + pause > self.config.connection_timeout or not patient
                if over or found is Verdict.FINAL or not self._known.was_reached:
                    raise self._told(trouble, reached=reached, doubtful=doubtful, waited=waited) from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def upgrade(self) -> tuple[int, int]:
        """Bring the tables up to date, whatever the settings say; return the version before and after."""

        async def upgrade(session: Session) -> tuple[int, int]:
            return await bring_up_to_date(session.connection, self.config.shown, migrate=True)

        self._known.is_current = True  # so that no connection asks on the way
        try:
            return await self.work(upgrade)
        except BaseException:
            self._known.is_current = False
            raise

    async def open(self, *, writes: bool = True) -> AsyncConnection[Row]:
        """Return a new connection, which its caller closes. Raises what the driver raises."""
        connection = await AsyncConnection[Row].connect(self.config.conninfo, autocommit=True)
        try:
            for name, value in self._settings.items():
                await connection.execute(b"SELECT set_config(%s, %s, false)", (name, value))
            self._known.was_reached = True
            await self._bring_up_to_date(connection, writes=writes)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def close(self) -> None:
        await self._drop_idle()

    async def _take(self, *, writes: bool) -> AsyncConnection[Row]:
        """Return a connection, which is then given back."""
        if self._room.locked():
            await self._wait_in_line()
        else:
            await self._room.acquire()
        try:
            return self._idle.pop() if self._idle else await self.open(writes=writes)
        except BaseException:
            self._room.release()
            raise

    async def _wait_in_line(self) -> None:
        try:
            async with asyncio.timeout(self.config.connection_timeout):
                await self._room.acquire()
        except TimeoutError:
            raise none_free(self.config) from None

    async def _give_back(self, connection: AsyncConnection[Row]) -> None:
        try:
            if connection.info.transaction_status is TransactionStatus.IDLE:
                self._idle.append(connection)
            else:
                await connection.close()
        finally:
            self._room.release()

    async def _bring_up_to_date(self, connection: AsyncConnection[Row], *, writes: bool) -> None:
        if self._known.is_current:
            return
        async with self._known.migrating:
            if not self._known.is_current:
                await bring_up_to_date(connection, self.config.shown, migrate=self.config.migrate, writes=writes)
                self._known.is_current = True

    async def _drop_idle(self) -> None:
        """What broke one connection has most likely broken the others."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    def _told(self, trouble: BaseException, *, reached: bool, doubtful: bool, waited: float) -> Exception:
        if reached or doubtful or verdict(trouble) is Verdict.FINAL:
            if reached and isinstance(trouble, psycopg.DataError):  # what this caller gave can be stored nowhere
                return ValueError(f"This cannot be kept in PostgreSQL: {trouble}")
            return in_our_words(trouble, self.config, doubtful=doubtful)
        return not_connected(trouble, self.config, seconds=waited)
