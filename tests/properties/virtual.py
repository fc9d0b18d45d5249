"""A loop without real time: the clock jumps to the next timer when nothing is ready, and a seed shuffles what is.

1. `VirtualLoop` is asyncio's own loop; only its clock, its waiting and the order of what is ready are ours.
2. What would run in a thread runs on the loop's thread at a drawn moment, so that a seed replays exactly.
3. `VirtualLoop.kill` is the death of a process: nothing runs any more, no cleanup counts.
"""

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any, TypeVar

from ropewalk import Graph

T = TypeVar("T")


class Stuck(Exception):
    """What is awaited can never happen: nothing is ready and no timer is set, or all is busy with nothing."""


MOST_TURNS = 50_000
"""How many turns a loop may take without time going on."""


class Killed(BaseException):
    """The process died before what was awaited had happened."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is an account, and whose order is a seed's."""

    def __init__(self, seed: int = 0, *, now: float = 0.0) -> None:
        self.now = now
        self.dice = random.Random(seed)
        self.dead = False
        self.turns = 0
        super().__init__()

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        inside: Any = self
        ready, timers = inside._ready, inside._scheduled
        if not ready and not inside._stopping:
            while timers and timers[0]._cancelled:
                inside._timer_cancelled_count -= 1
                heapq.heappop(timers)._scheduled = False
            if not timers:
                raise Stuck("nothing is ready and no timer is set")
            self.turns = 0 if timers[0]._when > self.now else self.turns
            self.now = max(self.now, timers[0]._when)
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise Stuck(f"{MOST_TURNS} turns and no time has passed")
        if len(ready) > 1:
            handles = list(ready)
            self.dice.shuffle(handles)
            ready.clear()
            ready.extend(handles)
        super()._run_once()  # pyright: ignore  [the one step of asyncio's loop]

    def kill(self) -> None:
        """Die at the end of this turn."""
        self.dead = True
        self.stop()

    def live(self, main: Coroutine[Any, Any, T]) -> T:
        """Run ``main`` to its end, or to the death of the process: then raise `Killed`."""
        task = self.create_task(main)
        try:
            return self.run_until_complete(task)
        except RuntimeError as error:
            if self.dead and "stopped before" in str(error):
                raise Killed from None
            raise
        finally:
            self._bury()

    def _bury(self) -> None:
        for task in asyncio.all_tasks(self):
            inside: Any = task
            inside._log_destroy_pending = False
            unwind(task.get_coro())
        self.close()


class VirtualThreads(Executor):
    """Runs what it is given on the loop's own thread, at a drawn moment, as if it were another thread."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":  # type: ignore[override]
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            asyncio._set_running_loop(None)
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)
            finally:
                asyncio._set_running_loop(self.loop)

        self.loop.call_later(self.loop.dice.choice((0.0, 0.0, 0.5, 2.0)), work)
        return future


def on(loop: VirtualLoop) -> type[Graph[Any]]:
    """Return the class of graphs that live on this loop's time."""

    class VirtualGraph(Graph[Any]):
        def _settings(self, timeout: float | None) -> Any:
            return replace(super()._settings(timeout), clock=loop.time, threads=VirtualThreads(loop))

    return VirtualGraph


def unwind(coroutine: Any) -> None:
    """Close a coroutine whose cleanup awaits something that will never come."""
    for _ in range(20):
        try:
            coroutine.close()
        except BaseException:
            continue
        return
