"""Lets any number of readers follow a run, each at its own pace: nothing waits for them and none misses or repeats
anything.

Entries come from the log (the newest are kept here). Live events are kept with the step that said them until its entry,
which holds their text, is in the log; so a reader who comes back in the middle of a step finds what it has not seen.
"""

import asyncio
from collections import deque
from typing import Any, NamedTuple

from ropewalk.core.facts import Fact, StepFailed, StepFinished, StepRecorded, to_entry
from ropewalk.events import Entry, Event

_ENDS = (StepFinished, StepFailed)
"""Facts after which a step says nothing more."""
_CLOSING = "model_replied"
"""The type of record that holds the text that was said before it: in its step, that text is told no more."""
LIVE_KEPT = 8192
"""Live events kept per step in flight."""


class Logged(NamedTuple):
    """A fact with its place in the log."""

    number: int
    at: float
    fact: Fact

    def to_entry(self) -> Entry:
        return to_entry(self.number, self.fact, self.at)


class _Live(NamedTuple):
    entry: int
    n: int
    type: str
    data: Any


class _Voice:
    """What one step in flight has said."""

    __slots__ = ("dropped", "dropped_texts", "kept", "node", "texts")

    def __init__(self, node: str) -> None:
        self.node = node
        self.kept: deque[_Live] = deque()
        self.texts: list[str] = []
        self.dropped: tuple[int, int] = (0, 0)
        """Id of the newest live event that had to make room."""
        self.dropped_texts = 0


class Feed:
    """The newest part of a run's log and what its steps in flight say."""

    def __init__(self, keep: int, last: int = 0) -> None:
        self._entries: deque[Logged] = deque(maxlen=keep)
        self._voices: dict[str, _Voice] = {}
        self._begun: dict[str, tuple[int, int, str, int]] = {}
        """Steps in flight: id -> (entry, n) of their step_started, node, attempt."""
        self._ended: deque[_Voice] = deque(maxlen=64)
        """What steps said before their entry came, for readers who are just reaching it."""
        self.readers = 0
        self._entry = last
        self._n = 0
        self._waiting: list[asyncio.Future[None]] = []

    def say(self, batch: list[Logged]) -> None:
        """Take in entries that are in the log now."""
        self._entries.extend(batch)
        self._entry = batch[-1].number
        self._n = 0
        begun, voices = self._begun, self._voices
        for _, _, fact in batch:
            if isinstance(fact, _ENDS):
                begun.pop(fact.step, None)
                self._close(fact.step)
            elif voices and isinstance(fact, StepRecorded) and fact.kind == _CLOSING:
                self._close(fact.step)
        if self._waiting:
            self.wake()

    def _close(self, step_id: str) -> None:
        voice = self._voices.pop(step_id, None) if self._voices else None
        if voice is not None and self.readers:
            self._ended.append(voice)

    def begin(self, step_id: str, node: str, attempt: int) -> None:
        """Take in that a step has started: the live event step_started, made only when somebody reads it."""
        self._n += 1
        self._begun[step_id] = (self._entry, self._n, node, attempt)
        if self._waiting:
            self.wake()

    def live(self, step_id: str, node: str, kind: str, data: Any) -> None:
        """Take in a live event."""
        voice = self._voices.get(step_id)
        if voice is None:
            voice = self._voices[step_id] = _Voice(node)
        self._n += 1
        if len(voice.kept) >= LIVE_KEPT:
            oldest = voice.kept.popleft()
            voice.dropped = (oldest.entry, oldest.n)
            voice.dropped_texts += oldest.type == "text"
        voice.kept.append(_Live(self._entry, self._n, kind, data))
        if kind == "text":
            voice.texts.append(data["text"])
        elif kind == "reset":  # a model's answer begins anew
            voice.texts.clear()
            voice.dropped_texts = 0
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

    @property
    def newest(self) -> tuple[int, int]:
        """The id of the newest event, as a pair."""
        return self._entry, self._n

    def kept(self) -> list[Logged]:
        return list(self._entries)

    def holds(self, after: int) -> bool:
        """Tell whether every entry above ``after`` is still here."""
        return after >= self._entry or (bool(self._entries) and self._entries[0].number <= after + 1)

    def collect(self, cursor: tuple[int, int]) -> list[Event]:
        """Return everything behind ``cursor``, in order.

        Where entries are missing that a store would have, the caller has asked it; without one a ``reset`` says so.
        """
        if cursor >= (self._entry, self._n):
            return []
        found: list[tuple[int, int, Event]] = []
        for logged in reversed(self._entries):
            if logged.number <= cursor[0]:
                break
            entry = logged.to_entry()
            event = Event(id=str(entry.number), type=entry.type, node=entry.node, data=entry.data)
            found.append((entry.number, 0, event))
        for step_id, (number, n, node, attempt) in self._begun.items():
            if (number, n) > cursor:
                data = {"step": step_id, "attempt": attempt}
                found.append((number, n, Event(id=f"{number}.{n}", type="step_started", node=node, data=data)))
        for voice in (*self._ended, *self._voices.values()):
            if voice.kept and (voice.kept[-1].entry, voice.kept[-1].n) > cursor:
                found += _said(voice, cursor)
        if self._entries and not self.holds(cursor[0]):  # a run without a store, and a reader who comes too late
            last = self._entries[0].number - 1
            found.append((last, 0, Event(id=str(last), type="reset", node=None, data={"dropped": last - cursor[0]})))
        found.sort(key=lambda item: item[:2])
        return [event for _, _, event in found]

    def restart(self, last: int) -> None:
        """Begin again behind entry ``last``: what came before is read from the store."""
        self._entries.clear()
        self._voices.clear()
        self._begun.clear()
        self._entry, self._n = last, 0
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


def _said(voice: _Voice, cursor: tuple[int, int]) -> list[tuple[int, int, Event]]:
    found: list[tuple[int, int, Event]] = []
    for live in reversed(voice.kept):
        if (live.entry, live.n) <= cursor:
            break
        event = Event(id=f"{live.entry}.{live.n}", type=live.type, node=voice.node, data=live.data)
        found.append((live.entry, live.n, event))
    if voice.dropped > cursor:
        entry, n = voice.dropped
        text = "".join(voice.texts[: voice.dropped_texts])
        event = Event(id=f"{entry}.{n}", type="reset", node=voice.node, data={"text": text})
        found.append((entry, n, event))
    return found
