"""What hands runs to workers: who may drive which run, for how long, and what is due next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from ropewalk.contracts.run_store import NewRun, RunRecord, RunStore

NO_RUNS: Mapping[str, int] = MappingProxyType({})


EARLIER_PROCESS = "an earlier process"
"""Who had a run of a queue that lives in one process. That has ended since, and may have handed the run over before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedRun:
    """A run that a worker now drives."""

    record: RunRecord
    """As it is with the worker's epoch: every append names it."""
    taken_from: str | None = None
    """The worker whose lease ran out while it held the run: it died or froze, or was cut off. None when the run was
    handed over, or waits for its first worker. The log counts such deaths (`Reset`)."""
    entries: Sequence[tuple[int, bytes]] | None = None
    """All of its log, where a queue has it at hand: who drives the run need not read it."""
    in_turn: bool = False
    """No run of its session that has an earlier turn was RUNNING; False, too, where that was not looked for."""


class LeaseRenewer(Protocol):
    """Prolongs a worker's leases from a plain thread: a busy event loop must not look dead.

    It has a connection of its own, blocks its caller, and belongs to one thread.
    """

    def renew(self, claims: Mapping[str, int], *, ttl_seconds: float) -> set[str]:
        """Prolong the leases on these runs (run id -> epoch) to ``ttl_seconds`` from now; return those the worker
        still has.

        A run that is not returned was taken over, deleted, paused or ended: its nodes must be stopped, whatever they
        still write is refused. Raises `StoreUnavailable`, after which the leases run on from the last success.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; calling it twice is harmless."""
        ...


class RunQueue(Protocol):
    """Leases on the runs of a store, and the order in which they are due.

    Guarantees:

    - **Admitted whole.** When `submit` has returned, the run, its first entries and its place in the queue are durable
      together: there is no moment at which it is admitted and nobody would take it.
    - **Never without a reason to move.** A submitted run is due, leased or set for later exactly as long as its status
      is RUNNING. The append that pauses or ends it gives up its lease; the append that lets it go on, by whomever,
      makes it due. Both are one with the append.
    - **Safe without clocks.** A claim raises the run's epoch, so that the store refuses the former owner, however late
      it comes. Leases are measured by one clock, the medium's, and decide only when somebody else may claim.
    - **Shared out.** Workers who claim at the same time get different runs and do not wait for each other. What is due
      longest goes first; several graphs get their turns one by one.
    - **Hints may be lost.** `wait` returns early when it hears of work; what it misses is found by the next claim.
    """

    async def submit(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        """Do what `RunStore.create` does, and leave the run for a worker. Raises what that raises."""
        ...

    async def adopt(self, run_id: str) -> None:
        """Leave a run to workers, from now on, that was driven without them. Raises `RunNotFound`."""
        ...

    async def claim(
        self,
        worker: str,
        *,
        graphs: Sequence[str],
        ttl_seconds: float,
        limit: int = 1,
        without: Mapping[str, int] = NO_RUNS,
    ) -> list[ClaimedRun]:
        """Take at most ``limit`` due runs of these graphs, each with epoch + 1 and a lease of ``ttl_seconds``.

        A run in ``without`` is passed over, and stays due for others, as long as its newest entry has that number.
        ``worker`` names one boot of one process: an id that is used again must be a new one. A claim whose answer was
        lost is never prolonged, so it ends by itself.
        """
        ...

    async def hold(self, run_id: str, worker: str, *, ttl_seconds: float) -> ClaimedRun | None:
        """Take this very run, with epoch + 1 and a lease of ``ttl_seconds``, when it is due and in nobody's hands; None
        when it is not.

        Of a run that ``worker`` has already, the lease is prolonged, and the epoch stays. `renewer` and `release` do
        with it what they do with a run that was claimed.
        """
        ...

    async def wake(self, run_id: str) -> None:
        """Make a run due at once that was released for later; one that is held, or not in the queue, is left alone."""
        ...

    def renewer(self, worker: str) -> LeaseRenewer:
        """Return what prolongs the leases of ``worker``. Connects when it is first used."""
        ...

    async def release(self, worker: str, claims: Mapping[str, int], *, wake_in_seconds: float = 0.0) -> None:
        """Give runs back (run id -> epoch): others may claim them at once, or when the time has come.

        What the worker no longer has is left alone.
        """
        ...

    async def wait(
        self, graphs: Sequence[str], *, at_most_seconds: float, without: Mapping[str, int] = NO_RUNS
    ) -> None:
        """Return when a run of these graphs may be due that `claim` would not pass over, at the latest after so many
        seconds.
        """
        ...

    async def stranded(self, *, limit: int = 100) -> list[str]:
        """Return runs that were left to workers, are RUNNING and not in the queue. There are none; a doctor looks."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedRun:
    """A run that was left to workers, as its queue knows it."""

    run_id: str
    graph: str
    worker: str | None
    """Who was given a lease on it last and has neither finished nor given it back; nobody may be alive behind it."""
    due_seconds: float | None
    """For how long it has been due, or its lease over; below 0: the time until then. None: it is not in the queue,
    because it is paused or has ended."""


@runtime_checkable
class TellsOfRuns(Protocol):
    """What may be asked of a queue by those who take no part in it. Both only read."""

    async def queued(self, run_id: str) -> QueuedRun | None:
        """Return where a run stands in the queue; None for one that was never left to workers."""
        ...

    async def overdue(self, *, for_seconds: float, limit: int = 100) -> list[QueuedRun]:
        """Return runs that have been due for so long and that nobody took, the longest waiting first."""
        ...


@runtime_checkable
class WakesNext(Protocol):
    """What a queue may do in one go for those whose turn has come; else they are looked for one by one."""

    async def wake_next(self, run_ids: Sequence[str]) -> None:
        """Wake, of the session of each of these runs, which have ended or paused, the RUNNING one with the lowest turn:
        as `RunQueue.wake` does.
        """
        ...


@runtime_checkable
class QueuesRuns(RunStore, Protocol):
    """A run store that hands its runs to workers."""

    def queue(self) -> RunQueue:
        """Return the queue of this store's runs; it ends with the store."""
        ...
