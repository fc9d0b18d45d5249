"""A run store in a PostgreSQL database: any number of processes share it, and steps of many runs one round trip."""

from __future__ import annotations

import time
from asyncio import Future
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from ropewalk.contracts import NewRun, RunRecord, SessionStands
from ropewalk.contracts.run_queue import RunQueue
from ropewalk.errors import PartMissing, RunNotFound
from ropewalk.stores.postgres_place import PostgreSQLConfig, config_of_url, dsn_of
from ropewalk.stores.postgres_thread import Job, LoopThread
from ropewalk.stores.rules import check_new_run, known_statuses, store_closed, what_to_prune

if TYPE_CHECKING:
    from ropewalk.stores.postgres_parts import PostgresParts
    from ropewalk.stores.postgres_server import Session

T = TypeVar("T")

_ABOVE_ALL_KEYS = 2**63 - 1


class PostgresRunStore:
    """Keeps runs in the schema ``ropewalk`` of a database; it is made and brought up to date when it is first needed.

    ``database`` is a URL, ``postgresql://user:password@host:port/database``, or a `PostgreSQLConfig`. Connections live
    in a thread of the store's own: any number of event loops may use it at once, and none of them ever waits for a
    socket.
    """

    def __init__(self, database: str | PostgreSQLConfig) -> None:
        self.config = config_of_url(database) if isinstance(database, str) else database
        try:
            from ropewalk.stores import (  # noqa: PLC0415 - the driver is optional, and loaded where it is used
                postgres_admissions,
                postgres_appends,
                postgres_parts,
                postgres_reads,
                postgres_schema,
                postgres_writes,
            )
        except ImportError as error:
            raise PartMissing("The PostgreSQL store", "postgres") from error
        self._admissions, self._appends = postgres_admissions, postgres_appends
        self._reads, self._writes = postgres_reads, postgres_writes
        self._no_tables = postgres_schema.NoTables
        self._closed = False
        self._refusal = partial(store_closed, f"The PostgreSQL store {self.config.shown}")
        make_parts = partial(postgres_parts.PostgresParts, self.config)
        self.thread: LoopThread[PostgresParts] = LoopThread("ropewalk-postgres", make_parts, closed=self._refusal)

    @classmethod
    def from_config(
        cls, *, host: str, database: str, user: str, password: str = "", port: int = 5432, **options: Any
    ) -> Self:
        """Open the store by the parts of its URL; ``options`` are those of `PostgreSQLConfig`."""
        dsn = dsn_of(host=host, port=port, user=user, password=password, database=database)
        return cls(PostgreSQLConfig(dsn=dsn, **options))

    @classmethod
    def from_url(cls, url: str) -> Self:
        return cls(url)

    async def create(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        return await self.admit(run, bodies, for_workers=False)

    async def append(
        self, run_id: str, *, epoch: int, after: int, bodies: Sequence[bytes], status: str, at: float
    ) -> None:
        make = self._appends.Append
        await self._hand(
            lambda future, parts: parts.appends.add(make(future, run_id, epoch, after, bodies, status, at))
        )

    async def claim(self, run_id: str) -> RunRecord:
        return await self.do(lambda session: self._writes.claim(session, run_id))

    async def look(self, run_id: str) -> RunRecord:
        return await self.find(lambda session: self._reads.look(session, run_id), partial(_unknown, run_id))

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[tuple[int, bytes]]:
        return await self.find(
            lambda session: self._reads.read(session, run_id, after, limit, self.config.shown),
            partial(_unknown, run_id),
        )

    async def runs(  # noqa: PLR0913  the filters
        self,
        *,
        graph: str | None = None,
        statuses: Sequence[str] | None = None,
        owner: str | None = None,
        session: str | None = None,
        after: str | None = None,
        limit: int = 100,
        tag: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> list[RunRecord]:
        """Return records, newest first; besides the contract's filters by tag, and by creation: ``since`` <= it <
        ``until``.
        """
        wanted = None if statuses is None else known_statuses(statuses)
        filters = {"graph": graph, "statuses": wanted, "owner": owner, "session_name": session}
        filters |= {"tag": tag, "since": since, "until": until}
        return await self.find(
            lambda session: self._reads.runs(session, after=after, limit=limit, **filters),
            list[RunRecord] if after is None else partial(_unknown, after),
        )

    async def last_turn(self, *, owner: str | None, session: str) -> int:
        return await self.find(lambda connected: self._reads.last_turn(connected, owner, session), int)

    async def whose_turn(self, *, owner: str | None, session: str) -> RunRecord | None:
        return await self.find(lambda connected: self._reads.whose_turn(connected, owner, session), _nobody)

    async def session_stands(self, *, owner: str, session: str, most: int) -> SessionStands:
        return await self.find(
            lambda connected: self._reads.session_stands(connected, owner, session, most),
            lambda: self._reads.NO_SESSION,
        )

    async def tag(self, run_id: str, tags: Sequence[str]) -> None:
        """Give the run exactly these tags, by which `runs` finds it. Raises `RunNotFound`."""
        await self.do(lambda session: self._writes.tag(session, run_id, tags))

    async def save_snapshot(self, run_id: str, *, epoch: int, number: int, body: bytes) -> None:
        await self.do(lambda session: self._writes.save_snapshot(session, run_id, epoch, number, body))

    async def snapshot(self, run_id: str, *, at: int | None = None) -> tuple[int, bytes] | None:
        return await self.find(lambda session: self._reads.snapshot(session, run_id, at), partial(_unknown, run_id))

    async def copy(self, run_id: str, new_run_id: str) -> None:
        await self.do(lambda session: self._writes.copy(session, run_id, new_run_id))

    async def delete(self, run_id: str) -> None:
        await self.do(lambda session: self._writes.delete(session, run_id))

    async def prune(
        self, older_than: timedelta, statuses: Sequence[str] | None = None, *, graph: str | None = None
    ) -> int:
        """Do what the contract says; with ``graph``, to that graph's runs alone."""
        before, wanted = what_to_prune(older_than, statuses, now=time.time())
        pruned = 0
        below = _ABOVE_ALL_KEYS
        while True:
            keys = await self.do(partial(self._stale, before, wanted, graph, below))
            if not keys:
                return pruned
            pruned += await self.do(partial(self._delete_stale, keys, before, wanted))
            below = keys[-1]

    def queue(self) -> RunQueue:
        """Return the queue of this store's runs, for workers and those who submit to them."""
        from ropewalk.stores.postgres_queue import PostgresRunQueue  # noqa: PLC0415 - loaded where it is used

        return PostgresRunQueue(self)

    async def upgrade(self) -> tuple[int, int]:
        """Bring the tables up to date, even where the settings forbid to do it in passing; return the version before
        and after.
        """
        return await self.ask(lambda parts: parts.server.upgrade())

    async def close(self) -> None:
        self._closed = True
        await self.thread.close()

    async def admit(self, run: NewRun, bodies: Sequence[bytes], *, for_workers: bool) -> int:
        """Do what `create` does; ``for_workers`` leaves the run to them, in the same commit."""
        check_new_run(run)
        if run.parent is not None:
            return await self._fork(run, run.parent, bodies, for_workers=for_workers)
        make = self._admissions.Admission
        return await self._hand(lambda future, parts: parts.admissions.add(make(future, run, bodies, for_workers)))

    async def do(self, work: Callable[[Session], Coroutine[Any, Any, T]], *, writes: bool = True) -> T:
        """Have ``work`` done with a connection."""
        return await self.ask(lambda parts: parts.server.work(work, writes=writes))

    async def find(self, work: Callable[[Session], Coroutine[Any, Any, T]], empty: Callable[[], T]) -> T:
        """Have ``work`` done, which only reads; ``empty`` answers for a database without tables, and none are made."""
        try:
            return await self.do(work, writes=False)
        except self._no_tables:
            return empty()

    async def ask(self, work: Callable[[PostgresParts], Coroutine[Any, Any, T]]) -> T:
        """Have ``work`` done in the store's thread."""
        if self._closed:
            raise self._refusal()
        return await self.thread.ask(work)

    def _hand(self, job: Job[PostgresParts]) -> Future[Any]:
        if self._closed:
            raise self._refusal()
        return self.thread.hand(job)

    async def _fork(self, run: NewRun, parent: str, bodies: Sequence[bytes], *, for_workers: bool) -> int:
        async def fork(parts: PostgresParts) -> int:
            epoch = await parts.server.work(
                lambda session: self._writes.fork(session, run, parent, bodies, for_workers=for_workers)
            )
            if for_workers:
                parts.announce(run.graph)
            return epoch

        return await self.ask(fork)

    async def _stale(
        self, before: float, statuses: list[str], graph: str | None, below: int, session: Session
    ) -> list[int]:
        return await self._writes.stale(session, before, statuses, graph, below)

    async def _delete_stale(self, keys: list[int], before: float, statuses: list[str], session: Session) -> int:
        return await self._writes.delete_stale(session, keys, before, statuses)


def _nobody() -> RunRecord | None:
    return None


def _unknown(run_id: str) -> NoReturn:
    raise RunNotFound(run_id)
