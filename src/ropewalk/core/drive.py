"""How a run is driven in this process, and who is told of what it does."""

import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from ropewalk.core.feed import Logged
from ropewalk.errors import RunTaken


class Watch(Protocol):
    """What is told of every run that this process drives, for measuring and for telling others. It must be quick, may
    not raise, and is called from the loop that drives the run.
    """

    def began(self, graph: str, run_id: str, step: str, node: str) -> None:
        """Take in that an attempt at a step begins."""

    def logged(self, graph: str, run_id: str, batch: Sequence[Logged]) -> None:
        """Take in what is in the log now."""

    def appended(self, seconds: float, *, failed: bool) -> None:
        """Take in that the store has written something down, or could not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a run is driven."""

    timeout: float | None
    """Seconds the run may be under way, pauses left out."""
    max_concurrency: int | None
    threads: Executor
    verbose: bool = False
    """Log every entry."""
    watches: tuple[Watch, ...] = ()
    clock: Callable[[], float] = time.time


async def watched(append: Awaitable[None], watches: tuple[Watch, ...]) -> None:
    """Await an append, and tell for how long, and whether the store could do it."""
    began, failed = time.perf_counter(), True
    try:
        await append
        failed = False
    except RunTaken:
        failed = False  # the store did what it is for
        raise
    finally:
        for watch in watches:
            watch.appended(time.perf_counter() - began, failed=failed)
