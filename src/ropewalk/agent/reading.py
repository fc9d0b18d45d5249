"""What the log of an unfinished loop shows to somebody who looks at the state: what was said, and who is waited for."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json

from ropewalk.agent.approvals import asked_by, order_of, read_decision
from ropewalk.agent.journal import message_id, read_reply
from ropewalk.agent.outcomes import ToolOutcome, log_of, message_of
from ropewalk.agent.state_of_tools import StateOfTools
from ropewalk.agent.tool_state import PendingCall, ToolCallLog
from ropewalk.contracts.messages import LLMMessage
from ropewalk.core.places import Step
from ropewalk.core.schedule import Schedule


class SoFar(NamedTuple):
    """What a loop has done until now."""

    messages: list[LLMMessage]
    """Without the results of a round that is not over: a conversation that could be sent as it is, but for its end."""
    calls: list[ToolCallLog]
    turns: int
    changes: list[list[list[list[Any]]]]
    """What its tools have changed in the state: by round, by call."""


def so_far(step: Step, run_id: str) -> SoFar:
    """Read what a loop has in the log."""
    messages: list[LLMMessage] = []
    calls: list[ToolCallLog] = []
    changes: list[list[list[list[Any]]]] = []
    turn = 0
    while (raw := step.records.get((f"model {turn + 1}", 1))) is not None:
        turn += 1
        reply = read_reply(raw)
        messages.append(reply.message)
        ended = [_ended(step, f"{turn}.{index}") for index in range(1, len(reply.message.tool_calls or ()) + 1)]
        changes.append([end.writes for end in ended if end is not None and end.writes])
        for index, end in enumerate(ended, 1):
            if end is not None:
                message = message_of(end, _review(step, f"{turn}.{index}"))
                message.id = message_id(f"{run_id}/{step.id}", turn, index)
                messages.append(message)
                calls.append(log_of(end))
    return SoFar(messages, calls, turn, changes)


def pending_calls(schedule: Schedule) -> list[PendingCall]:
    """Return the calls of a run that wait for a person: step by step, in the order of the calls."""
    place = {step_id: number for number, step_id in enumerate(schedule.steps)}
    waiting = [pause for pause in schedule.open_pauses.values() if pause.step and _is_ours(pause.fact)]
    waiting.sort(key=lambda pause: (place.get(pause.fact.step, 0), order_of(pause.fact.name)))
    return [_pending(pause.fact, pause.step) for pause in waiting if pause.step is not None]


def _is_ours(fact: Any) -> bool:
    return fact.kind == "approval" and asked_by(fact.name) is not None


def _pending(fact: Any, step: Step) -> PendingCall:
    payload: dict[str, Any] = from_json(fact.payload)
    asked = asked_by(fact.name)
    assert asked is not None
    prefix = fact.name[: fact.name.rindex("/") + 1] if "/" in fact.name else ""
    end = _ended(step, asked.key, prefix) if asked.what == "review" else None
    result = log_of(end) if end is not None else None
    called = (payload["call_id"], payload["tool"], payload["arguments"])
    return PendingCall(fact.pause, *called, asked.what == "review", result)


def _ended(step: Step, key: str, prefix: str = "") -> ToolOutcome | None:
    raw = step.records.get((f"{prefix}tool {key}", 1))
    return ToolOutcome.read(raw) if raw is not None else None


def _review(step: Step, key: str) -> Any:
    raw = step.answers.get((f"review {key}", 1))
    return read_decision(from_json(raw)) if raw is not None else None


def show_loops(state: Any, loops: Sequence[SoFar], schedule: Schedule) -> None:
    """Make a state show what its unfinished loops have done and which calls wait."""
    if any(any(told.changes) for told in loops):
        tools = StateOfTools(schedule.shape, schedule.union())
        for told in loops:
            for of_round in told.changes:
                tools.begin_round([])
                for of_call in of_round:
                    tools.take_in(of_call)
        tools.write_into(state)
    for told in loops:
        state.messages = [*state.messages, *told.messages]
        state.tool_calls = [*state.tool_calls, *told.calls]
        state.current_iteration = told.turns
    state.show_pending(pending_calls(schedule))
