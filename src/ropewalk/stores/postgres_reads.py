"""What a PostgreSQL store reads: one statement a call, so that each is of one moment."""

import sys
from collections.abc import Sequence
from math import inf

from ropewalk.contracts import RunRecord, SessionStands
from ropewalk.errors import RunNotFound, StoreCorrupt
from ropewalk.stores.postgres_server import Row, Session

_ABOVE_ALL_NUMBERS = 2**31 - 1
_MOST_OF_A_SESSION = 100
NO_SESSION = SessionStands(newest=None, last_turn=0, running=(), running_of_owner=0)


async def look(session: Session, run_id: str) -> RunRecord:
    row = await session.row("record", run_id=run_id)
    if row is None:
        raise RunNotFound(run_id)
    return record(row)


async def read(session: Session, run_id: str, after: int, limit: int | None, shown: str) -> list[tuple[int, bytes]]:
    after = min(max(after, 0), _ABOVE_ALL_NUMBERS)
    up_to = _ABOVE_ALL_NUMBERS if limit is None else min(after + max(limit, 0), _ABOVE_ALL_NUMBERS)
    rows = await session.rows("read", run_id=run_id, after=after, up_to=up_to)
    if not rows:
        raise RunNotFound(run_id)
    entries = [(number, body) for _, number, body in rows if number is not None]
    wanted = range(after + 1, min(rows[0][0], up_to) + 1)
    if len(entries) != len(wanted):
        missing = min({*wanted} - {number for number, _ in entries}, default=wanted.stop)
        raise StoreCorrupt(
            f"Entry {missing} of run {run_id!r} is missing in {shown}, though the run goes on behind it: the tables "
            "were changed from outside, or a disk lost a write. Restore a backup, or fork the run before that entry."
        )
    return entries


async def snapshot(session: Session, run_id: str, at: int | None) -> tuple[int, bytes] | None:
    row = await session.row("snapshot", run_id=run_id, at=None if at is None else min(at, _ABOVE_ALL_NUMBERS))
    if row is None:
        raise RunNotFound(run_id)
    return None if row[0] is None else (row[0], row[1])


async def last_turn(session: Session, owner: str | None, name: str) -> int:
    row = await session.row("last_turn", owner=owner, session=name)
    return 0 if row is None else row[0]


async def whose_turn(session: Session, owner: str | None, name: str) -> RunRecord | None:
    row = await session.row("whose_turn", owner=owner, session=name)
    return None if row is None else record(row)


async def session_stands(session: Session, owner: str, name: str, most: int) -> SessionStands:
    most = min(max(most, 0), sys.maxsize)
    rows = await session.rows("session_stands", owner=owner, session=name, most=most, limit=_MOST_OF_A_SESSION)
    found = [(record(row), is_newest) for row in rows for is_newest in row[-3:-2] if is_newest is not None]
    return SessionStands(
        newest=next((one for one, is_newest in found if is_newest), None),
        last_turn=rows[0][-2],
        running=[one for one, is_newest in found if not is_newest],
        running_of_owner=rows[0][-1],
    )


async def runs(  # noqa: PLR0913  the filters
    session: Session,
    *,
    graph: str | None,
    statuses: Sequence[str] | None,
    after: str | None,
    limit: int,
    owner: str | None,
    session_name: str | None,
    tag: str | None,
    since: float | None,
    until: float | None,
) -> list[RunRecord]:
    place = (inf if until is None else until, "")
    if after is not None:
        row = await session.row("place", run_id=after)
        if row is None:
            raise RunNotFound(after)
        place = min(place, (row[0], row[1]))
    rows = await session.rows(
        _belonging(owner, session_name, statuses, tag) or _listing(graph, statuses, tag),
        graph=graph,
        owner=owner,
        session=session_name,
        statuses=statuses,
        tag=tag,
        created=place[0],
        run_id=place[1],
        since=-inf if since is None else since,
        limit=min(max(limit, 0), sys.maxsize),
    )
    return [record(row) for row in rows]


def record(row: Row) -> RunRecord:
    run_id, graph, plan, status, epoch, last, created, updated, parent, fork_at, owner, session, turn, *_ = row
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


def _belonging(owner: str | None, session: str | None, statuses: Sequence[str] | None, tag: str | None) -> str | None:
    """Name the statement for runs of an owner or a session; None where neither is asked for."""
    if tag is not None or (owner is None and session is None):
        return None
    if owner is None:
        return "newest_of_session"
    return "newest_of_owner" if statuses is None else "newest_of_owner_and_statuses"


def _listing(graph: str | None, statuses: Sequence[str] | None, tag: str | None) -> str:
    """Name the statement whose index gives the answer in order."""
    if tag is not None:
        return "newest_of_tag"
    if statuses is None:
        return "newest" if graph is None else "newest_of_graph"
    return "newest_of_statuses" if graph is None else "newest_of_graph_and_statuses"
