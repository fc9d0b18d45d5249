"""Admissions of runs to a PostgreSQL store, written many at once.

No run is admitted twice, and no turn of a session given twice: of many in one statement, those who come second to
either are refused, and told which it was. A run that is there after a connection was lost may have been admitted by the
lost statement: the same run with the same entries is ours.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ropewalk.contracts import NewRun
from ropewalk.errors import RopewalkError, RunError, RunExists, TurnTaken
from ropewalk.stores.postgres_arrays import entries, numbers, texts
from ropewalk.stores.postgres_reads import look, read
from ropewalk.stores.postgres_server import Session
from ropewalk.stores.postgres_thread import Outcome

FIRST_EPOCH = 1


class Admission(NamedTuple):
    """What a caller asked for: a run without a parent."""

    future: "asyncio.Future[int]"
    run: NewRun
    bodies: Sequence[bytes]
    for_workers: bool

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def size(self) -> int:
        return sum(map(len, self.bodies))


class Admissions:
    """How they are written; ``announce`` is told the graphs that have runs for workers now."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce

    async def write(self, batch: list[Admission], session: Session) -> tuple[list[Outcome], list[Admission]]:
        batch = sorted(batch, key=_turn_of)  # two stores that race for several turns wait for each other in one order
        runs = [admission.run for admission in batch]
        logs = [admission.bodies for admission in batch]
        asked = columns(runs, logs, [admission.for_workers for admission in batch])
        rows = await session.rows("create", **asked, parent=None, fork_at=0, base=None, shared=0)
        made = {run_id for (run_id,) in rows}
        outcomes = [self._admitted(admission) for admission in batch if admission.run_id in made]
        return outcomes, [admission for admission in batch if admission.run_id not in made]

    async def judge(self, refused: list[Admission], session: Session) -> list[Outcome]:
        return [
            self._admitted(admission)
            if session.doubtful and await is_mine(session, admission.run, admission.bodies)
            else (admission.future, await refusal(session, admission.run))
            for admission in refused
        ]

    def _admitted(self, admission: Admission) -> Outcome:
        if admission.for_workers:
            self._announce(admission.run.graph)
        return admission.future, FIRST_EPOCH


async def refusal(session: Session, run: NewRun) -> RunError:
    """Return why a run was refused."""
    if run.turn is None or run.session is None or await session.row("record", run_id=run.run_id) is not None:
        return RunExists(run.run_id)
    return TurnTaken(run.run_id, run.session, run.turn)


async def is_mine(session: Session, run: NewRun, bodies: Sequence[bytes]) -> bool:
    """Tell whether the run that is there is the one a lost connection admitted; it may have gone on since."""
    try:
        there = await look(session, run.run_id)
        log = await read(session, run.run_id, run.fork_at, len(bodies), "")
    except RopewalkError:  # it is gone by now, or not whole
        return False
    if (there.plan, there.created, there.parent) != (run.plan, run.at, run.parent):
        return False
    if (there.owner, there.session, there.turn) != (run.owner, run.session, run.turn):
        return False
    return [body for _, body in log] == [bytes(body) for body in bodies]


def columns(runs: Sequence[NewRun], logs: Sequence[Sequence[bytes]], for_workers: Sequence[bool]) -> dict[str, Any]:
    """Return the parameters of the statement ``create``, except those that only a fork has."""
    return {
        "place": numbers(range(len(runs))),
        "run_id": texts(run.run_id for run in runs),
        "graph": texts(run.graph for run in runs),
        "plan": texts(run.plan for run in runs),
        "status": texts(run.status for run in runs),
        "last": numbers(run.fork_at + len(log) for run, log in zip(runs, logs, strict=True)),
        "at": numbers(run.at for run in runs),
        "for_workers": numbers(for_workers),
        "owner": texts(run.owner for run in runs),
        "session": texts(run.session for run in runs),
        "turn": texts(None if run.turn is None else str(run.turn) for run in runs),
        **entries([run.fork_at for run in runs], logs),
    }


def _turn_of(admission: Admission) -> tuple[str, str, int, str]:
    run = admission.run
    return run.session or "", run.owner or "", run.turn or 0, run.run_id
