"""What happens when a conversation that has a run under way gets another message: `on_busy`.

``reject`` refuses it, ``interrupt`` cancels what is under way, ``parallel`` lets both go on. With ``queue`` the new run
is admitted at once and waits. All but ``parallel`` take the next turn of the session:

1. Ask for the session's last turn, then look at what is under way, both of one moment or in this order; then admit the
   run with the turn behind that.
2. Whoever was quicker has the turn, so that the store refuses ours (`TurnTaken`): look again. So of servers that find
   a session free in the same instant one is right.
3. A run with a turn begins when no run with a lower one is RUNNING (`core/turns.py`). Workers see to that by
   themselves; for the runs that this process drives, one task a session does (`server/waiting.py`).

A run that was started ``parallel`` has no turn: ``queue`` waits for the newest one all the same, which the first entry
of the new run names.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ropewalk.contracts import RunRecord, RunStore, SessionStands
from ropewalk.core.run import Run
from ropewalk.errors import RunFinished, RunNotFound, RunTaken, SessionBusy, TurnTaken
from ropewalk.server.owned import Caller

OnBusy = Literal["reject", "queue", "interrupt", "parallel"]
T = TypeVar("T")

_RUNNING = ("RUNNING",)
_TRIES = 50
"""How often a turn is asked for: each time another server may be quicker."""
_PAUSE_SECONDS = 0.002
"""After the first try; each further pause is longer by as much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a new run stands in its session."""

    turn: int | None = None
    behind: str | None = None
    """A run without a turn that must stop first."""


ANYWHERE = Place()
"""Of a run that has no place in an order."""


class Sessions:
    """The rule of each conversation."""

    def __init__(self, store: RunStore, run_of: Callable[[RunRecord], Run[Any]]) -> None:
        self._store = store
        self._run_of = run_of
        self._locks: dict[tuple[str | None, str], asyncio.Lock] = {}

    async def admit(
        self,
        session: str | None,
        on_busy: OnBusy,
        caller: Caller,
        admit: Callable[[Place], Awaitable[T]],
        stands: SessionStands | None = None,
    ) -> T:
        """Have a run of the conversation admitted by ``admit``, at the place that the rule gives it; ``stands`` is what
        was seen of the conversation a moment ago.

        Raises `SessionBusy`, and what ``admit`` raises.
        """
        if session is None or on_busy == "parallel":
            return await admit(ANYWHERE)
        async with self._alone(session, caller) as waited:
            for tried in range(1, _TRIES + 1):
                if stands is not None and tried == 1 and not waited:
                    last_turn, running = stands.last_turn, stands.running
                else:
                    last_turn = await self._store.last_turn(owner=caller.owner, session=session)
                    running = await self._store.runs(owner=caller.owner, session=session, statuses=_RUNNING)
                behind = await self._make_room(session, on_busy, caller, running)
                with contextlib.suppress(TurnTaken):
                    return await admit(Place(turn=last_turn + 1, behind=behind))
                await asyncio.sleep(_PAUSE_SECONDS * tried)
        (newest,) = await self._store.runs(owner=caller.owner, session=session, limit=1)
        raise SessionBusy(session, newest.run_id)

    @contextlib.asynccontextmanager
    async def _alone(self, session: str, caller: Caller) -> AsyncGenerator[bool]:
        """Keep the others of this process from racing with us: they would only be refused. Gives whether one did."""
        key = (caller.owner, session)
        lock = self._locks.setdefault(key, asyncio.Lock())
        waited = lock.locked()
        try:
            async with lock:
                yield waited
        finally:
            if not lock.locked() and not getattr(lock, "_waiters", None):
                self._locks.pop(key, None)

    async def _make_room(
        self, session: str, on_busy: OnBusy, caller: Caller, running: Sequence[RunRecord]
    ) -> str | None:
        busy = [record for record in running if record.owner == caller.owner]
        if on_busy == "queue":
            return next((record.run_id for record in busy if record.turn is None), None)
        if on_busy == "reject" and busy:
            raise SessionBusy(session, busy[0].run_id)
        for record in busy:
            await self._cancel(record)
        return None

    async def _cancel(self, record: RunRecord) -> None:
        """End a run; another server may do the same in this instant, and then one of the two is refused."""
        for tried in range(1, _TRIES + 1):
            try:
                await self._run_of(record).cancel("another message came")
            except (RunFinished, RunNotFound):
                return
            except RunTaken:
                await asyncio.sleep(_PAUSE_SECONDS * tried)
            else:
                return
