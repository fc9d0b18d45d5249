"""Wakes the runs whose turn in their session has come, beside the driving: no slot is held for it.

What stops while the queue is asked is asked for together next. A turn that is not woken is found before long all the
same: a run that waits is looked at again.
"""

import asyncio
import logging

from ropewalk.contracts import RunQueue, RunRecord, RunStore, WakesNext
from ropewalk.core.turns import next_in_turn
from ropewalk.errors import RopewalkError

log = logging.getLogger("ropewalk")


class Waking:
    """Those who are next behind the runs that one worker has brought to a stop."""

    def __init__(self, store: RunStore, queue: RunQueue) -> None:
        self._store = store
        self._queue = queue
        self._stopped: list[RunRecord] = []
        self._task: asyncio.Task[None] | None = None

    def stopped(self, record: RunRecord) -> None:
        """Make the run due whose turn has come, now that this one has ended or paused."""
        if record.session is None or record.turn is None:
            return
        self._stopped.append(record)
        if self._task is None:
            self._task = asyncio.create_task(self._wake(), name="ropewalk worker: who is next")

    async def _wake(self) -> None:
        try:
            while self._stopped:
                stopped, self._stopped = self._stopped, []
                try:
                    await self._wake_behind(stopped)
                except RopewalkError as trouble:
                    log.info("who is next behind %d runs was not woken: %s", len(stopped), trouble)
        finally:
            self._task = None

    async def _wake_behind(self, stopped: list[RunRecord]) -> None:
        if isinstance(self._queue, WakesNext):
            await self._queue.wake_next([record.run_id for record in stopped])
            return
        for record in stopped:
            following = await next_in_turn(self._store, record)
            if following is not None:
                await self._queue.wake(following.run_id)

    async def close(self) -> None:
        """Return when all that were to be woken are."""
        if self._task is not None:
            await asyncio.wait({self._task})
