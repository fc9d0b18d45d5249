"""A run store that fails on purpose, the same way each time, so that a simulation can be played again.

1. Each write asks ``decide`` what befalls it; reads are passed on.
2. `Fault.BEFORE` fails with nothing written, `Fault.AFTER` with all of it: the caller cannot tell which.
3. `Fault.LATE` lets other tasks of the loop go first. No clock takes part.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from enum import Enum
from typing import TypeVar

from ropewalk.contracts import NewRun, RunRecord, RunStore
from ropewalk.errors import StoreUnavailable

Result = TypeVar("Result")


class Fault(Enum):
    """What befalls one write."""

    NONE = "none"
    BEFORE = "before"
    """It fails and nothing was written."""
    AFTER = "after"
    """It was written, and the acknowledgement is lost."""
    LATE = "late"
    """It is done after other tasks had their turns."""


Decide = Callable[[str], Fault]
"""Called with the name of the method (``"append"``) before each write."""


def scripted_faults(script: Iterable[Fault], *, then: Fault = Fault.NONE) -> Decide:
    """Give one fault after another, then ``then`` for ever: `Fault.BEFORE` there is a store that died."""
    faults = iter(script)

    def decide(call: str) -> Fault:
        return next(faults, then)

    return decide


def seeded_faults(seed: int, *, before: float = 0.0, after: float = 0.0, late: float = 0.0) -> Decide:
    """Draw faults with these probabilities; the same seed and the same calls meet the same faults."""
    dice = random.Random(seed)

    def decide(call: str) -> Fault:
        faults = (Fault.BEFORE, Fault.AFTER, Fault.LATE, Fault.NONE)
        return dice.choices(faults, (before, after, late, max(0.0, 1 - before - after - late)))[0]

    return decide


class FaultyRunStore:
    """Passes on to ``inner`` what ``decide`` does not make fail; ``met`` tells what befell each write."""

    def __init__(self, inner: RunStore, decide: Decide, *, turns_late: int = 10) -> None:
        self.inner = inner
        self.decide = decide
        self.met: list[tuple[str, Fault]] = []
        self._turns_late = turns_late

    async def create(self, run: NewRun, bodies: Sequence[bytes]) -> int:
        return await self._write("create", lambda: self.inner.create(run, bodies))

    async def append(
        self, run_id: str, *, epoch: int, after: int, bodies: Sequence[bytes], status: str, at: float
    ) -> None:
        await self._write(
            "append",
            lambda: self.inner.append(run_id, epoch=epoch, after=after, bodies=bodies, status=status, at=at),
        )

    async def claim(self, run_id: str) -> RunRecord:
        return await self._write("claim", lambda: self.inner.claim(run_id))

    async def look(self, run_id: str) -> RunRecord:
        return await self.inner.look(run_id)

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[tuple[int, bytes]]:
        return await self.inner.read(run_id, after=after, limit=limit)

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
        return await self.inner.runs(
            graph=graph, statuses=statuses, owner=owner, session=session, after=after, limit=limit
        )

    async def last_turn(self, *, owner: str | None, session: str) -> int:
        return await self.inner.last_turn(owner=owner, session=session)

    async def whose_turn(self, *, owner: str | None, session: str) -> RunRecord | None:
        return await self.inner.whose_turn(owner=owner, session=session)

    async def save_snapshot(self, run_id: str, *, epoch: int, number: int, body: bytes) -> None:
        await self._write(
            "save_snapshot", lambda: self.inner.save_snapshot(run_id, epoch=epoch, number=number, body=body)
        )

    async def snapshot(self, run_id: str, *, at: int | None = None) -> tuple[int, bytes] | None:
        return await self.inner.snapshot(run_id, at=at)

    async def copy(self, run_id: str, new_run_id: str) -> None:
        await self._write("copy", lambda: self.inner.copy(run_id, new_run_id))

    async def delete(self, run_id: str) -> None:
        await self._write("delete", lambda: self.inner.delete(run_id))

    async def prune(self, older_than: timedelta, statuses: Sequence[str] | None = None) -> int:
        return await self._write("prune", lambda: self.inner.prune(older_than, statuses))

    async def close(self) -> None:
        await self.inner.close()

    async def _write(self, call: str, write: Callable[[], Awaitable[Result]]) -> Result:
        fault = self.decide(call)
        self.met.append((call, fault))
        if fault is Fault.BEFORE:
            raise StoreUnavailable(_message(call, "before anything was written"))
        if fault is Fault.LATE:
            for _ in range(self._turns_late):
                await asyncio.sleep(0)
        result = await write()
        if fault is Fault.AFTER:
            raise StoreUnavailable(_message(call, "after everything was written"))
        return result


def _message(call: str, when: str) -> str:
    return (
        f"{call}() failed {when}: this store was told to fail here. Outside of a test, use the store that it "
        "wraps; in one, this is what the code under test must survive."
    )
