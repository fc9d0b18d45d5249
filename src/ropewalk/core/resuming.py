"""The facts with which a run goes on: the reset of a new owner or an explicit resume, and an answer."""

from typing import Any

from ropewalk.codec import ANY, legible, stored_form
from ropewalk.core.facts import Answered, Fact, Reset, RunStopped
from ropewalk.core.offers import ChecksAnswers
from ropewalk.core.schedule import DEATHS_ALLOWED, Schedule
from ropewalk.errors import AnswerInvalid, PauseExpired


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


def answer_of(schedule: Schedule, pause: str, value: Any, by: str | None, now: float) -> Answered:
    """Return the answer as a fact. Raises `NotStorable` for a value that is not plain data, `PauseExpired`, and
    `AnswerInvalid` with what the node that asked has against the value.
    """
    asked = schedule.open_pauses[pause]
    fact = asked.fact
    if fact.expires_at is not None and now >= fact.expires_at:
        raise PauseExpired(schedule.run_id, pause, fact.expires_at)
    call = asked.step.place.call if asked.step is not None else None
    if call is not None and isinstance(call.fn, ChecksAnswers):
        try:
            value = call.fn.check_answer(fact, value)
        except ValueError as why:
            raise AnswerInvalid(schedule.run_id, pause, str(why)) from None
    raw, _ = stored_form(ANY, value, f"The answer to {fact.node!r}")
    return Answered(pause, fact.node, raw, by and legible(by))


def settled_by_time(schedule: Schedule, now: float) -> list[Answered]:
    """Return the answers of questions that nobody has answered in time."""
    facts = [pause.fact for pause in schedule.open_pauses.values()]
    return [
        Answered(fact.pause, fact.node, fact.otherwise)
        for fact in facts
        if fact.expires_at is not None and now >= fact.expires_at
    ]
