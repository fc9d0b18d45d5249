"""The facts with which a run goes on: the reset of a new owner or an explicit resume, and an answer."""

from typing import Any

from ropewalk.codec import ANY, legible, stored_form
from ropewalk.core.facts import Answered, Fact, Reset, RunStopped
from ropewalk.core.schedule import DEATHS_ALLOWED, Schedule


def reset_of(schedule: Schedule, epoch: int, *, reason: str, explicit: bool, limit: int | None = None) -> list[Fact]:
    """Return the facts with which a new owner begins: a reset, and the end of a run whose steps keep killing their
    worker.
    """
    facts: list[Fact] = [Reset(reason, epoch, explicit, limit=limit)]
    if not explicit and reason == "taken_over":
        for step in schedule.pending():
            if step.deaths + 1 >= DEATHS_ALLOWED:
                message = f"the worker died {step.deaths + 1} times while it was in flight; resume() tries again"
                facts.append(RunStopped("run_failed", "poisoned", step.path, step.attempt, message))
                break
    return facts


def answer_of(schedule: Schedule, pause: str, value: Any, by: str | None) -> Answered:
    """Return the answer as a fact. Raises `NotStorable` for a value that is not plain data."""
    fact = schedule.open_pauses[pause].fact
    raw, _ = stored_form(ANY, value, f"The answer to {fact.node!r}")
    return Answered(pause, fact.node, raw, by and legible(by))
