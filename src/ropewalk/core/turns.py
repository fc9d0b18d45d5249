"""Whose turn it is in a session: the order of its runs, as their store has it, whichever process asks."""

from ropewalk.contracts import RunRecord, RunStore


async def in_the_way(store: RunStore, *, owner: str | None, session: str | None, turn: int | None) -> RunRecord | None:
    """Return an earlier run of the session that is RUNNING: until it has ended or paused, the run with this turn does
    not begin. None: its turn has come, or it has no place in an order.
    """
    first = await _whose_turn(store, owner, session, turn)
    return first if first is not None and turn is not None and (first.turn or 0) < turn else None


async def next_in_turn(store: RunStore, record: RunRecord) -> RunRecord | None:
    """Return the run whose turn has come, now that the one of ``record`` has ended or paused; None without any."""
    first = await _whose_turn(store, record.owner, record.session, record.turn)
    return first if first is not None and first.run_id != record.run_id else None


async def _whose_turn(store: RunStore, owner: str | None, session: str | None, turn: int | None) -> RunRecord | None:
    if session is None or turn is None:
        return None
    return await store.whose_turn(owner=owner, session=session)
