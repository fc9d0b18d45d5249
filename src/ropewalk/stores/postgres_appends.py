"""Appends to a PostgreSQL store: what has come while one statement was under way is the next statement.

1. An append waits in a queue; one writer takes all that wait, at most one of each run, and sends them as one statement.
2. The server says which were written. A refused one harms no other; one more statement tells why.
3. When the statement fails for a reason of its own (a lock, a value), each append is done again by itself, beside the
   others: whoever is to blame keeps nobody waiting.
4. When the connection was lost, the appends are sent again: the fence lets none be written twice. One that is refused
   then may have been written by the lost statement, so its run is looked at: the same entries at the same place are
   ours.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import psycopg

from ropewalk.errors import RunNotFound, RunTaken
from ropewalk.stores.postgres_server import PostgresServer, Session
from ropewalk.stores.postgres_thread import Outcome, answer
from ropewalk.stores.postgres_trouble import Verdict, sqlstate, verdict

_APPENDS_A_STATEMENT = 512
_BYTES_A_STATEMENT = 8 * 1024 * 1024
_TURNS_TO_COME_BACK = 20
_TIMED_OUT = "57014"


_run_of = attrgetter("run_id")


class Append(NamedTuple):
    """What a caller asked for."""

    future: "asyncio.Future[None]"
    run_id: str
    epoch: int
    after: int
    bodies: Sequence[bytes]
    status: str
    at: float


class Appender:
    """The queue and its writer; ``announce`` is told the graphs that have runs for workers now."""

    def __init__(self, batches: PostgresServer, single: PostgresServer, announce: Callable[[str], None]) -> None:
        self._batches = batches
        self._single = single
        self._announce = announce
        self._queue: list[Append] = []
        self._writer: asyncio.Task[None] | None = None
        self._apart: dict[str, asyncio.Task[None]] = {}
        """Runs whose append is done by itself."""

    def add(self, append: Append) -> None:
        self._queue.append(append)
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Return when everything that was asked for is answered."""
        while tasks := [task for task in (self._writer, *self._apart.values()) if task is not None]:
            await asyncio.wait(tasks)

    async def _write(self) -> None:
        while batch := self._next_batch():
            await self._tried(self._batches, batch)
            if len(batch) > 1:
                await self._come_back(len(batch))
        self._writer = None  # nothing can have come since the last look: there was no await

    async def _come_back(self, count: int) -> None:
        """Give those who were answered a moment to ask again.

        Else the first of them would be sent alone while the others wait, and statements of one and of nine would take
        turns: half of the steps a second (measured).
        """
        for _ in range(_TURNS_TO_COME_BACK):
            if len(self._queue) >= count:
                break
            await asyncio.sleep(0)

    def _next_batch(self) -> list[Append]:
        """Take what waits, in order; a second append to a run waits for the first, whose fate decides its own."""
        batch: list[Append] = []
        later: list[Append] = []
        runs = set(self._apart)
        room = _BYTES_A_STATEMENT
        for position, append in enumerate(self._queue):
            if len(batch) == _APPENDS_A_STATEMENT or room <= 0:
                later += self._queue[position:]
                break
            if append.run_id in runs:
                later.append(append)
                continue
            runs.add(append.run_id)
            batch.append(append)
            room -= sum(map(len, append.bodies))
        self._queue = later
        batch.sort(key=_run_of)  # owners who fight over the same runs lock them in one order
        return batch

    async def _tried(self, server: PostgresServer, batch: list[Append], *, doubtful: bool = False) -> None:
        try:
            outcomes = await server.work(lambda session: self._together(session, batch), doubtful=doubtful)
        except _OneByOne as reason:
            for append in batch:
                task = asyncio.get_running_loop().create_task(self._by_itself(append, doubtful=reason.doubtful))
                self._apart[append.run_id] = task
        except Exception as trouble:  # noqa: BLE001 - its callers wait in other threads: it is carried there
            answer([(append.future, _copied(trouble)) for append in batch])
        else:
            answer(outcomes)

    async def _by_itself(self, append: Append, *, doubtful: bool) -> None:
        await self._tried(self._single, [append], doubtful=doubtful)
        del self._apart[append.run_id]
        if self._queue and self._writer is None:  # what waited for this one
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _together(self, session: Session, batch: list[Append]) -> list[Outcome]:
        try:
            rows = await session.rows("append", **_parameters(batch))
        except Exception as trouble:
            if len(batch) > 1 and _may_be_of_one(trouble):
                raise _OneByOne(doubtful=session.doubtful) from None
            raise
        written = {place for place, _ in rows}
        for graph in {graph for _, graph in rows if graph is not None}:
            self._announce(graph)
        outcomes: list[Outcome] = [(append.future, None) for place, append in enumerate(batch) if place in written]
        if len(written) < len(batch):
            refused = [append for place, append in enumerate(batch) if place not in written]
            outcomes += await self._why(session, refused)
        return outcomes

    async def _why(self, session: Session, refused: list[Append]) -> list[Outcome]:
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


class _OneByOne(Exception):
    """The batch failed for a reason that may lie with one of its appends."""

    def __init__(self, *, doubtful: bool) -> None:
        self.doubtful = doubtful
        super().__init__()


def _may_be_of_one(trouble: Exception) -> bool:
    if not isinstance(trouble, psycopg.Error):
        return not isinstance(trouble, OSError)
    return verdict(trouble) is Verdict.FINAL or sqlstate(trouble) == _TIMED_OUT


async def _is_there(session: Session, append: Append) -> bool:
    """Tell whether a lost statement wrote the append."""
    up_to = append.after + len(append.bodies)
    rows = await session.rows("read", run_id=append.run_id, after=append.after, up_to=up_to)
    return bool(append.bodies) and [body for _, _, body in rows] == [bytes(body) for body in append.bodies]


def _parameters(batch: list[Append]) -> dict[str, Any]:
    bodies = [body for append in batch for body in append.bodies]
    starts: list[int] = []
    start = 1
    for body in bodies:
        starts.append(start)
        start += len(body)
    return {
        "place": _numbers(range(len(batch))),
        "run_id": _texts(append.run_id for append in batch),
        "epoch": _numbers(append.epoch for append in batch),
        "after": _numbers(append.after for append in batch),
        "last": _numbers(append.after + len(append.bodies) for append in batch),
        "status": _texts(append.status for append in batch),
        "at": _numbers(append.at for append in batch),
        "of": _numbers(place for place, append in enumerate(batch) for _ in append.bodies),
        "number": _numbers(append.after + nth for append in batch for nth in range(1, len(append.bodies) + 1)),
        "start": _numbers(starts),
        "length": _numbers(map(len, bodies)),
        "bodies": b"".join(bodies),
    }


def _numbers(values: Iterable[float]) -> str:
    return f"{{{','.join(map(str, values))}}}"


def _texts(values: Iterable[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return '{"' + '","'.join(quoted) + '"}'


def _copied(trouble: Exception) -> Exception:
    return type(trouble)(*trouble.args)
