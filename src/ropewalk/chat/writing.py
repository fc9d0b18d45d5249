"""Writes the answer of one run while a worker drives it: follows what the run says, tells what is new of its text.

1. What the log had before is told in one go: a message that somebody else began to write is told anew.
2. Then whatever comes. While a chunk is on its way more gathers, and goes with the next one: the run waits for nothing.
3. How the run stops decides the last chunk; what a run asks is told, and the message goes on when it is answered.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from ropewalk.chat import chunks
from ropewalk.chat.chunks import CANCELLED, FAILED, STOP, WORDS, Ending, Head
from ropewalk.chat.noted import Noted, noted_in
from ropewalk.chat.outlet import Outlet, Ways
from ropewalk.chat.telling import Added, Anew, Telling, answer_in
from ropewalk.contracts import RunRecord, RunStore
from ropewalk.core.engine import Engine
from ropewalk.core.facts import read_entry
from ropewalk.errors import RunNotFound
from ropewalk.errors.chat import ChunkRefused, MessageOver
from ropewalk.events import LAST_OF_A_STRETCH, Entry, Event
from ropewalk.server.chat_replies import notice

_LOOKS_SECONDS = 1.0
_FIRST_CLAIM = 2
"""The epoch of a run that nobody had before: it is admitted with 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Where a run stands when it has stopped."""

    state: Mapping[str, Any]
    """Plain JSON data."""
    usage: Mapping[str, float | None]
    pauses: Sequence[Mapping[str, Any]] = ()
    """What is asked: ``id``, ``kind``, ``node``, ``payload``."""


class Writer:
    """Writes one message, from one epoch of its run."""

    def __init__(self, record: RunRecord, store: RunStore, ways: Ways, *, kept: Sequence[Entry] = ()) -> None:
        """``kept``: what was read already of the run's log, from its beginning."""
        self._record = record
        self._kept = kept
        self._store = store
        self._ways = ways
        self._telling = Telling()
        self._noted: Noted
        self._outlet: Outlet

    async def follow(self, engine: Engine) -> None:
        """Write what the engine's run says until it stops, or is another's. A run that is no chat's is left alone."""
        with contextlib.suppress(ChunkRefused, MessageOver, RunNotFound):
            before = await self._events(0, self._record.last)
            if not await self._begin(before):
                return
            engine.feed.join()
            try:
                stopped = await self._follow(engine)
            finally:
                engine.feed.leave()
            if stopped is not None:
                await self._end(stopped, outcome_of(engine))

    async def close(self, stands: Callable[[], Awaitable[Outcome]]) -> None:
        """Write the end of a run that has stopped while nobody drove it, unless its message is over."""
        with contextlib.suppress(ChunkRefused, MessageOver, RunNotFound):
            before = await self._events(0, self._record.last)
            if before and before[-1].type in LAST_OF_A_STRETCH and await self._begin(before, takes_over=True):
                await self._end(before[-1], await stands())

    async def _events(self, after: int, last: int) -> list[Event]:
        entries = self._kept
        if after or len(entries) != last:
            limit = last - after
            kept = await self._store.read(self._record.run_id, after=after, limit=limit) if limit > 0 else []
            entries = [read_entry(number, body) for number, body in kept]
        return [Event(id=str(one.number), type=one.type, node=one.node, data=one.data) for one in entries]

    async def _begin(self, before: Sequence[Event], *, takes_over: bool = False) -> bool:
        """Tell what the run's log has; False: the run is no chat's."""
        noted = noted_in(before[0].data) if before else None
        if noted is None:
            return False
        run_id = self._record.run_id
        head = Head(session_id=noted.session_id, message_id=run_id, correlation_id=noted.correlation_id or run_id)
        self._noted = noted
        self._outlet = Outlet(head, self._record.epoch, self._ways, lambda: self._telling.shown)
        told = self._telling.take(before)
        if takes_over:
            await self._outlet.take_over()
        elif self._record.epoch == _FIRST_CLAIM and told is None:
            return True
        if takes_over or await self._outlet.open() or told is not None:  # clients may have a part of it, even if the
            await self._outlet.anew(self._telling.shown)  # log has none: from one that was lost
        return True

    async def _follow(self, engine: Engine) -> Event | None:
        feed, cursor = engine.feed, (self._record.last, 0)
        while True:
            newest = feed.newest
            if feed.holds(cursor[0]):
                events = feed.collect(cursor)
            else:
                events = await self._events(cursor[0], newest[0])
                newest = (newest[0], 0)
            if not events:
                if engine.lost is not None or not engine.driving:
                    return None
                await feed.changed(_LOOKS_SECONDS)
                continue
            cursor = newest
            told = self._telling.take(events)
            if told is not None:
                await self._tell(told)
            stopped = next((event for event in events if event.type in LAST_OF_A_STRETCH), None)
            if stopped is not None:
                return stopped

    async def _tell(self, told: Added | Anew) -> None:
        if isinstance(told, Added):
            await self._outlet.say(told.text)
        else:
            await self._outlet.anew(told.text)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _end(self, stopped: Event, outcome: Outcome) -> None:
        data: Mapping[str, Any] = stopped.data or {}
        match stopped.type:
            case "run_done":
                await self._end_well(outcome)
            case "run_paused":
                await self._ask(outcome.pauses)
            case "run_failed":
                await self._last(FAILED, outcome, failure=chunks.failure_of(data))
            case _:
                await self._last(CANCELLED, outcome)

    async def _end_well(self, outcome: Outcome) -> None:
        answer = answer_in(outcome.state.get("messages") or (), self._noted.asked)
        told = self._telling.show(self._telling.text if answer is None else answer)
        if isinstance(told, Anew):
            await self._outlet.anew(told.text)
            told = None
        await self._last(STOP, outcome, rest="" if told is None else told.text)

    async def _last(
        self, reason: str, outcome: Outcome, *, rest: str = "", failure: Mapping[str, str] | None = None
    ) -> None:
        used = outcome.usage.get("output_tokens")
        ending = Ending(
            reason=reason,
            model=self._telling.model or self._noted.model,
            tokens_used=int(used) if used else len(self._telling.shown.split()),
            code=None if failure is None else failure["code"],
            words=WORDS.get(reason, "") if failure is None else failure["message"],
        )
        await self._outlet.say(rest, lambda head, number, text: chunks.last(head, number, text, ending), final=True)

    async def _ask(self, pauses: Sequence[Mapping[str, Any]]) -> None:
        told = [dict(pause) for pause in pauses]
        words = notice(self._record.run_id, told)
        await self._outlet.say(words, lambda h, n, text: chunks.question(h, n, text, told), is_text=False)


def outcome_of(engine: Engine) -> Outcome:
    """Return where an engine's run stands."""
    schedule = engine.schedule
    facts = [pause.fact for pause in schedule.open_pauses.values()]
    pauses = [{"id": f.pause, "kind": f.kind, "node": f.node, "payload": from_json(f.payload)} for f in facts]
    return Outcome(state=schedule.shape.to_json(schedule.union()), usage=schedule.usage, pauses=pauses)
