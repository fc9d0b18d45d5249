"""What keeps the logs of runs: the one truth that every other part may be rebuilt from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    """A run about to be admitted."""

    run_id: str
    graph: str
    plan: str
    """Content hash of the plan it was started with."""
    status: str
    at: float
    """Seconds since the epoch, by the caller's clock; for display and pruning, never for safety."""
    parent: str | None = None
    """The run whose entries 1..fork_at this run's log begins with."""
    fork_at: int = 0
    owner: str | None = None
    """Whose run it is: who else asks for it is told that there is none. None: nobody's in particular."""
    session: str | None = None
    """The conversation that it belongs to."""
    turn: int | None = None
    """Which of its session's runs it is, counted from 1; None: it has no place in an order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """What a store knows of a run without reading its log."""

    run_id: str
    graph: str
    plan: str
    status: str
    epoch: int
    """How many owners the run has had; an append must name the newest."""
    last: int
    """Number of the newest entry."""
    created: float
    updated: float
    parent: str | None = None
    fork_at: int = 0
    owner: str | None = None
    session: str | None = None
    turn: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionStands:
    """How a session of an owner stands."""

    newest: RunRecord | None
    """Its newest run, by creation."""
    last_turn: int
    """As `RunStore.last_turn` tells it."""
    running: Sequence[RunRecord]
    """Its RUNNING runs, newest first, at most a hundred."""
    running_of_owner: int
    """How many runs of the owner are RUNNING, in whatever session, counted to as many as was asked for."""


class RunStore(Protocol):
    """An append-only log per run, with one owner each.

    Guarantees that every store keeps (the suite in `ropewalk.testing` checks them):

    - **Durable on return.** When `create` or `append` has returned, its entries survive the death of this process.
      All entries of one call appear together or not at all, in every reader's view, whatever dies when.
    - **Fenced.** `append` succeeds only when ``epoch`` is the run's newest epoch and ``after`` is the number of its
      newest entry; else `RunTaken` is raised and nothing is written. No clock takes part.
    - **Dense.** Entries are numbered from 1 without gaps; an entry never changes once written.
    - **One turn, one run.** Of the runs of one owner and session no two have the same turn, whoever creates them when.
    - **Bytes only.** A store never looks into a body.
    - **Never blocks the loop**, and may be used from any event loop, several at a time.
    - **Says what is wrong.** An unknown run is `RunNotFound`; trouble of the medium is `StoreUnavailable` (or a more
      telling subclass: full, read-only, corrupt, newer than this program), raised to every caller it concerns.
    """

    async def create(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        """Admit a run with its first entries; return its epoch, 1.

        A fork's own entries count on from ``fork_at``. Raises `RunExists`, `TurnTaken` when another run has the turn,
        and `RunNotFound` when the parent is unknown or shorter than ``fork_at``.
        """
        ...

    async def append(
        self, run_id: str, *, epoch: int, after: int, bodies: Sequence[bytes], status: str, at: float
    ) -> None:
        """Write ``bodies`` as entries after+1, after+2, ... and the run's new status, atomically.

        Raises `RunTaken` when another owner holds the run, `RunNotFound` when it was never admitted or was deleted.
        """
        ...

    async def claim(self, run_id: str) -> RunRecord:
        """Become the owner: raise the epoch by one, return the record as it is then. Raises `RunNotFound`."""
        ...

    async def look(self, run_id: str) -> RunRecord:
        """Return the record. Raises `RunNotFound`."""
        ...

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[tuple[int, bytes]]:
        """Return entries with a number above ``after``, oldest first, at most ``limit``; a fork's begin with its
        parent's.

        Raises `RunNotFound`.
        """
        ...

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
        """Return records, newest first (by creation, ties by run id), that come behind the run ``after`` in that
        order. What is None does not choose: with ``owner`` None come the runs of all owners.

        ``statuses`` are RUNNING, PAUSED, DONE, FAILED and CANCELLED. Raises TypeError when they are a string or no
        names at all, ValueError for one that no run has, with the nearest; `RunNotFound` when ``after`` is unknown.
        """
        ...

    async def last_turn(self, *, owner: str | None, session: str) -> int:
        """Return the highest turn in the session, 0 when no run has one. ``owner`` None is nobody, not everybody."""
        ...

    async def whose_turn(self, *, owner: str | None, session: str) -> RunRecord | None:
        """Return the RUNNING run of the session with the lowest turn, or None. ``owner`` None is nobody."""
        ...

    async def save_snapshot(self, run_id: str, *, epoch: int, number: int, body: bytes) -> None:
        """Keep a cache of the fold of entries 1..number; older ones may be dropped. Ignored when the epoch is not the
        newest.
        """
        ...

    async def snapshot(self, run_id: str, *, at: int | None = None) -> tuple[int, bytes] | None:
        """Return the newest kept snapshot with a number of at most ``at``, or None. Never that of a parent."""
        ...

    async def copy(self, run_id: str, new_run_id: str) -> None:
        """Write the whole log of a run again under a new id, with no link to the old one, no turn, and epoch 1.

        Raises `RunNotFound`, `RunExists`.
        """
        ...

    async def delete(self, run_id: str) -> None:
        """Forget a run. Its forks first receive the entries they share with it. Raises `RunNotFound`."""
        ...

    async def prune(self, older_than: timedelta, statuses: Sequence[str] | None = None) -> int:
        """Delete runs last updated longer ago than ``older_than``; return how many.

        ``statuses`` defaults to the final ones (DONE, FAILED, CANCELLED): a run that may still go on is only deleted
        when its status is named. Raises what `runs` raises for statuses, TypeError for an age that is no timedelta,
        ValueError for one below 0; then nothing is deleted.
        """
        ...

    async def close(self) -> None:
        """Finish what was asked, then let go of files, threads and connections; calling it twice is harmless."""
        ...


@runtime_checkable
class TellsOfSessions(Protocol):
    """What a store may tell in one go to those who are about to admit a run; else it is asked for one by one."""

    async def session_stands(self, *, owner: str, session: str, most: int) -> SessionStands:
        """Return how the owner's session stands, all of one moment; the owner's runs are counted to ``most``."""
        ...
