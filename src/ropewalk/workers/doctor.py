"""Finds unfinished runs that nothing moves on: the store sees to it that there are none, but people stop workers.

Four things can be wrong with a RUNNING run, from the worst to the most common:

- stranded: it was left to workers and is not in their queue. This never happens; a doctor looks all the same;
- unserved: it has been due for long, and no worker holds any run of its graph;
- waiting: it has been due for long, and those who hold other runs of its graph have no room, or code that does not fit;
- silent: it was driven without workers and its log has not grown for long. Its process died, or a step takes long.
"""

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Literal

from ropewalk.contracts import QueuesRuns, RunRecord, RunStore, TellsOfRuns

Problem = Literal["stranded", "unserved", "waiting", "silent"]

_PAGE = 500
_LOOKED_AT = 100
"""Runs of a graph that are looked at to find a worker that serves it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StuckRun:
    """A run, and why nothing moves it."""

    run_id: str
    graph: str
    problem: Problem
    seconds: float | None
    """For how long; None where nobody knows."""


async def stuck_runs(
    store: RunStore, *, for_seconds: float = 60.0, limit: int = 1000, clock: Callable[[], float] = time.time
) -> list[StuckRun]:
    """Return the runs that nothing has moved for so long; it only reads."""
    queue = store.queue() if isinstance(store, QueuesRuns) else None
    found: list[StuckRun] = []
    if queue is not None:
        for run_id in await queue.stranded(limit=limit):
            record = await store.look(run_id)
            found.append(StuckRun(run_id=run_id, graph=record.graph, problem="stranded", seconds=None))
    asks = queue if isinstance(queue, TellsOfRuns) else None
    if asks is not None:
        served: dict[str, bool] = {}
        for run in await asks.overdue(for_seconds=for_seconds, limit=limit):
            if run.graph not in served:
                served[run.graph] = await _is_served(store, asks, run.graph)
            problem: Problem = "waiting" if served[run.graph] else "unserved"
            found.append(StuckRun(run_id=run.run_id, graph=run.graph, problem=problem, seconds=run.due_seconds))
    now = clock()
    async for record in _running(store):
        if now - record.updated < for_seconds or len(found) >= limit:
            continue
        if asks is None or await asks.queued(record.run_id) is None:
            found.append(
                StuckRun(run_id=record.run_id, graph=record.graph, problem="silent", seconds=now - record.updated)
            )
    return found


async def _is_served(store: RunStore, queue: TellsOfRuns, graph: str) -> bool:
    """Tell whether a worker holds a lease on a run of this graph."""
    for record in await store.runs(graph=graph, statuses=["RUNNING"], limit=_LOOKED_AT):
        run = await queue.queued(record.run_id)
        if run is not None and run.worker is not None and run.due_seconds is not None and run.due_seconds < 0:
            return True
    return False


async def _running(store: RunStore) -> AsyncGenerator[RunRecord, None]:
    after: str | None = None
    while page := await store.runs(statuses=["RUNNING"], after=after, limit=_PAGE):
        for record in page:
            yield record
        after = page[-1].run_id
