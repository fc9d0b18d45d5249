"""What the writing thread of a SQLite store does: functions of an open file, called inside a transaction.

Whoever raises a `RunError` has written nothing before; the batch relies on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ropewalk.contracts import NewRun, RunRecord
from ropewalk.errors import RunExists, RunNotFound, TurnTaken
from ropewalk.stores.sqlite_reads import extent, look, stretches

if TYPE_CHECKING:
    from ropewalk.stores.sqlite_file import SqliteFile


def create(file: SqliteFile, run: NewRun, bodies: Sequence[bytes]) -> int:
    if file.execute(file.sql["key"], (run.run_id,)).fetchone() is not None:
        raise RunExists(run.run_id)
    if run.turn is not None and run.session is not None:
        turn = (run.session, run.owner, run.turn)
        if file.execute(file.sql["turn"], turn).fetchone() is not None:
            raise TurnTaken(run.run_id, run.session, run.turn)
    base, shared = _base_for_fork(file, run)
    last = run.fork_at + len(bodies)
    described = (run.run_id, run.graph, run.plan, run.status, last, run.at, run.at, run.parent, run.fork_at)
    key = file.execute(file.sql["add_run"], (*described, run.owner, run.session, run.turn, base, shared)).lastrowid
    assert key is not None
    for number, body in enumerate(bodies, run.fork_at + 1):
        file.execute(file.sql["add_entry"], (key, number, body))
    return 1


def _base_for_fork(file: SqliteFile, run: NewRun) -> tuple[int | None, int]:
    """Return the run that holds entry ``fork_at``, which may be an ancestor of the parent."""
    if run.parent is None:
        return None, 0
    found = file.execute(file.sql["extent"], (run.parent,)).fetchone()
    if found is None or found[1] < run.fork_at:
        raise RunNotFound(run.parent)
    key, _, base, shared = found
    while run.fork_at <= shared and base is not None:
        key = base
        base, shared = file.execute(file.sql["base"], (key,)).fetchone()
    return (key, run.fork_at) if run.fork_at else (None, 0)


def claim(file: SqliteFile, run_id: str) -> RunRecord:
    if file.execute(file.sql["claim"], (run_id,)).rowcount != 1:
        raise RunNotFound(run_id)
    return look(file, run_id)


def save_snapshot(file: SqliteFile, run_id: str, epoch: int, number: int, body: bytes) -> None:
    key, *_ = extent(file, run_id)
    if file.execute(file.sql["save_snapshot"], (number, body, run_id, epoch, number)).rowcount == 1:
        file.execute(file.sql["drop_snapshots"], (key, key))


def copy(file: SqliteFile, run_id: str, new_run_id: str) -> None:
    found = extent(file, run_id)
    key, last, _, _ = found
    if file.execute(file.sql["key"], (new_run_id,)).fetchone() is not None:
        raise RunExists(new_run_id)
    new_key = file.execute(file.sql["copy_run"], (new_run_id, key)).lastrowid
    for holder, after, up_to in stretches(file, found, 0, last):
        file.execute(file.sql["copy_entries"], (new_key, holder, after, up_to))


def delete(file: SqliteFile, run_id: str) -> None:
    key, *_ = extent(file, run_id)
    _delete(file, key)


def delete_stale(file: SqliteFile, keys: Sequence[int], before: float, statuses: Sequence[str]) -> int:
    """Delete those of the runs that nobody has touched since they were listed; return how many."""
    wanted = json.dumps(statuses)
    stale = [key for key in keys if file.execute(file.sql["still_stale"], (key, before, wanted)).fetchone()]
    for key in stale:
        _delete(file, key)
    return len(stale)


def _delete(file: SqliteFile, key: int) -> None:
    """Delete a run. The fork that shares most of it receives what is shared; the others share with it."""
    execute = file.execute
    sql = file.sql
    heir = execute(sql["heir"], (key,)).fetchone()
    if heir is not None:
        execute(sql["move_entries"], (heir[0], key, heir[1]))
        execute(sql["rebase_heir"], (key, heir[0]))
        execute(sql["rebase_forks"], (heir[0], key))
    for statement in ("delete_entries", "delete_snapshots", "delete_run"):
        execute(sql[statement], (key,))
