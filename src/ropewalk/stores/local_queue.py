"""A run queue in this process, over a store that has none: leases and what is due are kept in memory.

1. What is left to the workers of this process stands in a table, which follows every write that goes through the store.
2. When the process dies, so does the table. The next one finds every RUNNING run in the store, due at once; one that
   somebody had taken is told as held by `EARLIER_PROCESS`.
3. A lease is measured by this process's monotonic clock. The epoch in the store fences, as everywhere.

An append that was cut off, or whose fate is not known, is carried to its end or leaves its run due: who claims it then
asks the store how it stands.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

from ropewalk.contracts import NewRun, RunRecord, RunStore
from ropewalk.contracts.run_queue import EARLIER_PROCESS, NO_RUNS, ClaimedRun, LeaseRenewer, QueuedRun
from ropewalk.errors import RunNotFound

T = TypeVar("T")

_PAGE = 500


@dataclass(kw_only=True, slots=True, eq=False)
class Work:
    """A run that is due, held, or set for later."""

    run_id: str
    graph: str
    last: int
    wake_at: float
    run_epoch: int
    """The run's newest."""
    worker: str | None = None
    epoch: int = 0
    """With which the lease was given."""

    def has(self, worker: str) -> bool:
        return self.worker == worker and self.epoch == self.run_epoch


class Table:
    """What stands in the queue, and who waits for it; any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.works: dict[str, Work] = {}
        self._waiting: dict[asyncio.Event, tuple[asyncio.AbstractEventLoop, frozenset[str]]] = {}

    def make_due(self, record: RunRecord, worker: str | None = None) -> None:
        with self.lock:
            self.works[record.run_id] = Work(
                run_id=record.run_id,
                graph=record.graph,
                last=record.last,
                wake_at=self.clock(),
                run_epoch=record.epoch,
                worker=worker,
                epoch=record.epoch,
            )
        self.tell({record.graph})

    def take(
        self, worker: str, ttl: float, graphs: Iterable[str], limit: int, without: Mapping[str, int]
    ) -> list[Work]:
        """Give due runs to a worker, the longest waiting of each graph in turn; return them as they were."""
        with self.lock:
            due = [self._due(graph, without)[:limit] for graph in dict.fromkeys(graphs)]
            ranked = sorted((rank, one.wake_at, one.run_id) for of in due for rank, one in enumerate(of))
            chosen = [self.works[run_id] for _, _, run_id in ranked[:limit]]
            return [self._lease(work, worker, ttl) for work in chosen]

    def hold(self, run_id: str, worker: str, ttl: float) -> tuple[Work | None, bool]:
        """Give a run to a worker; return it as it was, None when it may not be had, and whether it was had before."""
        with self.lock:
            work = self.works.get(run_id)
            if work is None or not (work.has(worker) or work.wake_at <= self.clock()):
                return None, False
            if work.has(worker):
                work.wake_at = self.clock() + ttl
                return work, True
            return self._lease(work, worker, ttl), False

    def _due(self, graph: str, without: Mapping[str, int]) -> list[Work]:
        now = self.clock()
        due = [
            work
            for work in self.works.values()
            if work.graph == graph and work.wake_at <= now and without.get(work.run_id) != work.last
        ]
        return sorted(due, key=lambda work: work.wake_at)

    def _lease(self, work: Work, worker: str, ttl: float) -> Work:
        was = Work(
            run_id=work.run_id,
            graph=work.graph,
            last=work.last,
            wake_at=work.wake_at,
            run_epoch=work.run_epoch,
            worker=work.worker,
            epoch=work.epoch,
        )
        work.worker, work.epoch, work.wake_at = worker, -1, self.clock() + ttl  # the epoch follows, from the store
        return was

    # -- waiting ------------------------------------------------------------------------------------------------------

    async def wait(self, graphs: Sequence[str], at_most_seconds: float, without: Mapping[str, int]) -> None:
        heard = asyncio.Event()
        with self.lock:
            self._waiting[heard] = (asyncio.get_running_loop(), frozenset(graphs))
            soonest = min(
                (
                    work.wake_at
                    for work in self.works.values()
                    if work.graph in graphs and without.get(work.run_id) != work.last
                ),
                default=inf,
            )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(at_most_seconds, max(soonest - self.clock(), 0.0))):
                    await heard.wait()
        finally:
            with self.lock:
                del self._waiting[heard]

    def tell(self, graphs: set[str] | None = None) -> None:
        """Let those return who wait for these graphs; None: everybody."""
        with self.lock:
            told = [
                (loop, heard) for heard, (loop, wanted) in self._waiting.items() if graphs is None or graphs & wanted
            ]
        for loop, heard in told:
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(heard.set)


class LocalQueue:
    """The queue of the runs in ``store``, for the workers of this process."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.table = Table()
        self._embedded: set[str] = set()
        """Runs that this process has admitted and that were not left to workers."""
        self._doubtful: set[str] = set()
        """Runs that may go on, or not: the store was in trouble when it was to be written down."""
        self._under_way: set[asyncio.Task[Any]] = set()
        self._loaded = False
        self._loading: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}

    # -- what the store tells -----------------------------------------------------------------------------------------

    def embedded(self, run_id: str) -> None:
        self._embedded.add(run_id)

    def claimed(self, record: RunRecord) -> None:
        """Take in that somebody has become the owner: leases of before are worth nothing."""
        with self.table.lock:
            work = self.table.works.get(record.run_id)
            if work is not None:
                work.run_epoch = max(work.run_epoch, record.epoch)

    def appended(self, run_id: str, *, epoch: int, last: int, status: str) -> bool:
        """Take in an append; False when the run goes on that did not stand in the queue: it is to be made due."""
        freed: set[str] = set()
        with self.table.lock:
            work = self.table.works.get(run_id)
            if status != "RUNNING":
                self.table.works.pop(run_id, None)
                return True
            if work is None:
                return run_id in self._embedded
            work.last, work.run_epoch = last, max(work.run_epoch, epoch)
            if work.worker is not None and work.epoch not in (epoch, -1):
                work.worker, work.wake_at = None, self.table.clock()
                freed.add(work.graph)
        self.table.tell(freed)
        return True

    def gone(self, run_id: str) -> None:
        self._embedded.discard(run_id)
        with self.table.lock:
            self.table.works.pop(run_id, None)

    def doubt(self, run_id: str) -> None:
        """Take in that an append may have been written, or not; who claims next finds out."""
        self._doubtful.add(run_id)

    async def carried(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` to its end, whatever becomes of the caller: the table has to follow what the store does."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Let everybody return who waits; return when all that was asked for in this loop is done."""
        self.table.tell()
        loop = asyncio.get_running_loop()
        if under_way := [task for task in self._under_way if task.get_loop() is loop]:
            await asyncio.wait(under_way)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # the caller, if it is still there, has it from the shield

    async def look_again(self, run_id: str) -> None:
        """Make a run due that is RUNNING, by the store, and does not stand in the queue."""
        with suppress(RunNotFound):
            record = await self._store.look(run_id)
            if record.status == "RUNNING" and run_id not in self._embedded and run_id not in self.table.works:
                self.table.make_due(record)

    # -- the queue ----------------------------------------------------------------------------------------------------

    async def submit(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        return await self.carried(self._submit(run, bodies))

    async def _submit(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        await self.load()
        epoch = await self._store.create(run, bodies)
        if run.status == "RUNNING":
            self.table.make_due(await self._store.look(run.run_id))
        return epoch

    async def adopt(self, run_id: str) -> None:
        record = await self._store.look(run_id)
        self._embedded.discard(run_id)
        if record.status == "RUNNING" and run_id not in self.table.works:
            self.table.make_due(record)

    async def claim(
        self,
        worker: str,
        *,
        graphs: Sequence[str],
        ttl_seconds: float,
        limit: int = 1,
        without: Mapping[str, int] = NO_RUNS,
    ) -> list[ClaimedRun]:
        await self.load()
        taken = self.table.take(worker, ttl_seconds, graphs, max(limit, 0), without)
        claims = await asyncio.gather(*[self._own(was, worker) for was in taken])
        return [claim for claim in claims if claim is not None]

    async def hold(self, run_id: str, worker: str, *, ttl_seconds: float) -> ClaimedRun | None:
        await self.load()
        was, had = self.table.hold(run_id, worker, ttl_seconds)
        if was is None:
            return None
        return ClaimedRun(record=await self._store.look(run_id)) if had else await self._own(was, worker)

    async def _own(self, was: Work, worker: str) -> ClaimedRun | None:
        """Raise the epoch of a run that the table has given to a worker; None when the store knows better."""
        try:
            record = await self._store.claim(was.run_id)
        except RunNotFound:
            self.gone(was.run_id)
            return None
        except Exception:
            with self.table.lock:
                if was.run_id in self.table.works:
                    self.table.works[was.run_id] = was
            raise
        with self.table.lock:
            work = self.table.works.get(was.run_id)
            if record.status != "RUNNING":
                self.table.works.pop(was.run_id, None)
            if work is None or record.status != "RUNNING":
                return None
            work.epoch, work.last = record.epoch, record.last
            work.run_epoch = max(work.run_epoch, record.epoch)
        return ClaimedRun(record=record, taken_from=was.worker if was.epoch == record.epoch - 1 else None)

    def renewer(self, worker: str) -> LeaseRenewer:
        return LocalRenewer(self.table, worker)

    async def release(self, worker: str, claims: Mapping[str, int], *, wake_in_seconds: float = 0.0) -> None:
        freed: set[str] = set()
        with self.table.lock:
            for run_id, epoch in claims.items():
                work = self.table.works.get(run_id)
                if work is not None and work.has(worker) and work.epoch == epoch:
                    work.worker, work.wake_at = None, self.table.clock() + max(wake_in_seconds, 0.0)
                    freed.add(work.graph)
        self.table.tell(freed)

    async def wake(self, run_id: str) -> None:
        with self.table.lock:
            work = self.table.works.get(run_id)
            if work is None or work.worker is not None:
                return
            work.wake_at = min(work.wake_at, self.table.clock())
        self.table.tell({work.graph})

    async def wait(
        self, graphs: Sequence[str], *, at_most_seconds: float, without: Mapping[str, int] = NO_RUNS
    ) -> None:
        await self.load()
        await self.table.wait(graphs, at_most_seconds, without)

    async def stranded(self, *, limit: int = 100) -> list[str]:
        await self.load()
        running = [record.run_id async for record in _running(self._store)]
        return [run_id for run_id in running if run_id not in self.table.works and run_id not in self._embedded][:limit]

    async def queued(self, run_id: str) -> QueuedRun | None:
        await self.load()
        if run_id in self._embedded:
            return None
        try:
            record = await self._store.look(run_id)
        except RunNotFound:
            return None
        with self.table.lock:
            work = self.table.works.get(run_id)
            return (
                self._told(work)
                if work is not None
                else QueuedRun(run_id=run_id, graph=record.graph, worker=None, due_seconds=None)
            )

    async def overdue(self, *, for_seconds: float, limit: int = 100) -> list[QueuedRun]:
        await self.load()
        with self.table.lock:
            works = sorted(self.table.works.values(), key=lambda work: work.wake_at)
            before = self.table.clock() - for_seconds
            return [self._told(work) for work in works if work.wake_at < before][:limit]

    def _told(self, work: Work) -> QueuedRun:
        due = self.table.clock() - work.wake_at
        return QueuedRun(run_id=work.run_id, graph=work.graph, worker=work.worker, due_seconds=due)

    async def load(self) -> None:
        """Find, once, what an earlier process left behind, and what became of writes in doubt."""
        for run_id in [*self._doubtful]:
            await self.look_again(run_id)
            self._doubtful.discard(run_id)
        if self._loaded:
            return
        async with self._loading.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if self._loaded:
                return
            async for record in _running(self._store):
                if record.run_id not in self._embedded and record.run_id not in self.table.works:
                    self.table.make_due(record, EARLIER_PROCESS if record.epoch > 1 else None)
            self._loaded = True


async def _running(store: RunStore) -> AsyncGenerator[RunRecord, None]:
    after: str | None = None
    while page := await store.runs(statuses=["RUNNING"], after=after, limit=_PAGE):
        for record in page:
            yield record
        after = page[-1].run_id


class LocalRenewer:
    """Prolongs leases in the table, from whatever thread."""

    def __init__(self, table: Table, worker: str) -> None:
        self._table = table
        self._worker = worker

    def renew(self, claims: Mapping[str, int], *, ttl_seconds: float) -> set[str]:
        kept: set[str] = set()
        with self._table.lock:
            for run_id, epoch in claims.items():
                work = self._table.works.get(run_id)
                if work is not None and work.has(self._worker) and work.epoch == epoch:
                    work.wake_at = self._table.clock() + ttl_seconds
                    kept.add(run_id)
        return kept

    def close(self) -> None:
        """Nothing is held."""
