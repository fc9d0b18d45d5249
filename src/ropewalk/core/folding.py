"""Folds what happened into a run, and what follows at once: what routers choose, breakpoints, the stretch's end.

It decides and tells; who drives it, what is awaited on the way and where it is written down is the ledger's
(`core/ledger.py`).
"""

import asyncio
from collections.abc import Awaitable, Generator, Iterator, Sequence
from typing import Any

from ropewalk.codec import RawJson, legible
from ropewalk.core.choosing import ask_all
from ropewalk.core.facts import (
    Answered,
    Choice,
    Fact,
    Paused,
    Reset,
    RunStarted,
    RunStopped,
    StepFailed,
    StepFinished,
)
from ropewalk.core.feed import Logged
from ropewalk.core.places import Firing
from ropewalk.core.raised import NOT_ITS_OWN, original
from ropewalk.core.schedule import Schedule, pause_id
from ropewalk.core.step import trace_of
from ropewalk.errors import RopewalkError

Folding = Generator[Awaitable[Any], Any, None]
"""Goes on with a fold; yields what has to be awaited on the way and is sent its result."""

OUTCOMES = (StepFinished, StepFailed, Paused)
"""Facts with which a step is no longer in flight."""


class Fold:
    """A run's schedule beside what is in flight, and how both take in what happened."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.shape = schedule.shape
        self.run_id = schedule.run_id
        self.cause: BaseException | None = None
        """The exception behind the run's failure, when it happened in this process."""
        self.in_flight: dict[str, asyncio.Task[None] | None] = {}
        """Steps that began and whose outcome is not in the fold yet; None for the one the driver itself awaits."""
        self.is_ending = False
        """True while the end that somebody wants for the run is on its way into the log."""

    def verdict(self) -> RunStopped | None:
        """Say how the stretch ends, now that nothing is in flight; None when something can still start."""
        raise NotImplementedError

    def fold(self, facts: Sequence[Fact], at: float, batch: list[Logged]) -> Folding | None:
        """Fold ``facts`` into ``batch``; return how it goes on where somebody is to be asked or told, else None."""
        schedule, in_flight = self.schedule, self.in_flight
        rest = iter(facts)
        for fact in rest:
            if isinstance(fact, OUTCOMES):
                in_flight.pop(fact.step, None)
            number = schedule.number + 1
            schedule.apply(number, at, fact)
            batch.append(Logged(number, at, fact))
            if schedule.undecided:
                return self._fold_on(rest, at, batch)
        goes_on = (schedule.ready or in_flight) and not schedule.held and not schedule.unannounced
        return None if goes_on and schedule.failure is None else self._fold_on(rest, at, batch)

    def _fold_on(self, rest: Iterator[Fact], at: float, batch: list[Logged]) -> Folding:
        """Let routers choose, announce breakpoints, end the stretch: all that follows from the facts at once."""
        schedule = self.schedule
        yield from self._choose_last(at, batch)
        for fact in rest:
            self._add(fact, at, batch)
            yield from self._choose_last(at, batch)
        while schedule.unannounced:
            firing = schedule.unannounced[0]
            pause = pause_id(self.run_id, firing.id, "breakpoint", str(firing.held))
            payload = RawJson(b'{"when":"%b"}' % str(firing.held).encode())
            self._add(Paused(pause, "breakpoint", firing.path, firing.id, payload), at, batch)
        end = self.verdict() if not self.in_flight and schedule.status == "RUNNING" else None
        if self.is_ending and schedule.failure is not None:
            end = None  # a router that was cancelled for it; the end that was wanted follows
        if end is None and schedule.status == "FAILED" and batch and type(batch[-1].fact) is Answered:
            end = schedule.failure  # the answer is kept, and the last entry still tells how the run stands
        if end is not None:
            self._add(end, at, batch)

    def _add(self, fact: Fact, at: float, batch: list[Logged]) -> None:
        if isinstance(fact, OUTCOMES):
            self.in_flight.pop(fact.step, None)
        number = self.schedule.number + 1
        self.schedule.apply(number, at, fact)
        batch.append(Logged(number, at, fact))

    def _choose_last(self, at: float, batch: list[Logged]) -> Folding:
        """Complete the newest fact with what is chosen behind it."""
        if self.schedule.undecided and self.schedule.failure is None:
            number, _, fact = batch.pop()
            fact, failed = yield from self._choosing(fact)
            batch.append(Logged(number, at, fact))
            if failed is not None:
                self._add(failed, at, batch)

    def _choosing(self, fact: Fact) -> "Generator[Awaitable[Any], Any, tuple[Fact, StepFailed | None]]":
        """Ask the routers and map edges of everything that departs; return ``fact`` with the choices."""
        schedule = self.schedule
        choices: list[Choice] = list(getattr(fact, "choices", ()))
        while schedule.undecided:
            departure, departing = next(iter(schedule.undecided.items()))
            if isinstance(departing, Firing):
                path, version = departing.path, departing.out
            else:
                path = f"{departing.path}START"
                version = departing.parent.version if departing.parent else schedule.first
            assert version is not None
            try:
                made = yield from ask_all(departing, version.values, self.shape)
            except NOT_ITS_OWN:
                raise
            except BaseException as raised:  # noqa: BLE001  part of door one: a router is code of the step that departs
                error = self.cause = original(raised)
                return _with(fact, tuple(choices)), failure_of(departure, path, 1, error, None)
            for choice in made:
                schedule.decide(choice)
            choices += made
        return _with(fact, tuple(choices)), None


def failure_of(step: str, node: str, attempt: int, error: BaseException, retry_at: float | None) -> StepFailed:
    """Return the fact of a failed attempt: the code and message of the error, and its trace."""
    code = error.code if isinstance(error, RopewalkError) else "node_failed"
    message = legible(str(error)) or type(error).__name__
    return StepFailed(step, node, attempt, code, message, type(error).__name__, legible(trace_of(error)), retry_at)


def _with(fact: Fact, choices: tuple[Choice, ...]) -> Fact:
    if not choices:
        return fact
    if isinstance(fact, RunStarted | StepFinished | Answered | Reset):
        return fact._replace(choices=choices)
    raise AssertionError(f"{fact!r} lets nothing depart")
