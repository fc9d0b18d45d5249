"""Keeps what this process knows of one run level with the run's log.

1. The fold is read from the store when somebody asks for it first.
2. Where another process drives the run, what it appends is folded when that is due (`core/looking.py`), by one reader
   at a time.
3. Where this one is, or was, the owner, its fold is the truth, until another is found to have taken the run.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ropewalk.contracts import RunRecord
from ropewalk.core.engine import Engine
from ropewalk.core.looking import Looking
from ropewalk.core.said import Said
from ropewalk.errors import RunTaken

if TYPE_CHECKING:
    from ropewalk.core.desk import Desk


class Reading:
    """The fold of one run in this process. It knows nothing of the run's handle, so that nobody keeps that alive."""

    def __init__(self, run_id: str, desk: "Desk", engine: Engine | None, *, owned: bool) -> None:
        self.run_id = run_id
        self.desk = desk
        self.engine = engine
        """The fold; None: not read yet."""
        self.owned = owned
        """This process is, or was, the run's owner: its fold is the truth."""
        self.admission: asyncio.Future[None] | None = None
        self._lock = asyncio.Lock()
        self._looking = Looking()

    @property
    def is_being_admitted(self) -> bool:
        return self.admission is not None and not self.admission.done()

    @property
    def is_under_way(self) -> bool:
        """True while the run is being admitted, or driven here."""
        engine = self.engine
        return self.is_being_admitted or (engine is not None and (engine.driving or not engine.at_rest))

    async def admitted(self) -> None:
        """Return when the run and its input are durable."""
        if self.admission is not None:
            await asyncio.shield(self.admission)

    # -- the fold -----------------------------------------------------------------------------------------------------

    async def read(self) -> Engine:
        """Return the fold, from the store if this process has none yet."""
        if self.engine is None:
            async with self._lock:
                self.engine = self.engine or await self.desk.load(self.run_id)
        return self.engine

    def read_now(self) -> Engine:
        """Return the fold of what is in the log, for a caller that cannot await."""
        if self.engine is None:
            self.engine = self.desk.load_now(self.run_id)
        elif self.engine.is_ahead and self.is_being_admitted:
            return self.desk.unbegun(self.run_id)  # the store does not know it yet
        elif self.engine.is_ahead and self.desk.store is not None:
            return self.desk.load_now(self.run_id)  # what is not in the log yet has not happened
        return self.engine

    def take(self, engine: Engine) -> None:
        """Go on with ``engine``, which owns the run now."""
        self.engine, self.owned = engine, True

    def give_away(self) -> None:
        """Go on as a reader of what another process does from now on."""
        self.owned = False
        self._looking.begin(time.monotonic())

    def forget(self) -> None:
        """Read the fold afresh when it is asked for next."""
        self.engine, self.owned = None, False

    def refresh(self, record: RunRecord) -> None:
        """Forget a fold that ``record`` shows to be old, where nothing is under way here."""
        engine = self.engine
        if engine is None or self.is_under_way:
            return
        if isinstance(engine.lost, RunTaken) or (record.epoch, record.last) != (engine.epoch, engine.schedule.number):
            self.forget()

    async def forget_if_cancelled(self, loss: BaseException) -> None:
        """Raise why this process lost the run; go on as its reader where the run was taken to be cancelled."""
        store = self.desk.store
        if store is None or not isinstance(loss, RunTaken):
            raise loss
        if (await store.look(self.run_id)).status != "CANCELLED":
            raise loss
        self.forget()

    # -- what others do -----------------------------------------------------------------------------------------------

    async def catch_up(self, *, if_due: bool = False, in_order: bool = False) -> None:
        """Fold what others have appended, where this process does not drive the run.

        With ``if_due`` not what another reader has just folded; with ``in_order`` only as far as readers may be told,
        who shall hear first what was said before.
        """
        async with self._lock:  # several readers must not fold the same entry
            engine = self.engine
            if engine is None or (self.owned and not self._may_be_overtaken(engine)):
                return
            if self.owned:
                self.owned = not await self.desk.overtaken(engine)
            elif not if_due or not self._due_in(engine):
                await self.desk.catch_up(engine, lambda last: self._until(engine, last, in_order=in_order))

    async def changed(self, engine: Engine) -> None:
        """Return when there may be something new to tell a reader."""
        if self.owned:
            await engine.feed.changed(1.0)
        else:
            await self.look_again(engine)

    async def look_again(self, engine: Engine) -> None:
        """Wait a moment, or for what the driving process says; fold what it has appended when that is due."""
        seconds = self._due_in(engine)
        if seconds:
            await engine.feed.changed(seconds)
        if engine is self.engine and not self._due_in(engine):
            await self.catch_up(if_due=True, in_order=True)

    def overhear(self, said: Iterable[Said]) -> None:
        """Take in what the process that drives the run says to its readers; it counts for nothing where that is this
        one.
        """
        if self.engine is not None and not self.owned:
            self.engine.feed.overhear(said)

    def _may_be_overtaken(self, engine: Engine) -> bool:
        """Tell whether another process may have moved the run on since this one has laid it down."""
        if self.desk.store is None or self.is_being_admitted or engine.lost is not None or engine.driving:
            return False
        return engine.schedule.status in ("PAUSED", "FAILED", "RUNNING") and engine.at_rest

    def _due_in(self, engine: Engine) -> float:
        announced, known = engine.feed.announced, engine.schedule.number
        return self._looking.due_in(time.monotonic(), announced=announced, known=known)

    def _until(self, engine: Engine, last: int, *, in_order: bool) -> int:
        now, known = time.monotonic(), engine.schedule.number
        if in_order and engine.schedule.status == "RUNNING":
            return self._looking.until(now, last, announced=engine.feed.announced, known=known)
        self._looking.looked(now, grew=last > known)
        return last
