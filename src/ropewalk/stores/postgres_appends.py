"""Appends to the logs of a PostgreSQL store, written many at once.

The fence lets none be written twice. One that is refused after a connection was lost may have been written by the lost
statement: the same entries at the same place are ours.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ropewalk.errors import RunNotFound, RunTaken
from ropewalk.stores.postgres_arrays import entries, numbers, texts
from ropewalk.stores.postgres_server import Session
from ropewalk.stores.postgres_thread import Outcome


class Append(NamedTuple):
    """What a caller asked for."""

    future: "asyncio.Future[None]"
    run_id: str
    epoch: int
    after: int
    bodies: Sequence[bytes]
    status: str
    at: float

    @property
    def size(self) -> int:
        return sum(map(len, self.bodies))


class Appends:
    """How they are written; ``announce`` is told the graphs that have runs for workers now."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce

    async def write(self, batch: list[Append], session: Session) -> tuple[list[Outcome], list[Append]]:
        rows = await session.rows("append", **_parameters(batch))
        for graph in {graph for _, graph in rows if graph is not None}:
            self._announce(graph)
        written: set[int] = {place for place, _ in rows}
        refused = [append for place, append in enumerate(batch) if place not in written]
        return [(batch[place].future, None) for place in written], refused

    async def judge(self, refused: list[Append], session: Session) -> list[Outcome]:
        rows = await session.rows("why_refused", run_ids=[append.run_id for append in refused])
        there = {run_id for run_id, _, _ in rows}
        outcomes: list[Outcome] = []
        for append in refused:
            if append.run_id not in there:
                outcomes.append((append.future, RunNotFound(append.run_id)))
            elif session.doubtful and await _is_there(session, append):
                outcomes.append((append.future, None))
            else:
                outcomes.append((append.future, RunTaken(append.run_id)))
        return outcomes


async def _is_there(session: Session, append: Append) -> bool:
    """Tell whether a lost statement wrote the append."""
    up_to = append.after + len(append.bodies)
    rows = await session.rows("read", run_id=append.run_id, after=append.after, up_to=up_to)
    return bool(append.bodies) and [body for _, _, body in rows] == [bytes(body) for body in append.bodies]


def _parameters(batch: list[Append]) -> dict[str, Any]:
    after = [append.after for append in batch]
    return {
        "place": numbers(range(len(batch))),
        "run_id": texts(append.run_id for append in batch),
        "epoch": numbers(append.epoch for append in batch),
        "after": numbers(after),
        "last": numbers(append.after + len(append.bodies) for append in batch),
        "status": texts(append.status for append in batch),
        "at": numbers(append.at for append in batch),
        **entries(after, [append.bodies for append in batch]),
    }
