"""The facts with which a run goes on: the reset of a new owner, an explicit resume, an answer."""

import datetime
from typing import Any

from ropewalk.codec import ANY, legible, stored_form
from ropewalk.core.facts import Answered, Fact, Reset, RunStopped
from ropewalk.core.offers import ChecksAnswers
from ropewalk.core.schedule import DEATHS_ALLOWED, Schedule
from ropewalk.errors import AlreadyAnswered, AnswerInvalid, PauseExpired, PauseNotFound, RunFinished


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


def resumption_of(schedule: Schedule, epoch: int, now: float, *, given: int | None, otherwise: int) -> list[Fact]:
    """Return the facts of an explicit resume: a reset of what failed, every breakpoint released, the questions settled
    that nobody has answered in time. Raises `RunFinished` for a cancelled run.

    ``given`` is the new limit of how often a node may run, None where none was given; then it is ``otherwise``.
    """
    if schedule.status == "CANCELLED":
        raise RunFinished(schedule.run_id, "CANCELLED", "resuming it")
    facts: list[Fact] = []
    if schedule.status == "FAILED" or (schedule.status == "PAUSED" and given is not None):
        limit = given if given is not None else otherwise
        facts += reset_of(schedule, epoch, reason="resumed", explicit=True, limit=limit)
    breakpoints = [pause.fact.pause for pause in schedule.open_pauses.values() if pause.fact.kind == "breakpoint"]
    facts += [answer_of(schedule, pause, None, None, now) for pause in breakpoints]
    return [*facts, *settled_by_time(schedule, now)]


def check_open(schedule: Schedule, pause_id: str) -> None:
    """Raise `PauseNotFound`, `AlreadyAnswered` or `RunFinished` unless the pause can be answered."""
    if pause_id in schedule.open_pauses:
        if schedule.status in ("CANCELLED", "DONE"):
            raise RunFinished(schedule.run_id, schedule.status, "answering it")
        return
    pause = schedule.pauses.get(pause_id)
    if pause is None:
        raise PauseNotFound(schedule.run_id, pause_id, schedule.open_pauses)
    when = datetime.datetime.fromtimestamp(pause.answered_at or 0, datetime.UTC).isoformat(timespec="seconds")
    raise AlreadyAnswered(schedule.run_id, pause_id, by=pause.answered_by, at=when)


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
