"""What happens when a conversation that has a run under way gets another message: `on_busy`.

``reject`` refuses it, ``interrupt`` cancels what is under way, ``parallel`` lets both go on. With ``queue`` the new run
is admitted at once and waits: its first entry names the run that must stop first, so that a process that comes later
finds out from the log alone what waits for what.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Literal

from ropewalk.contracts import RunRecord, RunStore
from ropewalk.core.facts import read_entry
from ropewalk.core.run import Run
from ropewalk.errors import RopewalkError, RunFinished, RunNotFound, SessionBusy
from ropewalk.server.owned import Caller

log = logging.getLogger("ropewalk")

OnBusy = Literal["reject", "queue", "interrupt", "parallel"]
_RUNNING = ("RUNNING",)
_LOOKS_SECONDS = 1.0


class Sessions:
    """The rule of each conversation, and the runs that wait for another one."""

    def __init__(
        self,
        store: RunStore,
        run_of: Callable[[RunRecord], Run[Any]],
        let_begin: Callable[[RunRecord], Awaitable[None]],
    ) -> None:
        self._store = store
        self._run_of = run_of
        self._let_begin = let_begin
        self._locks: dict[tuple[str | None, str], asyncio.Lock] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}

    @contextlib.asynccontextmanager
    async def admitting(self, session: str | None, on_busy: OnBusy, caller: Caller) -> AsyncGenerator[str | None]:
        """Hold the conversation while a run of it is admitted; yields the run that it must wait for, or None.

        Raises `SessionBusy`.
        """
        if session is None or on_busy == "parallel":
            yield None
            return
        key = (caller.owner, session)
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                yield await self._behind(session, on_busy, caller)
        finally:
            if not lock.locked() and not getattr(lock, "_waiters", None):
                self._locks.pop(key, None)

    async def _behind(self, session: str, on_busy: OnBusy, caller: Caller) -> str | None:
        busy = await self._store.runs(owner=caller.owner, session=session, statuses=_RUNNING)
        if not busy:
            return None
        if on_busy == "reject":
            raise SessionBusy(session, busy[0].run_id)
        if on_busy == "queue":
            return busy[0].run_id
        for record in busy:
            with contextlib.suppress(RunFinished, RunNotFound):
                await self._run_of(record).cancel("another message came")
        return None

    def wait_behind(self, run_id: str, behind: str) -> None:
        """Let a run begin as soon as another one has stopped."""
        task = asyncio.create_task(self._wait(run_id, behind), name=f"ropewalk: {run_id} waits for {behind}")
        self._waiting[run_id] = task
        task.add_done_callback(lambda _: self._waiting.pop(run_id, None))

    async def _wait(self, run_id: str, behind: str) -> None:
        while True:
            try:
                await self._stopped(behind)
                record = await self._store.look(run_id)
                if record.status == "RUNNING":
                    await self._let_begin(record)
                return
            except RunNotFound:
                return
            except RopewalkError as trouble:
                log.warning("run %s waits on: %s", run_id, trouble)
                await asyncio.sleep(_LOOKS_SECONDS)

    async def _stopped(self, run_id: str) -> None:
        """Return when the run has ended, paused or gone."""
        with contextlib.suppress(RunNotFound):
            record = await self._store.look(run_id)
            if record.status == "RUNNING":
                await self._run_of(record).wait()

    async def behind_of(self, record: RunRecord) -> str | None:
        """Return the run that a run without a beginning waits for, by its log; None when it has begun, or may."""
        entries = await self._store.read(record.run_id, after=record.fork_at, limit=2)
        if len(entries) != 1:
            return None
        return read_entry(*entries[0]).data.get("behind")

    async def close(self) -> None:
        """Stop waiting; the log knows who waits for whom."""
        waiting = [*self._waiting.values()]
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
