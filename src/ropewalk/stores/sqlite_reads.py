"""What the reading thread of a SQLite store does: functions of an open file, called inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from heapq import merge
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

from ropewalk.contracts import RunRecord
from ropewalk.errors import RunNotFound, StoreCorrupt

if TYPE_CHECKING:
    from ropewalk.stores.sqlite_file import SqliteFile

_RUNS_A_PRUNE = 200
_ENTRIES_A_PRUNE = 2_000

Extent = tuple[int, int, int | None, int]
"""key, last, base, shared."""


def look(file: SqliteFile, run_id: str) -> RunRecord:
    row = file.execute(file.sql["record"], (run_id,)).fetchone()
    if row is None:
        raise RunNotFound(run_id)
    return _record(row)


def extent(file: SqliteFile, run_id: str) -> Extent:
    found = file.execute(file.sql["extent"], (run_id,)).fetchone()
    if found is None:
        raise RunNotFound(run_id)
    return found


def stretches(file: SqliteFile, of: Extent, after: int, up_to: int) -> list[tuple[int, int, int]]:
    """Return who holds the entries above ``after`` up to ``up_to``: (key, after, up to), oldest first."""
    key, _, base, shared = of
    found: list[tuple[int, int, int]] = []
    while up_to > after:
        if up_to > shared:
            found.append((key, max(after, shared), up_to))
            up_to = shared
        if base is None:
            break
        key = base
        base, shared = file.execute(file.sql["base"], (key,)).fetchone() or (None, up_to)
    return found[::-1]


def read(file: SqliteFile, run_id: str, after: int, limit: int | None) -> list[tuple[int, bytes]]:
    found = extent(file, run_id)
    last = found[1]
    after = max(after, 0)
    up_to = last if limit is None else min(last, after + max(limit, 0))
    entries: list[tuple[int, bytes]] = []
    for key, low, high in stretches(file, found, after, up_to):
        entries += file.execute(file.sql["entries"], (key, low, high)).fetchall()
    if len(entries) != max(up_to - after, 0):
        raise StoreCorrupt(_gap(file, run_id, entries, after, up_to))
    return entries


def _gap(file: SqliteFile, run_id: str, entries: list[tuple[int, bytes]], after: int, up_to: int) -> str:
    missing = min({*range(after + 1, up_to + 1)} - {number for number, _ in entries}, default=up_to)
    return (
        f"Entry {missing} of run {run_id!r} is missing in {str(file.path)!r}, though the run goes on behind "
        "it: the file was changed from outside, or its disk lost a write. Restore a backup, or fork the run "
        "before that entry."
    )


def snapshot(file: SqliteFile, run_id: str, at: int | None) -> tuple[int, bytes] | None:
    key, last, _, _ = extent(file, run_id)
    return file.execute(file.sql["snapshot"], (key, last if at is None else at)).fetchone()


def last_turn(file: SqliteFile, owner: str | None, session: str) -> int:
    found = file.execute(file.sql["last_turn"], (session, owner)).fetchone()
    return 0 if found is None else found[0]


def whose_turn(file: SqliteFile, owner: str | None, session: str) -> RunRecord | None:
    row = file.execute(file.sql["whose_turn"], (session, owner)).fetchone()
    return None if row is None else _record(row)


def runs(  # noqa: PLR0917  a job's arguments come by position
    file: SqliteFile,
    graph: str | None,
    statuses: Sequence[str] | None,
    belongs: tuple[str | None, str | None],
    after: str | None,
    limit: int,
) -> list[RunRecord]:
    """Ask for each status by itself: its index gives the answer in order, whatever other runs there are.

    ``belongs`` is owner and session.
    """
    place: tuple[float, str] = (inf, "")
    if after is not None:
        found = file.execute(file.sql["place"], (after,)).fetchone()
        if found is None:
            raise RunNotFound(after)
        place = found
    limit = max(limit, 0)
    if belongs != (None, None):
        return _belonging(file, graph, statuses, belongs=belongs, place=place, limit=limit)
    graphs = () if graph is None else (graph,)
    name = "newest" if graph is None else "newest_of_graph"
    if statuses is None:
        return [_record(row) for row in file.execute(file.sql[name], (*graphs, *place, limit))]
    query = file.sql["newest_of_status" if graph is None else "newest_of_graph_and_status"]
    answers = [file.execute(query, (*graphs, status, *place, limit)).fetchall() for status in statuses]
    return [_record(row) for row in islice(merge(*answers, key=_place, reverse=True), limit)]


def _belonging(  # noqa: PLR0917  the same
    file: SqliteFile,
    graph: str | None,
    statuses: Sequence[str] | None,
    belongs: tuple[str | None, str | None],
    place: tuple[float, str],
    limit: int,
) -> list[RunRecord]:
    owner, session = belongs
    asked = {
        "graph": graph,
        "owner": owner,
        "session": session,
        "created": place[0],
        "run_id": place[1],
        "limit": limit,
    }
    name = "newest_of_session" if owner is None else "newest_of_owner" + ("" if statuses is None else "_and_status")
    each = [None] if statuses is None else [*dict.fromkeys(statuses)]
    answers = [file.execute(file.sql[name], asked | {"status": status}).fetchall() for status in each]
    return [_record(row) for row in islice(merge(*answers, key=_place, reverse=True), limit)]


def stale(file: SqliteFile, before: float, statuses: Sequence[str], below: int) -> list[int]:
    """Return keys below ``below`` of runs to prune: as many as the writer deletes in a moment."""
    found = file.execute(file.sql["stale"], (below, before, json.dumps(statuses), _RUNS_A_PRUNE))
    keys: list[int] = []
    room = _ENTRIES_A_PRUNE
    for key, entries in found.fetchall():
        keys.append(key)
        room -= entries
        if room <= 0:
            break
    return keys


def _place(row: tuple[Any, ...]) -> tuple[float, str]:
    return row[6], row[0]


def _record(row: tuple[Any, ...]) -> RunRecord:
    run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn = row
    return RunRecord(
        run_id=run_id,
        graph=graph,
        plan=plan,
        status=status,
        epoch=epoch,
        last=last,
        created=created,
        updated=updated,
        parent=parent,
        fork_at=fork_at,
        owner=owner,
        session=session,
        turn=turn,
    )
