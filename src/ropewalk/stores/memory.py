"""A run store in this process's memory: for tests, and for runs that need not outlive the process."""

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice

from ropewalk.contracts import NewRun, RunRecord
from ropewalk.errors import RunExists, RunNotFound, RunTaken, TurnTaken
from ropewalk.stores.rules import check_new_run, known_statuses, store_closed, what_to_prune

_KEPT_SNAPSHOTS = 2
_Session = tuple[str | None, str]
"""Owner and session."""


@dataclass(slots=True)
class _Kept:
    record: RunRecord
    entries: list[bytes]
    """The whole log, a fork's shared beginning too: the bodies themselves are shared."""
    snapshots: dict[int, bytes] = field(default_factory=dict[int, bytes])


class MemoryRunStore:
    """Keeps every promise of a run store but one: what it holds dies with the process, and with `close`."""

    def __init__(self) -> None:
        self._runs: dict[str, _Kept] = {}
        self._turns: dict[_Session, dict[int, str]] = {}
        """Who has which turn of a session."""
        self._lock = threading.Lock()
        self._closed = False

    async def create(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        check_new_run(run)
        with self._open():
            if run.run_id in self._runs:
                raise RunExists(run.run_id)
            self._check_turn(run)
            entries: list[bytes] = []
            if run.parent is not None:
                entries += self._find(run.parent).entries[: run.fork_at]
                if len(entries) < run.fork_at:
                    raise RunNotFound(run.parent)
            entries += bodies
            record = RunRecord(
                run_id=run.run_id,
                graph=run.graph,
                plan=run.plan,
                status=run.status,
                epoch=1,
                last=len(entries),
                created=run.at,
                updated=run.at,
                parent=run.parent,
                fork_at=run.fork_at,
                owner=run.owner,
                session=run.session,
                turn=run.turn,
            )
            self._runs[run.run_id] = _Kept(record, entries)
            if run.session is not None and run.turn is not None:
                self._turns.setdefault((run.owner, run.session), {})[run.turn] = run.run_id
            return 1

    async def append(
        self, run_id: str, *, epoch: int, after: int, bodies: Sequence[bytes], status: str, at: float
    ) -> None:
        with self._open():
            kept = self._find(run_id)
            if kept.record.epoch != epoch or kept.record.last != after:
                raise RunTaken(run_id)
            kept.entries += bodies
            kept.record = replace(kept.record, last=len(kept.entries), status=status, updated=at)

    async def claim(self, run_id: str) -> RunRecord:
        with self._open():
            kept = self._find(run_id)
            kept.record = replace(kept.record, epoch=kept.record.epoch + 1)
            return kept.record

    async def look(self, run_id: str) -> RunRecord:
        with self._open():
            return self._find(run_id).record

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[tuple[int, bytes]]:
        after = max(after, 0)
        with self._open():
            entries = self._find(run_id).entries
            up_to = None if limit is None else after + max(limit, 0)
            return list(enumerate(entries[after:up_to], after + 1))

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
        wanted = None if statuses is None else known_statuses(statuses)
        with self._open():
            behind = None if after is None else _place(self._find(after).record)
            found = (
                kept.record
                for kept in self._runs.values()
                if (graph is None or kept.record.graph == graph)
                and (wanted is None or kept.record.status in wanted)
                and (owner is None or kept.record.owner == owner)
                and (session is None or kept.record.session == session)
                and (behind is None or _place(kept.record) < behind)
            )
            return list(islice(sorted(found, key=_place, reverse=True), max(limit, 0)))

    async def last_turn(self, *, owner: str | None, session: str) -> int:
        with self._open():
            return max(self._turns.get((owner, session), ()), default=0)

    async def whose_turn(self, *, owner: str | None, session: str) -> RunRecord | None:
        with self._open():
            turns = self._turns.get((owner, session), {})
            records = (self._runs[turns[turn]].record for turn in sorted(turns))
            return next((record for record in records if record.status == "RUNNING"), None)

    async def save_snapshot(self, run_id: str, *, epoch: int, number: int, body: bytes) -> None:
        with self._open():
            kept = self._find(run_id)
            if kept.record.epoch == epoch and number <= kept.record.last:
                kept.snapshots[number] = body
                for old in sorted(kept.snapshots)[:-_KEPT_SNAPSHOTS]:
                    del kept.snapshots[old]

    async def snapshot(self, run_id: str, *, at: int | None = None) -> tuple[int, bytes] | None:
        with self._open():
            kept = self._find(run_id).snapshots
            number = max((number for number in kept if at is None or number <= at), default=None)
            return None if number is None else (number, kept[number])

    async def copy(self, run_id: str, new_run_id: str) -> None:
        with self._open():
            kept = self._find(run_id)
            if new_run_id in self._runs:
                raise RunExists(new_run_id)
            record = replace(kept.record, run_id=new_run_id, epoch=1, parent=None, fork_at=0, turn=None)
            self._runs[new_run_id] = _Kept(record, kept.entries.copy())

    async def delete(self, run_id: str) -> None:
        with self._open():
            self._forget(self._find(run_id).record)

    async def prune(self, older_than: timedelta, statuses: Sequence[str] | None = None) -> int:
        before, wanted = what_to_prune(older_than, statuses, now=time.time())
        with self._open():
            records = [kept.record for kept in self._runs.values()]
            stale = [record for record in records if record.updated < before and record.status in wanted]
            for record in stale:
                self._forget(record)
            return len(stale)

    async def close(self) -> None:
        with self._lock:
            self._closed = True
            self._runs.clear()
            self._turns.clear()

    @contextmanager
    def _open(self) -> Generator[None]:
        with self._lock:
            if self._closed:
                raise store_closed("The memory store")
            yield

    def _find(self, run_id: str) -> _Kept:
        kept = self._runs.get(run_id)
        if kept is None:
            raise RunNotFound(run_id)
        return kept

    def _check_turn(self, run: NewRun) -> None:
        if run.session is not None and run.turn in self._turns.get((run.owner, run.session), ()):
            assert run.turn is not None
            raise TurnTaken(run.run_id, run.session, run.turn)

    def _forget(self, record: RunRecord) -> None:
        del self._runs[record.run_id]
        if record.session is not None and record.turn is not None:
            turns = self._turns[record.owner, record.session]
            del turns[record.turn]
            if not turns:
                del self._turns[record.owner, record.session]


def _place(record: RunRecord) -> tuple[float, str]:
    return record.created, record.run_id
