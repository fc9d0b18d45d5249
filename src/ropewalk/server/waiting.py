"""Lets the runs begin that this process has admitted and whose turn had not come: one task a session.

1. Whose turn it is, the store knows, whichever process drives that run.
2. It is one that waits here: let it begin, and wait until it stops. It is another's: look again, soon at first.
3. What was started behind a run without a turn waits for that one before it gets in line.

What waits is in the store, so that a process that comes later finds out from there what waits for what.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ropewalk.contracts import RunRecord, RunStore
from ropewalk.core.facts import read_entry
from ropewalk.core.run import Run
from ropewalk.errors import RopewalkError, RunError, RunNotFound

log = logging.getLogger("ropewalk")

_Session = tuple[str | None, str]
_TROUBLE_SECONDS = 1.0
_LOOKS_SECONDS = (0.02, 0.5)
"""A run that another process drives is looked at again after so long, at first and at last."""


class Waiting:
    """The runs that wait here for others of their session."""

    def __init__(
        self,
        store: RunStore,
        run_of: Callable[[RunRecord], Run[Any]],
        let_begin: Callable[[RunRecord], Awaitable[None]],
    ) -> None:
        self._store = store
        self._run_of = run_of
        self._let_begin = let_begin
        self._lines: dict[_Session, set[str]] = {}
        """Runs in line, by session; each has a task that sees to it."""
        self._tasks: set[asyncio.Task[None]] = set()

    def wait(self, record: RunRecord, behind: str | None = None) -> None:
        """Let a run begin as soon as its turn has come and ``behind`` has stopped."""
        if behind is not None:
            self._spawn(self._wait_behind(record, behind), f"ropewalk: {record.run_id} waits for {behind}")
        elif record.session is not None and record.turn is not None:
            session = (record.owner, record.session)
            line = self._lines.setdefault(session, set())
            if not line:
                self._spawn(self._see_to(session, line), f"ropewalk: turns of {record.session}")
            line.add(record.run_id)

    async def waits(self, record: RunRecord) -> bool:
        """Tell whether nothing of the run has begun and it may have to wait, by its log; if so, see to it."""
        entries = await self._store.read(record.run_id, after=record.fork_at, limit=2)
        if len(entries) != 1:
            return False
        behind = read_entry(*entries[0]).data.get("behind")
        if behind is None and record.turn is None:
            return False
        self.wait(record, behind)
        return True

    async def close(self) -> None:
        """Stop waiting; the store knows who waits for whom."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- turns --------------------------------------------------------------------------------------------------------

    async def _see_to(self, session: _Session, line: set[str]) -> None:
        shortest, longest = _LOOKS_SECONDS
        pause, newest = shortest, ""
        while line:
            try:
                first = await self._store.whose_turn(owner=session[0], session=session[1])
                if first is None:
                    line.clear()  # none of them is RUNNING any more
                elif first.run_id in line:
                    await self._begin(first)
                    line.discard(first.run_id)
                elif (run := self._run_of(first)).is_under_way:
                    await run.wait()
                else:
                    pause = shortest if first.run_id != newest else min(longest, pause * 1.5)
                    newest = first.run_id
                    await asyncio.sleep(pause)
            except RopewalkError as trouble:
                log.warning("the runs of session %s wait on: %s", session[1], trouble)
                await asyncio.sleep(_TROUBLE_SECONDS)
        del self._lines[session]

    async def _begin(self, record: RunRecord) -> None:
        try:
            await self._let_begin(record)
        except RunError as error:  # another process has it, or it has ended meanwhile
            log.warning("run %s is left alone: %s", record.run_id, error)

    # -- behind a run without a turn ----------------------------------------------------------------------------------

    async def _wait_behind(self, record: RunRecord, behind: str) -> None:
        while True:
            try:
                await self._stopped(behind)
                record = await self._store.look(record.run_id)
                if record.status == "RUNNING" and record.turn is None:
                    await self._begin(record)
                elif record.status == "RUNNING":
                    self.wait(record)
                return
            except RunNotFound:
                return
            except RopewalkError as trouble:
                log.warning("run %s waits on: %s", record.run_id, trouble)
                await asyncio.sleep(_TROUBLE_SECONDS)

    async def _stopped(self, run_id: str) -> None:
        """Return when the run has ended, paused or gone."""
        with contextlib.suppress(RunNotFound):
            record = await self._store.look(run_id)
            if record.status == "RUNNING":
                await self._run_of(record).wait()
