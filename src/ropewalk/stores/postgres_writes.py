"""What a PostgreSQL store writes besides appends and admissions.

Each may be done again after its connection was lost: then it finds what it has written itself, and says so, not that
somebody else was first.
"""

from collections.abc import Sequence

from ropewalk.contracts import NewRun, RunRecord
from ropewalk.errors import RunExists, RunNotFound
from ropewalk.stores.postgres_admissions import FIRST_EPOCH, columns, is_mine, refusal
from ropewalk.stores.postgres_reads import look, record
from ropewalk.stores.postgres_schema import LOCKS
from ropewalk.stores.postgres_server import Session

_FAMILIES = 1
"""The advisory lock of whoever forks runs or takes apart what they share."""
_RUNS_A_PRUNE = 200
_ENTRIES_A_PRUNE = 2_000


async def fork(session: Session, run: NewRun, parent: str, bodies: Sequence[bytes], *, for_workers: bool) -> int:
    async with session.connection.transaction():
        await session.rows("not_meanwhile", first=LOCKS, second=_FAMILIES)
        made = await _fork(session, run, parent, bodies, for_workers=for_workers)
    if not made and not (session.doubtful and await is_mine(session, run, bodies)):
        raise await refusal(session, run)
    return FIRST_EPOCH


async def _fork(session: Session, run: NewRun, parent: str, bodies: Sequence[bytes], *, for_workers: bool) -> bool:
    if await session.row("record", run_id=run.run_id) is not None:
        return False
    line = await session.rows("line", run_id=parent, fork_at=run.fork_at)
    if not line or line[0][1] < run.fork_at:
        raise RunNotFound(parent)
    base = line[-1][0] if run.fork_at else None  # who holds entry fork_at may be an ancestor of the parent
    asked = columns([run], [bodies], [for_workers])
    return bool(
        await session.rows("create", **asked, parent=parent, fork_at=run.fork_at, base=base, shared=run.fork_at)
    )


async def claim(session: Session, run_id: str) -> RunRecord:
    row = await session.row("claim", run_id=run_id)
    if row is None:
        raise RunNotFound(run_id)
    return record(row)


async def save_snapshot(session: Session, run_id: str, epoch: int, number: int, body: bytes) -> None:
    if await session.row("save_snapshot", run_id=run_id, epoch=epoch, number=number, body=body) is None:
        raise RunNotFound(run_id)


async def tag(session: Session, run_id: str, tags: Sequence[str]) -> None:
    if await session.row("tag", run_id=run_id, tags=[*tags]) is None:
        raise RunNotFound(run_id)


async def copy(session: Session, run_id: str, new_run_id: str) -> None:
    row = await session.row("copy", run_id=run_id, new_run_id=new_run_id)
    if row is None or not row[0]:
        raise RunNotFound(run_id)
    if not row[1] and not (session.doubtful and await _is_copy(session, run_id, new_run_id)):
        raise RunExists(new_run_id)


async def _is_copy(session: Session, run_id: str, new_run_id: str) -> bool:
    source, there = await look(session, run_id), await look(session, new_run_id)
    return (there.epoch, there.parent, there.created, there.plan) == (1, None, source.created, source.plan)


async def delete(session: Session, run_id: str) -> None:
    async with session.connection.transaction():
        await session.rows("one_at_a_time", first=LOCKS, second=_FAMILIES)
        row = await session.row("lock", run_id=run_id)
        if row is not None:
            await _delete(session, [row[0]])
    if row is None and not session.doubtful:
        raise RunNotFound(run_id)


async def stale(session: Session, before: float, statuses: Sequence[str], graph: str | None, below: int) -> list[int]:
    """Return keys below ``below`` of runs to prune: as many as are deleted in a moment."""
    rows = await session.rows(
        "stale", below=below, before=before, statuses=[*statuses], graph=graph, limit=_RUNS_A_PRUNE
    )
    keys: list[int] = []
    room = _ENTRIES_A_PRUNE
    for key, entries in rows:
        keys.append(key)
        room -= entries
        if room <= 0:
            break
    return keys


async def delete_stale(session: Session, keys: Sequence[int], before: float, statuses: Sequence[str]) -> int:
    """Delete those of the runs that nobody has touched since they were listed; return how many."""
    async with session.connection.transaction():
        await session.rows("one_at_a_time", first=LOCKS, second=_FAMILIES)
        rows = await session.rows("lock_stale", keys=[*keys], before=before, statuses=[*statuses])
        still = [key for (key,) in rows]
        if still:
            await _delete(session, still)
    return len(still)


async def _delete(session: Session, keys: list[int]) -> None:
    """Delete runs: those without forks at once, then the parents, youngest first; many have no fork any more then."""
    parents = {base for (base,) in await session.rows("parents", keys=keys)}
    await session.do("delete", keys=[key for key in keys if key not in parents])
    for key in sorted(parents, reverse=True):
        await _bequeath(session, key)
        await session.do("delete", keys=[key])


async def _bequeath(session: Session, key: int) -> None:
    """Give what is shared to the fork that shares most of it; the others share with that one then."""
    row = await session.row("heir", key=key)
    if row is None:
        return
    heir, shared = row
    await session.do("move_entries", heir=heir, key=key, shared=shared)
    await session.do("rebase_heir", heir=heir, key=key)
    await session.do("rebase_forks", heir=heir, key=key)
