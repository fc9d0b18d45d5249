"""A thread with a SQLite connection of its own: it does what any event loop asks, many jobs a transaction.

1. `ask` makes a future of the calling loop; what one turn of the loop asks for goes into the thread's queue together.
2. The thread waits for jobs and takes what else has come meanwhile: the group that is committed together.
3. It answers with one `call_soon_threadsafe` per event loop, so that a batch wakes each loop once.

The thread is a daemon and holds nothing of what callers hold: a store that is simply dropped ends it, and so does the
interpreter's exit, which gives it a moment to finish. A forked process finds no thread of its own and starts one.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ropewalk.stores.sqlite_file import Job, Outcome, SqliteFile, Work

_SECONDS_TO_FINISH_AT_EXIT = 5.0
_JOBS_AT_ONCE = 32
"""A loop that asks for more in one turn has them begun while it goes on asking."""


class SqliteThread:
    """What callers hold; the first job starts the thread. ``closed`` makes the error of late jobs."""

    def __init__(
        self, name: str, make_file: Callable[[], SqliteFile], *, batch: int, closed: Callable[[], Exception]
    ) -> None:
        self._make = lambda: _Running(name, make_file(), batch, closed)
        self._running: _Running | None = None
        self._asked: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        """What each loop has asked for in its present turn."""
        self._starting = threading.Lock()
        if hasattr(os, "register_at_fork"):  # asking for the process id at every job would cost more than the queue
            os.register_at_fork(after_in_child=partial(_forget_thread, weakref.ref(self)))

    def ask(self, work: Work, *args: object) -> asyncio.Future[Any]:
        """Have ``work(file, *args)`` done inside a transaction; the future is done when that is committed."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        asked = self._asked.get(loop)
        if asked is None:
            asked = self._asked[loop] = []
            loop.call_soon(self._hand_over, loop)
        asked.append((future, work, args))
        if len(asked) >= _JOBS_AT_ONCE:
            self._hand_over(loop)
        return future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs = self._asked.pop(loop, None)
        if jobs is None:
            return
        running = self._running or self._start()
        running.queue.put(jobs)
        if running.ended:  # they came too late for the thread to see them
            running.refuse_rest()

    async def close(self) -> None:
        """Finish what was asked, close the connection, end the thread."""
        self._hand_over(asyncio.get_running_loop())
        if self._running is not None:
            self._running.let_go()
            await asyncio.get_running_loop().run_in_executor(None, self._running.thread.join)

    def forget_thread(self) -> None:
        self._running = None
        self._asked = {}
        self._starting = threading.Lock()  # another thread of the parent may have held it

    def _start(self) -> _Running:
        with self._starting:
            if self._running is None:
                running = self._make()
                running.start()
                weakref.finalize(self, running.let_go).atexit = False
                self._running = running
            return self._running


def _forget_thread(of: weakref.ref[SqliteThread]) -> None:
    thread = of()
    if thread is not None:
        thread.forget_thread()


class _Running:
    """The thread's own side, in one process."""

    def __init__(self, name: str, file: SqliteFile, batch: int, closed: Callable[[], Exception]) -> None:
        self.thread = threading.Thread(target=self._work, args=(file,), name=name, daemon=True)
        self.queue: SimpleQueue[list[Job] | None] = SimpleQueue()  # None asks the thread to end
        self.ended = False
        self._batch = batch
        self._closed = closed
        self._exiting = False

    def start(self) -> None:
        self.thread.start()
        atexit.register(self._finish_at_exit)

    def refuse_rest(self) -> None:
        with suppress(Empty):
            while True:
                _answer([(future, self._closed()) for future, _, _ in self.queue.get_nowait() or ()])

    def let_go(self) -> None:
        """Have the thread end by itself. Called wherever garbage is collected, so it waits for nothing."""
        if self.thread.is_alive():  # not so in a forked process, whose copy of the queue may be locked forever
            self.queue.put(None)

    def _finish_at_exit(self) -> None:
        self._exiting = True
        if self.thread.is_alive():
            self.let_go()
            self.thread.join(_SECONDS_TO_FINISH_AT_EXIT)

    def _work(self, file: SqliteFile) -> None:
        while self._one_batch(file):
            pass
        file.close()
        self.ended = True
        if not self._exiting:
            atexit.unregister(self._finish_at_exit)
        self.refuse_rest()

    def _one_batch(self, file: SqliteFile) -> bool:
        """Return whether to go on. A function of its own, so that a thread at rest holds no job."""
        queue = self.queue
        group: list[Job] = []
        jobs = queue.get()
        waiting = queue.qsize()
        while jobs is not None:
            group += jobs
            if not waiting or len(group) >= self._batch:
                break
            waiting -= 1
            jobs = queue.get()
        if group:
            _answer(file.do(group))
        return jobs is not None


def _answer(outcomes: Iterable[Outcome]) -> None:
    of_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        of_loop.setdefault(outcome[0].get_loop(), []).append(outcome)
    for loop, answers in of_loop.items():
        with suppress(RuntimeError):  # the loop was closed: its callers are gone
            loop.call_soon_threadsafe(_deliver, answers)


def _deliver(answers: list[Outcome]) -> None:
    for future, result in answers:
        if future.done():  # its caller was cancelled while the job was under way
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
