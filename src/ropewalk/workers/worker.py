"""A worker: claims the runs that were left to workers, drives them, and hands them over when it is told to stop.

1. Claim as many due runs as there are free slots, in one statement, graphs taking turns; when no more are due than
   were claimed, wait for a hint.
2. Drive each (`workers/driving.py`) while the heartbeat (`workers/heartbeat.py`) keeps all leases alive.
3. A run that is lost, or whose lease could not be prolonged in time, is stopped here before anybody else can begin.
4. Drain: claim no more, let every run come to rest between two steps, give it back. Others have it at once.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Iterable
from typing import Any, Self

from ropewalk.contracts import ClaimedRun, QueuesRuns, RunRecord
from ropewalk.core.arguments import check_number
from ropewalk.core.graph import Graph
from ropewalk.errors import QueueMissing, StoreUnavailable
from ropewalk.workers.driving import Beside, Drive, OnDrive, OnMismatch, Opening, Troubles
from ropewalk.workers.heartbeat import Heartbeat, Lease
from ropewalk.workers.misfits import Misfits
from ropewalk.workers.waking import Waking

log = logging.getLogger("ropewalk")

_POLL_SECONDS = 2.0
"""How long a worker trusts that it will be told of work."""
_CLAIMED_AT_ONCE = 100
_BREATH_SECONDS = 0.02
"""Before the next claim when two found nothing: what is due may be in another worker's hands this very moment."""
_AFTER_TROUBLE_SECONDS = 1.0
_STARTING_SECONDS = 10.0
"""How long a worker waits at its start for a store that cannot be reached: it may be starting, too."""
_LOOKS_A_LEASE = 20


class Worker:
    """Drives runs of ``graphs``, at most ``concurrency`` at a time, each held by a lease of ``lease`` seconds.

    When it dies, others take its runs over once their leases have run out. The graphs share one store, which has a
    queue (``postgresql://``). Either ``async with Worker(...)``, which works in the background and drains at the end,
    or ``await Worker(...).run()``, which returns after `stop`.
    """

    def __init__(
        self,
        graphs: Graph[Any] | Iterable[Graph[Any]],
        *,
        concurrency: int = 100,
        lease: float = 30.0,
        on_mismatch: OnMismatch = "leave",
        grace: float = 30.0,
        opening: Opening | None = None,
        on_drive: OnDrive | None = None,
    ) -> None:
        """``grace`` is how many seconds a drain waits for steps in flight before it cuts them off. ``opening`` is asked
        before a claimed run goes on, ``on_drive`` told when it does.
        """
        served = [graphs] if isinstance(graphs, Graph) else [*graphs]
        _check(served, on_mismatch)
        check_number("concurrency", concurrency, "how many runs are driven at a time, 1 or more", whole=True, least=1)
        check_number("lease", lease, "seconds, above 0", above=0)
        check_number("grace", grace, "seconds, 0 or more", least=0)
        self._desks = {graph.name: graph.desk for graph in served}
        store = served[0].store
        assert isinstance(store, QueuesRuns)
        self._queue = store.queue()
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        """Names this worker to others; no two have the same."""
        self.concurrency = concurrency
        self.lease = lease
        self._on_mismatch: OnMismatch = on_mismatch
        self._grace = grace
        self._beside = Beside(opening=opening, on_drive=on_drive)
        self._heartbeat = Heartbeat(lambda: self._queue.renewer(self.name), lease_seconds=lease, on_lost=self._lost)
        self._drives: dict[str, Drive] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._troubles = Troubles()
        self._misfits = Misfits()
        self._waking = Waking(store, self._queue)
        self._stopping = asyncio.Event()
        self._cutting = asyncio.Event()
        self._freed = asyncio.Event()
        self._claimed = asyncio.Event()
        """No claim is under way."""
        self._claimed.set()
        self._background: asyncio.Task[None] | None = None

    @property
    def driving(self) -> list[str]:
        """Ids of the runs that it has in hand now."""
        return [*self._drives]

    async def in_hand(self, run_id: str) -> RunRecord | None:
        """Return the record of a run that it has in hand, after the claim that is under way; None: it has it not."""
        if run_id not in self._drives:
            await self._claimed.wait()
        drive = self._drives.get(run_id)
        return None if drive is None else drive.claim.record

    async def run(self) -> None:
        """Claim and drive until `stop`; then hand everything over and return.

        Raises `StoreUnavailable` when the store cannot be reached within the first ten seconds; later it is waited for.
        """
        self._heartbeat.start()
        watch = asyncio.create_task(self._watch())
        try:
            await self._claim_until_stopped()
            await self._hand_over()
        finally:
            await self._cut()
            await self._waking.close()
            watch.cancel()
            self._heartbeat.stop()

    def stop(self, *, at_once: bool = False) -> None:
        """Begin to drain, from the loop it runs in: claim no more, and hand over what it has.

        ``at_once`` does not wait for steps in flight: they are cut off, and run again elsewhere.
        """
        self._stopping.set()
        if at_once:
            self._cutting.set()

    async def drain(self) -> None:
        """Stop, and return when every run is handed over."""
        self.stop()
        if self._background is not None:
            await self._background

    async def __aenter__(self) -> Self:
        self._background = asyncio.create_task(self.run(), name=f"ropewalk worker {self.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()

    # -- claiming -----------------------------------------------------------------------------------------------------

    async def _claim_until_stopped(self) -> None:
        in_trouble = was_idle = False
        give_up_at: float | None = self._heartbeat.now() + _STARTING_SECONDS
        while not self._stopping.is_set():
            free = self.concurrency - len(self._tasks)
            most = min(free, _CLAIMED_AT_ONCE)
            try:
                claimed = await self._claim(most) if free else 0
                in_trouble, give_up_at = False, None
            except StoreUnavailable as trouble:
                if give_up_at is not None and (_is_for_good(trouble) or self._heartbeat.now() > give_up_at):
                    raise
                if not in_trouble:
                    log.warning("no runs could be claimed, it is tried again: %s", trouble)
                in_trouble = True
                await self._either(asyncio.sleep(_AFTER_TROUBLE_SECONDS))
                continue
            if not claimed or claimed < most:  # what has come meanwhile ends the waiting at once
                await self._idle(free - claimed, again=was_idle and not claimed)
            was_idle = free > 0 and not claimed

    async def _claim(self, limit: int) -> int:
        asked_at = self._heartbeat.now()
        self._claimed.clear()
        try:
            claims = await self._queue.claim(
                self.name,
                graphs=[*self._desks],
                ttl_seconds=self.lease,
                limit=limit,
                without=self._misfits.passed_over(),
            )
            for claim in claims:
                self._take(claim, asked_at)
        finally:
            self._claimed.set()
        return len(claims)

    def _take(self, claim: ClaimedRun, asked_at: float) -> None:
        record = claim.record
        previous = self._drives.get(record.run_id)
        if previous is not None:  # somebody wrote to the run and left it to workers again, before we heard of it
            previous.lose()
        drive = self._drives[record.run_id] = Drive(
            claim,
            self._heartbeat.hold(record.run_id, record.epoch, asked_at=asked_at),
            worker=self.name,
            desk=self._desks[record.graph],
            queue=self._queue,
            troubles=self._troubles,
            misfits=self._misfits,
            waking=self._waking,
            beside=self._beside,
            previous=previous,
        )
        if self._stopping.is_set():
            drive.wind_down()
        task = asyncio.create_task(self._work(drive), name=f"ropewalk worker: {record.run_id}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _work(self, drive: Drive) -> None:
        try:
            await drive.until_it_stops(self._on_mismatch)
        except Exception:  # door two: what nobody expected costs this worker one run, whose lease runs out
            log.exception("run %s could not be driven", drive.run_id)
        finally:
            self._heartbeat.drop(drive.lease)
            if self._drives.get(drive.run_id) is drive:
                del self._drives[drive.run_id]

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._freed.set()

    async def _idle(self, free: int, *, again: bool) -> None:
        """Wait until there may be something to claim, and room for it."""
        self._freed.clear()
        if free:
            if again:
                await self._either(asyncio.sleep(_BREATH_SECONDS))
            without = self._misfits.passed_over()
            await self._either(self._queue.wait([*self._desks], at_most_seconds=_POLL_SECONDS, without=without))
        elif len(self._tasks) >= self.concurrency:
            await self._either(self._freed.wait())

    async def _either(self, awaited: Any) -> None:
        """Await something, or the end."""
        tasks = {asyncio.ensure_future(awaited), asyncio.ensure_future(self._stopping.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    # -- losing -------------------------------------------------------------------------------------------------------

    def _lost(self, leases: list[Lease]) -> None:
        for lease in leases:
            drive = self._drives.get(lease.run_id)
            if drive is not None and drive.lease is lease:
                self._heartbeat.drop(lease)
                drive.lose()

    async def _watch(self) -> None:
        """Fence this worker by its own clock, whatever the renewer does."""
        while True:
            await asyncio.sleep(min(1.0, self.lease / _LOOKS_A_LEASE))
            unsafe = self._heartbeat.unsafe()
            if unsafe:
                log.warning("%d runs are dropped: their leases could not be prolonged in time", len(unsafe))
                self._lost(unsafe)

    # -- handing over -------------------------------------------------------------------------------------------------

    async def _hand_over(self) -> None:
        for drive in self._drives.values():
            drive.wind_down()
        if self._tasks:
            ended = asyncio.ensure_future(asyncio.wait({*self._tasks}))
            cut = asyncio.ensure_future(self._cutting.wait())
            await asyncio.wait({ended, cut}, timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            cut.cancel()

    async def _cut(self) -> None:
        """Stop what still runs, and give it back."""
        if self._drives:
            log.warning("%d runs are cut off, to be done again elsewhere", len(self._drives))
            await asyncio.gather(*[drive.cut() for drive in self._drives.values()])
        if self._tasks:
            await asyncio.wait({*self._tasks}, timeout=self.lease)  # after that the runs are no longer this worker's
        for task in self._tasks:
            task.cancel()


def _is_for_good(trouble: StoreUnavailable) -> bool:
    """Tell whether waiting cannot help: it is another kind of trouble than a server that is away."""
    return type(trouble) is not StoreUnavailable


def _check(graphs: list[Graph[Any]], on_mismatch: str) -> None:
    if not graphs:
        raise ValueError("A worker serves graphs, and none was given: Worker(graph).")
    store = graphs[0].store
    for graph in graphs:
        if not isinstance(graph.store, QueuesRuns):
            raise QueueMissing(graph.name, None if graph.store is None else type(graph.store).__name__)
        if graph.store is not store:
            raise ValueError(
                f"Graphs {graphs[0].name!r} and {graph.name!r} have stores of their own. Graphs of one worker share "
                "one: store = open_store(url), then Graph(..., store=store)."
            )
    names = [graph.name for graph in graphs]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise ValueError(f"Two graphs are named {doubled!r}, so their runs cannot be told apart: Graph(..., name=...).")
    if on_mismatch not in ("leave", "fail"):
        raise ValueError(f"on_mismatch is 'leave' or 'fail'; not {on_mismatch!r}.")
