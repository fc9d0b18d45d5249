"""What lives in the thread of a PostgreSQL store: its connections, the writers of groups, and who tells workers."""

import asyncio
from contextlib import suppress

from ropewalk.errors import StoreUnavailable
from ropewalk.stores.postgres_admissions import Admissions
from ropewalk.stores.postgres_appends import Appends
from ropewalk.stores.postgres_groups import Groups
from ropewalk.stores.postgres_listener import Listener
from ropewalk.stores.postgres_place import PostgreSQLConfig
from ropewalk.stores.postgres_server import Known, PostgresServer, Session

_LOCK_WAIT_OF_MANY = "1s"
"""How long a statement of many runs waits for one that somebody holds, before each is done by itself."""
_GROUPS = 2
"""Appends and admissions: each has a connection that nothing else keeps busy."""
_SETTINGS = {"enable_seqscan": "off"}
"""A plan made while the tables were small must not read them whole when they are large."""


class PostgresParts:
    """Made in the thread, closed in it."""

    def __init__(self, config: PostgreSQLConfig) -> None:
        patience = f"{config.connection_timeout * 1000:.0f}ms"
        self.config = config
        known = Known()
        self.server = PostgresServer(
            config, known, limit=config.max_connections - _GROUPS, settings=_SETTINGS | {"lock_timeout": patience}
        )
        self._batches = PostgresServer(
            config, known, limit=_GROUPS, settings=_SETTINGS | {"lock_timeout": _LOCK_WAIT_OF_MANY}
        )
        self.appends = Groups(Appends(self.announce), self._batches, self.server)
        self.admissions = Groups(Admissions(self.announce), self._batches, self.server)
        self.listener = Listener(self.server)
        self._woken: set[str] = set()
        self._announcing: asyncio.Task[None] | None = None

    def announce(self, graph: str) -> None:
        """Tell waiting workers of a run; what comes meanwhile is told together. Only a hint, so trouble is ignored."""
        self._woken.add(graph)
        if self._announcing is None:
            self._announcing = asyncio.get_running_loop().create_task(self._announce())

    async def _announce(self) -> None:
        while self._woken:
            graphs, self._woken = [*self._woken], set()

            async def tell(session: Session, graphs: list[str] = graphs) -> None:
                await session.rows("announce", graphs=graphs)

            with suppress(StoreUnavailable):
                await self.server.work(tell, patient=False)
        self._announcing = None

    def hurry(self) -> None:
        self.listener.wake()

    async def close(self) -> None:
        await self.admissions.close()
        await self.appends.close()
        await self.listener.close()
        if self._announcing is not None:
            await asyncio.wait({self._announcing})
        await self._batches.close()
        await self.server.close()
