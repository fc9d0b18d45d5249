"""A run queue in the PostgreSQL store itself: a lease is a row beside the run, measured by the database's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ropewalk.contracts import NewRun
from ropewalk.contracts.run_queue import NO_RUNS, ClaimedRun, LeaseRenewer, QueuedRun
from ropewalk.errors import RunNotFound
from ropewalk.stores.postgres_reads import record
from ropewalk.stores.postgres_renewer import PostgresLeaseRenewer
from ropewalk.stores.postgres_server import Row

if TYPE_CHECKING:
    from ropewalk.stores.postgres import PostgresRunStore
    from ropewalk.stores.postgres_parts import PostgresParts


_MOST_ENTRIES_ALONG, _MOST_BYTES_ALONG = 20, 64 * 1024
"""A log that is no longer comes along with its claim."""


class PostgresRunQueue:
    """The queue of the runs in ``store``, whose connections it uses; it ends with the store."""

    def __init__(self, store: PostgresRunStore) -> None:
        self._store = store

    async def submit(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        return await self._store.admit(run, bodies, for_workers=True)

    async def adopt(self, run_id: str) -> None:
        rows = await self._rows("adopt", run_id=run_id)
        if not rows:
            raise RunNotFound(run_id)
        await self._announce({graph for (graph,) in rows})

    async def claim(
        self,
        worker: str,
        *,
        graphs: Sequence[str],
        ttl_seconds: float,
        limit: int = 1,
        without: Mapping[str, int] = NO_RUNS,
    ) -> list[ClaimedRun]:
        rows = await self._rows(
            "take",
            worker=worker,
            graphs=[*dict.fromkeys(graphs)],
            ttl=float(ttl_seconds),
            limit=max(limit, 0),
            without=[*without],
            lasts=[*without.values()],
            entries=_MOST_ENTRIES_ALONG,
            bytes=_MOST_BYTES_ALONG,
        )
        return [_claimed(row) for row in rows]

    async def hold(self, run_id: str, worker: str, *, ttl_seconds: float) -> ClaimedRun | None:
        rows = await self._rows("hold", run_id=run_id, worker=worker, ttl=float(ttl_seconds))
        return ClaimedRun(record=record(rows[0]), taken_from=rows[0][-1]) if rows else None

    async def wake(self, run_id: str) -> None:
        await self._announce({graph for (graph,) in await self._rows("wake", run_id=run_id)})

    async def wake_next(self, run_ids: Sequence[str]) -> None:
        await self._announce({graph for (graph,) in await self._rows("wake_next", run_ids=[*run_ids])})

    def renewer(self, worker: str) -> LeaseRenewer:
        return PostgresLeaseRenewer(self._store.config, worker)

    async def release(self, worker: str, claims: Mapping[str, int], *, wake_in_seconds: float = 0.0) -> None:
        rows = await self._rows(
            "release", worker=worker, run_ids=[*claims], epochs=[*claims.values()], wake_in=float(wake_in_seconds)
        )
        if wake_in_seconds <= 0:
            await self._announce({graph for (graph,) in rows})

    async def wait(
        self, graphs: Sequence[str], *, at_most_seconds: float, without: Mapping[str, int] = NO_RUNS
    ) -> None:
        await self._store.ask(lambda parts: parts.listener.wait(graphs, at_most_seconds, without))

    async def stranded(self, *, limit: int = 100) -> list[str]:
        return [run_id for (run_id,) in await self._found("stranded", limit=limit)]

    async def queued(self, run_id: str) -> QueuedRun | None:
        rows = await self._found("queued", run_id=run_id)
        return _queued(rows[0]) if rows else None

    async def overdue(self, *, for_seconds: float, limit: int = 100) -> list[QueuedRun]:
        return [_queued(row) for row in await self._found("overdue", seconds=float(for_seconds), limit=limit)]

    async def _rows(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return await self._store.do(lambda session: session.rows(name, **parameters))

    async def _found(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return await self._store.find(lambda session: session.rows(name, **parameters), list)

    async def _announce(self, graphs: set[str]) -> None:
        if not graphs:
            return

        async def announce(parts: PostgresParts) -> None:
            for graph in graphs:
                parts.announce(graph)

        await self._store.ask(announce)


def _claimed(row: Row) -> ClaimedRun:
    taken_from, in_turn = row[-3:-1]
    bodies: list[bytes] | None = row[-1]
    run = record(row)
    entries = None
    if bodies is not None and len(bodies) == run.last:  # else somebody has appended in this very moment
        entries = [*enumerate(bodies, 1)]
    return ClaimedRun(record=run, taken_from=taken_from, entries=entries, in_turn=in_turn)


def _queued(row: tuple[Any, ...]) -> QueuedRun:
    run_id, graph, worker, due_seconds = row
    return QueuedRun(run_id=run_id, graph=graph, worker=worker, due_seconds=due_seconds)
