"""DBOS on SQLite: one workflow is one run, one `@DBOS.step` a step."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable

from dbos import DBOS

from benchmarks.measure import Clock, Costs


def durable(runs: int, steps: int) -> Callable[[], Awaitable[Costs]]:
    folder = tempfile.mkdtemp(prefix="bench-dbos-")
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.db"})

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
