"""The calls of one reply, side by side: none is left behind when another raises, asks a person or is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ropewalk.core.context import Asking

T = TypeVar("T")


async def all_of(works: list[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all of it at once and wait for all, whatever becomes of some; then raise what one raised, an error first."""
    if len(works) == 1:
        return [await works[0]]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()
        raise
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, Asking)):
        raise error
    return [task.result() for task in tasks]
