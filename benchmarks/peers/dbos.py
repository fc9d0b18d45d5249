"""DBOS on SQLite or PostgreSQL: one workflow is one run, one `@DBOS.step` a step."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable

from dbos import DBOS

from benchmarks import database
from benchmarks.measure import Clock, Costs

Repetition = Callable[[], Awaitable[Costs]]


def durable(runs: int, steps: int) -> Repetition:
    folder = tempfile.mkdtemp(prefix="bench-dbos-")
    return _timed(f"sqlite:///{folder}/dbos.db", runs, steps)


def postgres(url: str, runs: int, steps: int) -> Repetition:
    return _timed(database.fresh(url), runs, steps)


def _timed(system_database_url: str, runs: int, steps: int) -> Repetition:
    DBOS(config={"name": "bench", "system_database_url": system_database_url})

    @DBOS.step()
    async def add(number: int) -> int:
        return number + 1

    @DBOS.workflow()
    async def work() -> int:
        number = 0
        for _ in range(steps):
            number = await add(number)
        return number

    launched = False

    async def repeat() -> Costs:
        nonlocal launched
        if not launched:
            DBOS.launch()
            launched = True
        with Clock(runs * steps) as clock:
            await asyncio.gather(*(work() for _ in range(runs)))
        return clock.costs

    return repeat
