"""Lets a run that another process drives hear what it says there: tokens and progress, which no log has.

It begins before the run's events are read here. Where the bus is away the run's entries are read all the same.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Any

from ropewalk.contracts.live_events import Cursor, LiveEvents
from ropewalk.core.run import Run
from ropewalk.core.said import Said, load_said
from ropewalk.errors import RopewalkError

log = logging.getLogger("ropewalk")

_ANSWER_SECONDS = 0.1
"""How long the readers of a run wait for what its driver has said before they came."""


@contextlib.asynccontextmanager
async def overhearing(live: LiveEvents | None, run: Run[Any], after: Cursor) -> AsyncGenerator[None]:
    """Let ``run`` hear what is said behind ``after``, until the block ends; where it is driven here there is nothing
    to hear.
    """
    if live is None or not await run.is_driven_elsewhere():
        yield
        return
    answered = asyncio.Event()
    task = asyncio.create_task(_overhear(live, run, after, answered), name=f"ropewalk: overhears {run.run_id}")
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await answered.wait()
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _overhear(live: LiveEvents, run: Run[Any], after: Cursor, answered: asyncio.Event) -> None:
    try:
        async with live.follow(run.run_id, after) as batches:
            async for bodies in batches:
                run.overhear(_loaded(run.run_id, bodies))
                answered.set()
    except (RopewalkError, OSError) as trouble:
        log.warning("run %s is followed without its live events: %s", run.run_id, trouble)
    finally:
        answered.set()


def _loaded(run_id: str, bodies: list[bytes]) -> list[Said]:
    said: list[Said] = []
    for body in bodies:
        try:
            said.append(load_said(body))
        except ValueError:
            log.warning("run %s: a live event was passed over: its form is unknown", run_id)
    return said
