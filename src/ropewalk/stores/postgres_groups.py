"""Groups what callers ask of a PostgreSQL store: what has come while one statement was under way is the next one.

1. What is asked for waits in a queue; one writer takes all that wait, at most one of each run, and sends them as one
   statement.
2. The server says which were written. A refused one harms no other; it is looked at afterwards, to tell why.
3. When the statement fails for a reason of its own (a lock, a value), each is done again by itself, beside the others:
   whoever is to blame keeps nobody waiting.
4. When the connection was lost, all are sent again. One that is refused then may have been written by the lost
   statement, which the look at it finds out.
"""

import asyncio
from functools import partial
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

import psycopg

from ropewalk.stores.postgres_server import PostgresServer, Session
from ropewalk.stores.postgres_thread import Outcome, answer, turns
from ropewalk.stores.postgres_trouble import Verdict, sqlstate, verdict

_MOST_A_STATEMENT = 512
_BYTES_A_STATEMENT = 8 * 1024 * 1024
_TURNS_TO_COME_BACK = 4
"""Turns of a caller's loop in which it is answered, does a step and asks for the next."""
_LONGEST_WAIT_SECONDS = 0.05
"""For those whose loop is held up or stopped, the others wait no longer than this."""
_TIMED_OUT = "57014"

_run_of = attrgetter("run_id")


class Asked(Protocol):
    """What a caller asked for."""

    @property
    def future(self) -> "asyncio.Future[Any]": ...

    @property
    def run_id(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes, about."""
        ...


A = TypeVar("A", bound=Asked)


class Writes(Protocol[A]):
    """How one kind of it is written."""

    async def write(self, batch: list[A], session: Session) -> tuple[list[Outcome], list[A]]:
        """Send one statement; return the outcomes of what it wrote, and what was refused."""
        ...

    async def judge(self, refused: list[A], session: Session) -> list[Outcome]:
        """Return what is told to those who were refused; if ``session.doubtful``, they may have been written before."""
        ...


class Groups(Generic[A]):
    """The queue and its writer. Statements of many go to ``batches``, what is done by itself to ``single``."""

    def __init__(self, writes: Writes[A], batches: PostgresServer, single: PostgresServer) -> None:
        self._writes = writes
        self._batches = batches
        self._single = single
        self._queue: list[A] = []
        self._writer: asyncio.Task[None] | None = None
        self._apart: dict[str, asyncio.Task[None]] = {}
        """Runs for which something is done by itself."""

    def add(self, asked: A) -> None:
        self._queue.append(asked)
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Return when everything that was asked for is answered."""
        while tasks := [task for task in (self._writer, *self._apart.values()) if task is not None]:
            await asyncio.wait(tasks)

    async def _write(self) -> None:
        clock = asyncio.get_running_loop().time
        while batch := self._next_batch():
            began = clock()
            await self._tried(self._batches, batch)
            if 0 < len(self._queue) < len(batch):
                await self._come_back(batch, at_most_seconds=min(2 * (clock() - began), _LONGEST_WAIT_SECONDS))
        self._writer = None  # nothing can have come since the last look: there was no await

    async def _come_back(self, batch: list[A], *, at_most_seconds: float) -> None:
        """Give those who were answered a moment to ask again, when fewer others wait.

        Else statements of one and of nine would take turns for the same ten runs: each costs as much as one of ten.
        """
        loops = {asked.future.get_loop() for asked in batch}
        await turns(loops, _TURNS_TO_COME_BACK, at_most_seconds=at_most_seconds)

    def _next_batch(self) -> list[A]:
        """Take what waits, in order; a second one of a run waits for the first, whose fate decides its own."""
        batch: list[A] = []
        later: list[A] = []
        runs = set(self._apart)
        room = _BYTES_A_STATEMENT
        for position, asked in enumerate(self._queue):
            if len(batch) == _MOST_A_STATEMENT or room <= 0:
                later += self._queue[position:]
                break
            if asked.run_id in runs:
                later.append(asked)
                continue
            runs.add(asked.run_id)
            batch.append(asked)
            room -= asked.size
        self._queue = later
        batch.sort(key=_run_of)  # owners who fight over the same runs lock them in one order
        return batch

    async def _tried(self, server: PostgresServer, batch: list[A], *, doubtful: bool = False) -> None:
        unanswered = batch
        try:
            outcomes, unanswered, doubtful = await server.work(partial(self._sent, batch), doubtful=doubtful)
            answer(outcomes)
            if unanswered:
                look = partial(self._writes.judge, unanswered)
                answer(await server.work(look, writes=False, doubtful=doubtful))
        except _OneByOne as reason:
            for asked in batch:
                task = asyncio.get_running_loop().create_task(self._by_itself(asked, doubtful=reason.doubtful))
                self._apart[asked.run_id] = task
        except Exception as trouble:  # noqa: BLE001 - its callers wait in other threads: it is carried there
            answer([(asked.future, _copied(trouble)) for asked in unanswered])

    async def _by_itself(self, asked: A, *, doubtful: bool) -> None:
        await self._tried(self._single, [asked], doubtful=doubtful)
        del self._apart[asked.run_id]
        if self._queue and self._writer is None:  # what waited for this one
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _sent(self, batch: list[A], session: Session) -> tuple[list[Outcome], list[A], bool]:
        try:
            outcomes, refused = await self._writes.write(batch, session)
        except Exception as trouble:
            if len(batch) > 1 and _may_be_of_one(trouble):
                raise _OneByOne(doubtful=session.doubtful) from None
            raise
        return outcomes, refused, session.doubtful


class _OneByOne(Exception):
    """The statement failed for a reason that may lie with one of the batch."""

    def __init__(self, *, doubtful: bool) -> None:
        self.doubtful = doubtful
        super().__init__()


def _may_be_of_one(trouble: Exception) -> bool:
    if not isinstance(trouble, psycopg.Error):
        return not isinstance(trouble, OSError)
    return verdict(trouble) is Verdict.FINAL or sqlstate(trouble) == _TIMED_OUT


def _copied(trouble: Exception) -> Exception:
    return type(trouble)(*trouble.args)
