"""Messages that answer what another message asks: kept in the store, so that each answers once, however often it comes.

1. Such a message is kept as a run that has ended at once, of no session, with what it decides in its note.
2. Then what it decides is done. Who dies between the two leaves it to who gets the message again.
3. One that comes again gets the first answer; a pause that was asked meanwhile is none of its.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ropewalk.chat.noted import Noted, noted_in
from ropewalk.contracts import NewRun, RunRecord
from ropewalk.core.facts import RunStarted, RunStopped, encode, read_entry
from ropewalk.errors import (
    AlreadyAnswered,
    PauseNotFound,
    RopewalkError,
    RunExists,
    RunFinished,
    RunNotFound,
    StoreUnavailable,
)
from ropewalk.server.owned import Caller
from ropewalk.server.runs import RunService

_LETS_ANOTHER_SECONDS = 3.0
_LOOKS_SECONDS = 0.05
_OVER = (AlreadyAnswered, PauseNotFound, RunFinished, RunNotFound)
"""What a decision meets that was made before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a message says to a pause of another one."""

    run_id: str
    pause_id: str
    text: str
    """The message."""
    value: Any = None
    releases: bool = False
    """The pause is a breakpoint: there is nothing to say to it."""

    def told(self) -> dict[str, Any]:
        about = {"run_id": self.run_id, "pause_id": self.pause_id, "text": self.text}
        return about | {"value": self.value, "releases": self.releases}


def decision_in(told: Mapping[str, Any]) -> Decision:
    """Return what `Decision.told` has told."""
    return Decision(**{name: told[name] for name in ("run_id", "pause_id", "text", "value", "releases")})


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A message that is in the store."""

    record: RunRecord
    noted: Noted

    @property
    def decision(self) -> Decision | None:
        """What it says to another message; None: it is one that gets an answer of its own."""
        return None if self.noted.answers is None else decision_in(self.noted.answers)


class Replies:
    """What messages say to what others ask."""

    def __init__(self, service: RunService) -> None:
        self._service = service

    async def kept(self, message_id: str) -> Kept | None:
        """Return a message of this id, whatever kind it is of; None when there is none."""
        store = self._service.store
        try:
            record = await store.look(message_id)
            (number, body), *_ = await store.read(message_id, limit=1)
        except RunNotFound:
            return None
        noted = noted_in(read_entry(number, body).data)
        return None if noted is None else Kept(record=record, noted=noted)

    async def reply(self, user: Caller, message_id: str, noted: Noted, decision: Decision) -> None:
        """Keep a message, and do what it decides. Raises what an answer raises; then the message was none.

        Of two who do that with one message at the same time one does it.
        """
        try:
            await self._keep(user, message_id, replace(noted, answers=decision.told()), decision)
        except RunExists:
            await self.again(user, decision)
            return
        try:
            await self.decide(user, decision)
        except StoreUnavailable:  # nobody knows whether it was done; who sends it again finds out
            raise
        except RopewalkError:
            with contextlib.suppress(RunNotFound):
                await self._service.store.delete(message_id)
            raise

    async def again(self, user: Caller, decision: Decision) -> None:
        """See to it that a message's decision was made: who kept it may be at it this very moment, or have died."""
        with contextlib.suppress(*_OVER):
            deadline = time.monotonic() + _LETS_ANOTHER_SECONDS
            while await self._is_asked(user, decision):
                if time.monotonic() > deadline:
                    await self.decide(user, decision)
                    return
                await asyncio.sleep(_LOOKS_SECONDS)

    async def _is_asked(self, user: Caller, decision: Decision) -> bool:
        looked = await self._service.look(user, decision.run_id)
        return any(pause["id"] == decision.pause_id for pause in looked["pauses"])

    async def decide(self, user: Caller, decision: Decision) -> None:
        """Do what a message decides. Raises what an answer raises."""
        if decision.releases:
            await self._service.resume(user, decision.run_id)
        else:
            await self._service.answer(user, decision.run_id, decision.pause_id, decision.value)

    async def _keep(self, user: Caller, message_id: str, noted: Noted, decision: Decision) -> None:
        store, at = self._service.store, time.time()
        graph = self._service.graph((await store.look(decision.run_id)).graph)
        plan = graph.plan.digest
        new = NewRun(run_id=message_id, graph=graph.name, plan=plan, status="DONE", at=at, owner=user.owner)
        facts = (RunStarted(graph.name, plan, [], note=noted.note()), RunStopped("run_done"))
        await store.create(new, [encode(fact, at) for fact in facts])
