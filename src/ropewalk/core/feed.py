"""Lets any number of readers follow a run, each at its own pace: nothing waits for them and none misses or repeats
anything.

Entries come from the log (the newest are kept here). Live events are kept with the step that said them until its entry,
which holds their text, is in the log; so a reader who comes back in the middle of a step finds what it has not seen.

What is said elsewhere, by the process that drives the run, is heard here under its ids (`overhear`) and kept in the
same way: what is behind an entry that was not read yet waits for it, so that nobody sees an id before a lower one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ropewalk.core.facts import Fact, Paused, Reset, RunStopped, StepFailed, StepFinished, StepRecorded, to_entry
from ropewalk.core.said import Said
from ropewalk.core.voices import LIVE_KEPT, Cursor, Live, Voice
from ropewalk.events import Entry, Event, parse_event_id

_ENDS = (StepFinished, StepFailed, Paused)
"""Facts after which a step says nothing more, in this attempt."""
_CLOSING = "model_replied"
"""The type of record that holds the text that was said before it: in its step, that text is told no more."""


class Logged(NamedTuple):
    """A fact with its place in the log."""

    number: int
    at: float
    fact: Fact

    def to_entry(self) -> Entry:
        return to_entry(self.number, self.fact, self.at)


_Numbered = tuple[int, int, Event]


class Feed:
    """The newest part of a run's log and what its steps in flight say."""

    def __init__(self, keep: int, last: int = 0) -> None:
        self._entries: deque[Logged] = deque(maxlen=keep)
        self._voices: dict[str, Voice] = {}
        self._begun: dict[str, tuple[int, int, str, int]] = {}
        """Steps in flight: id -> (entry, n) of their step_started, node, attempt."""
        self._ended: deque[Voice] = deque(maxlen=64)
        """What steps said before their entry came, for readers who are just reaching it."""
        self.log: list[Entry] | None = None
        """All that the run's log had when this feed began, where that was at hand."""
        self.readers = 0
        self.pass_on: Callable[[Said], None] | None = None
        """Told of each live event, and of each commit, for those who follow in other processes."""
        self.announced = 0
        """The newest entry that the process which drives the run has told of."""
        self._heard: deque[Said] = deque(maxlen=LIVE_KEPT)
        """What was said elsewhere behind entries that are still to come."""
        self._floor = 0
        """What is heard with a lower entry was said by an owner who is none any more."""
        self._entry = last
        self._n = 0
        self._waiting: list[asyncio.Future[None]] = []

    def say(self, batch: list[Logged]) -> None:
        """Take in entries that are in the log now."""
        if self._heard:
            self._say_between(batch)
        else:
            self._add(batch)
        if self.pass_on is not None:
            self.pass_on(Said(self._entry))
        if self._waiting:
            self.wake()

    def _add(self, batch: list[Logged]) -> None:
        self._entries.extend(batch)
        self._entry = batch[-1].number
        self._n = 0
        for number, _, fact in batch:
            if isinstance(fact, _ENDS):
                self._close(fact.step, has_ended=True)
            elif isinstance(fact, StepRecorded):
                if fact.kind == _CLOSING:
                    self._close(fact.step)
            elif isinstance(fact, Reset):
                for step_id in {*self._voices, *self._begun}:
                    self._close(step_id, has_ended=True)
                self._floor = number
            elif isinstance(fact, RunStopped):
                self._floor = number

    def _close(self, step_id: str, *, has_ended: bool = False) -> None:
        """Let what a step said be told no more, but to readers who are just reaching it."""
        voice = self._voices.pop(step_id, None) if self._voices else None
        begun = self._begun.pop(step_id, None) if has_ended else None
        if not self.readers:
            return
        if begun is not None and self.announced:  # heard here a moment ago, maybe together with its end
            voice = voice or Voice(begun[2])
            voice.kept.appendleft(Live(begun[0], begun[1], "step_started", _start(step_id, begun[3])))
        if voice is not None:
            self._ended.append(voice)

    def begin(self, step_id: str, node: str, attempt: int) -> None:
        """Take in that a step has started: the live event step_started, made only when somebody reads it."""
        self._n += 1
        self._begun[step_id] = (self._entry, self._n, node, attempt)
        if self.pass_on is not None:
            self.pass_on(_started(step_id, *self._begun[step_id]))
        if self._waiting:
            self.wake()

    def live(self, step_id: str, node: str, kind: str, data: Any) -> None:
        """Take in a live event."""
        voice = self._voices.get(step_id)
        if voice is None:
            voice = self._voices[step_id] = Voice(node)
        self._n += 1
        voice.add(Live(self._entry, self._n, kind, data))
        if self.pass_on is not None:
            self.pass_on(Said(self._entry, self._n, step_id, node, kind, data))
        if self._waiting:
            self.wake()

    def has_heard(self, step_id: str) -> bool:
        """Tell whether a step in flight has said anything."""
        return step_id in self._voices

    def text_of(self, step_id: str) -> str | None:
        """Return all tokens a step in flight has emitted, joined; None when there were none."""
        voice = self._voices.get(step_id) if self._voices else None
        return "".join(voice.texts) if voice and voice.texts else None

    def forget(self, step_id: str) -> None:
        """Drop what a step said whose attempt does not count."""
        self._voices.pop(step_id, None)
        self._begun.pop(step_id, None)

    # -- for and from other processes ---------------------------------------------------------------------------------

    def said(self, cursor: Cursor) -> list[Said]:
        """Return what steps in flight have said behind ``cursor``, in order; then the newest entry, announced."""
        found = [one for step_id, voice in self._voices.items() for one in voice.said(step_id, cursor)]
        found += [_started(step_id, *begun) for step_id, begun in self._begun.items() if begun[:2] > cursor]
        found.sort(key=lambda one: one.id)
        return [*found, Said(self._entry)]

    def overhear(self, batch: Iterable[Said]) -> None:
        """Take in what the process that drives the run has said, in its order.

        What comes twice is passed over, and what steps said that have ended by what is known here. What is behind an
        entry that is not here yet waits for `say`; `announced` tells that there is one.
        """
        ended: Mapping[str, int] | None = None
        for said in batch:
            self.announced = max(self.announced, said.entry)
            if not said.n:
                continue
            if said.entry > self._entry:
                self._heard.append(said)
                continue
            if said.entry < self._entry and ended is None:
                ended = self._ended_at()
            if said.entry >= self._floor and (ended or {}).get(said.step, 0) <= said.entry:
                self._hear(said)
        if self._waiting:
            self.wake()

    def _say_between(self, batch: list[Logged]) -> None:
        """Take in entries, each in its place among what was heard before it was read."""
        heard = deque(sorted(self._heard, key=lambda one: one.id))
        self._heard.clear()
        for logged in batch:
            while heard and heard[0].entry < logged.number:
                self._hear(heard.popleft())
            self._add([logged])
        while heard and heard[0].entry == self._entry:
            self._hear(heard.popleft())
        self._heard.extend(heard)

    def _hear(self, said: Said) -> None:
        voice, begun = self._voices.get(said.step), self._begun.get(said.step)
        if begun is not None and said.id <= begun[:2]:
            return
        if said.type == "step_started":
            if voice is None or voice.newest < said.id:  # what was before it is of an attempt that did not count
                self._close(said.step, has_ended=True)
            self._begun[said.step] = (*said.id, said.node, said.data["attempt"])
        else:
            if voice is None:
                voice = self._voices[said.step] = Voice(said.node)
            if said.id <= voice.newest:
                return
            voice.add(Live(said.entry, said.n, said.type, said.data))
        if said.entry == self._entry:
            self._n = max(self._n, said.n)

    def _ended_at(self) -> dict[str, int]:
        """Return for each step the newest entry that is kept here and closes what it said."""
        return {
            fact.step: number
            for number, _, fact in self._entries
            if isinstance(fact, _ENDS) or (isinstance(fact, StepRecorded) and fact.kind == _CLOSING)
        }

    # -- for readers --------------------------------------------------------------------------------------------------

    @property
    def newest(self) -> Cursor:
        """The id of the newest event, as a pair."""
        return self._entry, self._n

    def kept(self) -> list[Logged]:
        return list(self._entries)

    def holds(self, after: int) -> bool:
        """Tell whether every entry above ``after`` is still here."""
        return after >= self._entry or (bool(self._entries) and self._entries[0].number <= after + 1)

    def collect(self, cursor: Cursor) -> list[Event]:
        """Return everything behind ``cursor``, in order.

        Where entries are missing that a store would have, the caller has asked it; without one a ``reset`` says so.
        """
        if cursor >= (self._entry, self._n):
            return []
        found: list[_Numbered] = []
        for logged in reversed(self._entries):
            if logged.number <= cursor[0]:
                break
            entry = logged.to_entry()
            event = Event(id=str(entry.number), type=entry.type, node=entry.node, data=entry.data)
            found.append((entry.number, 0, event))
        found += self._live_behind(cursor)
        if self._entries and not self.holds(cursor[0]):  # a run without a store, and a reader who comes too late
            last = self._entries[0].number - 1
            found.append((last, 0, Event(id=str(last), type="reset", node=None, data={"dropped": last - cursor[0]})))
        return _in_order(found)

    def among(self, entries: list[Event], cursor: Cursor) -> list[Event]:
        """Return ``entries``, which the store had behind ``cursor``, with what is still kept of what was said between
        them.
        """
        last = parse_event_id(entries[-1].id)
        found: list[_Numbered] = [(int(event.id), 0, event) for event in entries]
        return _in_order([*found, *(one for one in self._live_behind(cursor) if one[:2] < last)])

    def _live_behind(self, cursor: Cursor) -> Iterator[_Numbered]:
        for step_id, (number, n, node, attempt) in self._begun.items():
            if (number, n) > cursor:
                data = _start(step_id, attempt)
                yield number, n, Event(id=f"{number}.{n}", type="step_started", node=node, data=data)
        for voice in (*self._ended, *self._voices.values()):
            if voice.newest > cursor:
                for entry, n, kind, data in voice.behind(cursor):
                    yield entry, n, Event(id=f"{entry}.{n}", type=kind, node=voice.node, data=data)

    def restart(self, last: int) -> None:
        """Begin again behind entry ``last``: what came before is read from the store."""
        self._entries.clear()
        self._voices.clear()
        self._begun.clear()
        self._heard.clear()
        self._entry, self._n = last, 0
        self._floor, self.announced = last, 0
        self.wake()

    def join(self) -> None:
        """Count a reader who follows live; `leave` it."""
        self.readers += 1

    def leave(self) -> None:
        self.readers -= 1
        if not self.readers:
            self._ended.clear()

    async def changed(self, seconds: float | None = None) -> None:
        """Return when there is something new, or when ``seconds`` have passed."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        timer = None if seconds is None else loop.call_later(seconds, _let_go, waiter)  # for less than a timeout costs
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            _let_go(waiter)


def _let_go(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _started(step_id: str, entry: int, n: int, node: str, attempt: int) -> Said:
    return Said(entry, n, step_id, node, "step_started", _start(step_id, attempt))


def _start(step_id: str, attempt: int) -> dict[str, Any]:
    return {"step": step_id, "attempt": attempt}


def _in_order(found: list[_Numbered]) -> list[Event]:
    found.sort(key=lambda one: one[:2])
    return [event for _, _, event in found]
