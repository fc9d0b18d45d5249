"""A run store that hands its runs to the workers of this process: any store, with a queue in memory over it."""

from collections.abc import Sequence
from datetime import timedelta

from ropewalk.contracts import NewRun, RunRecord, RunStore
from ropewalk.contracts.run_queue import RunQueue
from ropewalk.errors import StoreUnavailable
from ropewalk.stores.local_queue import LocalQueue


class QueuedHere:
    """Passes everything on to ``inner``, and lets the queue follow what is written.

    All that submits, answers and drives in this process must use this one object; of what other processes write to the
    same medium, the queue hears when it is opened next.
    """

    def __init__(self, inner: RunStore) -> None:
        self.inner = inner
        self._queue = LocalQueue(inner)

    def queue(self) -> RunQueue:
        return self._queue

    async def create(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        return await self._queue.carried(self._create(run, bodies))

    async def append(
        self, run_id: str, *, epoch: int, after: int, bodies: Sequence[bytes], status: str, at: float
    ) -> None:
        await self._queue.carried(self._append(run_id, epoch, after, bodies, status, at))

    async def claim(self, run_id: str) -> RunRecord:
        return await self._queue.carried(self._claim(run_id))

    async def look(self, run_id: str) -> RunRecord:
        return await self.inner.look(run_id)

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[tuple[int, bytes]]:
        return await self.inner.read(run_id, after=after, limit=limit)

    async def runs(
        self,
        *,
        graph: str | None = None,
        statuses: Sequence[str] | None = None,
        owner: str | None = None,
        session: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[RunRecord]:
        return await self.inner.runs(
            graph=graph, statuses=statuses, owner=owner, session=session, after=after, limit=limit
        )

    async def last_turn(self, *, owner: str | None, session: str) -> int:
        return await self.inner.last_turn(owner=owner, session=session)

    async def whose_turn(self, *, owner: str | None, session: str) -> RunRecord | None:
        return await self.inner.whose_turn(owner=owner, session=session)

    async def save_snapshot(self, run_id: str, *, epoch: int, number: int, body: bytes) -> None:
        await self.inner.save_snapshot(run_id, epoch=epoch, number=number, body=body)

    async def snapshot(self, run_id: str, *, at: int | None = None) -> tuple[int, bytes] | None:
        return await self.inner.snapshot(run_id, at=at)

    async def copy(self, run_id: str, new_run_id: str) -> None:
        await self._queue.load()
        await self.inner.copy(run_id, new_run_id)
        self._queue.embedded(new_run_id)

    async def delete(self, run_id: str) -> None:
        await self.inner.delete(run_id)
        self._queue.gone(run_id)

    async def prune(self, older_than: timedelta, statuses: Sequence[str] | None = None) -> int:
        return await self.inner.prune(older_than, statuses)  # a claim drops from the queue what is not there any more

    async def close(self) -> None:
        await self._queue.finish()
        await self.inner.close()

    async def _create(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        await self._queue.load()  # what was there before this process began is told apart from what it admits
        epoch = await self.inner.create(run, bodies)
        self._queue.embedded(run.run_id)
        return epoch

    async def _append(  # noqa: PLR0917  passed on as they came
        self, run_id: str, epoch: int, after: int, bodies: Sequence[bytes], status: str, at: float
    ) -> None:
        try:
            await self.inner.append(run_id, epoch=epoch, after=after, bodies=bodies, status=status, at=at)
        except StoreUnavailable:
            self._queue.doubt(run_id)
            raise
        if not self._queue.appended(run_id, epoch=epoch, last=after + len(bodies), status=status):
            await self._queue.look_again(run_id)

    async def _claim(self, run_id: str) -> RunRecord:
        record = await self.inner.claim(run_id)
        self._queue.claimed(record)
        return record
