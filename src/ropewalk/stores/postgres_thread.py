"""A thread with an event loop of its own, in which a store's connections live whatever loops its callers have.

1. `ask` makes a future of the calling loop and hands the job over. All that is asked for in one turn of that loop wakes
   the thread once, at the turn's end: woken by the first job, it would take the interpreter from whoever asks next.
2. The thread's loop does the job with the resident: what was made in the thread and never leaves it.
3. Its answer goes back by `call_soon_threadsafe`, one call for all answers of a batch to a loop.

The thread is a daemon and holds nothing of what callers hold: a store that is simply dropped ends it, and so does the
interpreter's exit, which gives it a moment to finish. A forked process finds no thread of its own and starts one.
"""

import asyncio
import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

_SECONDS_TO_FINISH_AT_EXIT = 5.0

Outcome = tuple["asyncio.Future[Any]", Any]
"""A caller's future, and its result or the exception it gets."""


class Closes(Protocol):
    """What can live in the thread."""

    def hurry(self) -> None:
        """Let whoever waits for what may never come return: the end is near."""
        ...

    async def close(self) -> None: ...


R = TypeVar("R", bound=Closes)
T = TypeVar("T")
Job = Callable[["asyncio.Future[Any]", R], None]


class LoopThread(Generic[R]):
    """What callers hold; the first job starts the thread. ``closed`` makes the error of late jobs."""

    def __init__(self, name: str, make_resident: Callable[[], R], *, closed: Callable[[], Exception]) -> None:
        self._make = lambda: _Running(name, make_resident, closed)
        self._running: _Running[R] | None = None
        self._left_behind: _Running[R] | None = None
        self._starting = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_forget_thread, weakref.ref(self)))

    def ask(self, work: Callable[[R], Coroutine[Any, Any, T]]) -> "asyncio.Future[T]":
        """Have ``work(resident)`` done; a caller that goes away does not stop it."""
        running = self._running or self._start()
        return running.put(partial(_spawn, running, work))

    def hand(self, job: Job[R]) -> "asyncio.Future[Any]":
        """Have ``job(future, resident)`` called, which sees to it that the future is answered."""
        return (self._running or self._start()).put(job)

    async def close(self) -> None:
        """Finish what was asked, close the resident, end the thread."""
        if self._running is not None:
            self._running.let_go()
            await asyncio.get_running_loop().run_in_executor(None, self._running.thread.join)

    def forget_thread(self) -> None:
        # Kept, not dropped: its loop, collected here, would take its signals off the parent's.
        self._running, self._left_behind = None, self._running
        self._starting = threading.Lock()  # another thread of the parent may have held it

    def _start(self) -> "_Running[R]":
        with self._starting:
            if self._running is None:
                running = self._make()
                running.start()
                weakref.finalize(self, running.let_go).atexit = False
                self._running = running
            return self._running


def answer(outcomes: Iterable[Outcome]) -> None:
    """Give callers their results, each in its own loop."""
    of_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        of_loop.setdefault(outcome[0].get_loop(), []).append(outcome)
    for loop, answers in of_loop.items():
        with suppress(RuntimeError):  # the loop was closed: its callers are gone
            loop.call_soon_threadsafe(_deliver, answers)


async def turns(of: Iterable[asyncio.AbstractEventLoop], count: int, *, at_most_seconds: float) -> None:
    """Return when each of these loops has turned ``count`` times, or the time is over."""
    turned: list[asyncio.Event] = []
    for loop in of:
        with suppress(RuntimeError):  # the loop was closed
            done = asyncio.Event()
            loop.call_soon_threadsafe(_turn, count, asyncio.get_running_loop(), done)
            turned.append(done)
    with suppress(TimeoutError):
        async with asyncio.timeout(at_most_seconds):
            for done in turned:
                await done.wait()


def _turn(count: int, asker: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    if count:
        asyncio.get_running_loop().call_soon(_turn, count - 1, asker, done)
    else:
        with suppress(RuntimeError):  # the asker has ended meanwhile
            asker.call_soon_threadsafe(done.set)


class _Running(Generic[R]):
    """The thread's own side, in one process."""

    def __init__(self, name: str, make_resident: Callable[[], R], closed: Callable[[], Exception]) -> None:
        self.thread = threading.Thread(target=self._work, args=(make_resident,), name=name, daemon=True)
        self.loop = asyncio.SelectorEventLoop()  # what the driver can use everywhere
        self.tasks: set[asyncio.Task[None]] = set()
        self._jobs: deque[tuple[asyncio.Future[Any], Job[R]]] = deque()
        self._calling: set[asyncio.AbstractEventLoop] = set()
        """Loops that wake the thread at the end of their turn."""
        self._ending = asyncio.Event()
        self._closed = closed
        self._resident: R | None = None
        self._ended = False
        self._exiting = False

    def start(self) -> None:
        self.thread.start()
        atexit.register(self._finish_at_exit)

    def put(self, job: Job[R]) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.append((future, job))
        if loop not in self._calling:
            self._calling.add(loop)
            loop.call_soon(self._call, loop)
        return future

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        self._calling.discard(loop)
        with suppress(RuntimeError):  # its loop has ended, which is seen below
            self.loop.call_soon_threadsafe(self._take)
        if self._ended:
            self._refuse_rest()

    def let_go(self) -> None:
        """Have the thread end by itself. Called wherever garbage is collected, so it waits for nothing."""
        if self.thread.is_alive():  # not so in a forked process
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._ending.set)

    def _finish_at_exit(self) -> None:
        self._exiting = True
        if self.thread.is_alive():
            self.let_go()
            self.thread.join(_SECONDS_TO_FINISH_AT_EXIT)

    def _work(self, make_resident: Callable[[], R]) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._live(make_resident))
        finally:
            self._ended = True
            self.loop.close()
            if not self._exiting:
                atexit.unregister(self._finish_at_exit)
            self._refuse_rest()

    async def _live(self, make_resident: Callable[[], R]) -> None:
        resident = self._resident = make_resident()
        self._take()
        await self._ending.wait()
        self._take()
        while self.tasks:
            resident.hurry()
            await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        await resident.close()

    def _take(self) -> None:
        resident = self._resident
        if resident is None:
            return
        while self._jobs:
            future, job = self._jobs.popleft()
            job(future, resident)

    def _refuse_rest(self) -> None:
        with suppress(IndexError):
            while True:
                answer([(self._jobs.popleft()[0], self._closed())])


def _spawn(
    running: _Running[R], work: Callable[[R], Coroutine[Any, Any, T]], future: "asyncio.Future[T]", resident: R
) -> None:
    task = running.loop.create_task(_answered(work, future, resident))
    running.tasks.add(task)
    task.add_done_callback(running.tasks.discard)


async def _answered(work: Callable[[R], Coroutine[Any, Any, T]], future: "asyncio.Future[T]", resident: R) -> None:
    try:
        result: Any = await work(resident)
    except Exception as error:  # noqa: BLE001 - its caller waits in another thread: it is carried there
        result = error.with_traceback(None)  # which would keep the thread's frames alive
    answer([(future, result)])


def _deliver(answers: list[Outcome]) -> None:
    for future, result in answers:
        if future.done():  # its caller was cancelled while the job was under way
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _forget_thread(of: "weakref.ref[LoopThread[Any]]") -> None:
    thread = of()
    if thread is not None:
        thread.forget_thread()
