"""What can be wrong with one run."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from ropewalk.errors.root import RopewalkError, did_you_mean


class RunError(RopewalkError):
    """Something about one run."""

    code = "run_error"

    def __init__(self, run_id: str, message: str) -> None:
        self.run_id = run_id
        super().__init__(message)


class RunNotFound(RunError, KeyError):
    code = "run_not_found"

    def __init__(self, run_id: str, message: str | None = None) -> None:
        super().__init__(
            run_id,
            message
            or f"No run {run_id!r} in this store: it was never admitted here, or it was pruned. "
            "Look at `ropewalk runs ls`, and at whether the store's URL is the one it was started with.",
        )

    def __str__(self) -> str:
        return str(self.args[0])


class RunExists(RunError):
    code = "run_exists"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            run_id,
            f"Run {run_id!r} exists already. To go on with it use graph.open({run_id!r}).resume(); "
            "to start another, choose a new id or leave it out.",
        )


class TurnTaken(RunError):
    code = "turn_taken"

    def __init__(self, run_id: str, session: str, turn: int) -> None:
        self.session = session
        self.turn = turn
        super().__init__(
            run_id,
            f"Run {run_id!r} was not admitted: turn {turn} of session {session!r} is another run's by now. Ask for the "
            "session's last turn and take the next one.",
        )


class RunTaken(RunError):
    code = "run_taken"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            run_id,
            f"Run {run_id!r} was taken over by another owner, so this one may no longer write to it; what it had in "
            "flight is discarded. Follow the run with graph.open(), or take it back with resume().",
        )


class RunFinished(RunError):
    code = "run_finished"

    def __init__(self, run_id: str, status: str, what: str) -> None:
        self.status = status
        super().__init__(
            run_id, f"Run {run_id!r} is {status}, so {what} is no longer possible. Fork it to try another way."
        )


class RunInterrupted(RunError):
    code = "run_interrupted"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            run_id,
            f"Run {run_id!r} stopped being driven before it ended (its task was cancelled or its loop closed). "
            "What was committed is kept: resume() goes on from there.",
        )


class RunPaused(RunError):
    code = "run_paused"

    def __init__(self, run_id: str, pauses: Sequence[Any]) -> None:
        self.pauses = tuple(pauses)
        waiting = ", ".join(f"{pause.kind} {pause.id!r} at {pause.node!r}" for pause in self.pauses) or "a person"
        super().__init__(
            run_id,
            f"Run {run_id!r} is paused and waits for {waiting}. Answer with run.answer(id, value); "
            "resume() releases breakpoints.",
        )


class RunFailed(RunError, RuntimeError):
    """The run failed; `node`, `attempt` and `reason` say where and why, `__cause__` is the original when it is at
    hand.
    """

    code = "run_failed"

    def __init__(self, run_id: str, *, reason: str, message: str, node: str | None = None, attempt: int = 0) -> None:
        self.node = node
        self.attempt = attempt
        self.reason = reason
        where = (f" in node {node!r}" if node else "") + (f" (attempt {attempt})" if node and attempt else "")
        super().__init__(
            run_id, f"Run {run_id!r} failed{where}: {message} [{reason}]. Finished steps are kept; resume() retries."
        )


class RunCancelled(RunError):
    code = "run_cancelled"

    def __init__(self, run_id: str, reason: str | None) -> None:
        self.reason = reason
        super().__init__(run_id, f"Run {run_id!r} was cancelled" + (f": {reason}" if reason else "") + ".")


class PauseNotFound(RunError):
    code = "pause_not_found"

    def __init__(self, run_id: str, pause_id: str, known: Iterable[str]) -> None:
        self.pause_id = pause_id
        super().__init__(run_id, f"Run {run_id!r} has no pause {pause_id!r}.{did_you_mean(pause_id, known)}")


class AlreadyAnswered(RunError):
    code = "already_answered"

    def __init__(self, run_id: str, pause_id: str, *, by: str | None, at: str) -> None:
        self.pause_id = pause_id
        self.by = by
        self.at = at
        super().__init__(
            run_id,
            f"Pause {pause_id!r} of run {run_id!r} was answered first by {by or 'somebody without a name'} at {at}; "
            "a pause takes one answer. Fork the run before it to answer differently.",
        )


class EntryNotFound(RunError):
    code = "entry_not_found"

    def __init__(self, run_id: str, number: int, first: int, last: int) -> None:
        self.number = number
        super().__init__(run_id, f"Run {run_id!r} has no entry {number}; it has {first} to {last}.")


class StepNotFound(RunError):
    code = "step_not_found"

    def __init__(self, run_id: str, step: str, known: Iterable[str]) -> None:
        """``known`` are the nodes and steps that have begun."""
        self.step = step
        names = [*known]
        nothing = "" if names else " None of its steps has begun."
        super().__init__(
            run_id, f"Run {run_id!r} has no step, and no step of a node, {step!r}.{nothing}{did_you_mean(step, names)}"
        )


class GraphChanged(RunError):
    code = "graph_changed"

    def __init__(self, run_id: str, what: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(
            run_id,
            f"The log of run {run_id!r} tells of {what} {name!r}, which this graph does not have there."
            f"{did_you_mean(name, known)} Run it with the code it was started with, or fork it before that entry.",
        )


class PauseExpired(RunError):
    code = "pause_expired"

    def __init__(self, run_id: str, pause_id: str, expired_at: float) -> None:
        self.pause_id = pause_id
        self.expired_at = expired_at
        when = datetime.fromtimestamp(expired_at, UTC).isoformat(timespec="seconds")
        super().__init__(
            run_id,
            f"Pause {pause_id!r} of run {run_id!r} could be answered until {when}, and nobody did. "
            "resume() lets the run go on without an answer.",
        )


class AnswerInvalid(RunError, ValueError):
    code = "answer_invalid"

    def __init__(self, run_id: str, pause_id: str, why: str) -> None:
        self.pause_id = pause_id
        super().__init__(run_id, f"Pause {pause_id!r} of run {run_id!r} was not answered: {why}")
