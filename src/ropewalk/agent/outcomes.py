"""How a tool call ended: what is kept of it in the log, and what the model and the state are told."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import PydanticSerializationError, from_json, to_json, to_jsonable_python

from ropewalk.agent.approvals import Decision
from ropewalk.agent.legible import whole_data, whole_text
from ropewalk.agent.tool_state import ToolCallLog
from ropewalk.contracts.messages import LLMMessage
from ropewalk.errors import ToolProblem

Status = Literal["ok", "error", "refused", "rejected", "expired", "unknown"]
"""ok: it returned; error: it raised or took too long; refused: it was not run, for its name or its arguments;
rejected: a person said no; expired: nobody said anything in time; unknown: a person does not know either."""

MAX_RESULT_BYTES = 4 * 1024 * 1024
"""Larger results are kept from the model, which could not read them."""
MAX_ERROR_LENGTH = 20_000
"""Of what a tool raised; the rest is left out."""
_PLAIN: Mapping[str, Any] = {"fallback": str, "bytes_mode": "base64", "inf_nan_mode": "strings"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolOutcome:
    """The end of one call; there is one entry of it."""

    call_id: str
    tool: str
    status: Status
    arguments: Mapping[str, Any]
    """With which it ran; those the model gave, where it did not run."""
    result: Any = None
    """Plain data."""
    error: str | None = None
    """Why there is no result, in words for the model."""
    edited: bool = False
    """A person changed the arguments."""
    writes: list[list[Any]] = field(default_factory=list[list[Any]])
    """What it changed in the state."""
    at: float = 0.0
    """When it began, in seconds since the epoch."""
    seconds: float = 0.0

    def data(self) -> dict[str, Any]:
        """Return the entry's value."""
        told: dict[str, Any] = {"tool": self.tool, "call_id": self.call_id, "status": self.status}
        told |= {"arguments": dict(self.arguments), "result": self.result}
        told |= {"at": self.at, "seconds": self.seconds}
        told |= {} if self.error is None else {"error": self.error}
        told |= {"edited": True} if self.edited else {}
        return told | ({"writes": self.writes} if self.writes else {})

    @staticmethod
    def read(raw: bytes) -> "ToolOutcome":
        """Return the outcome that is in the log."""
        return ToolOutcome(**from_json(raw))

    @property
    def is_done(self) -> bool:
        return self.status == "ok"


def plain(result: Any) -> Any:
    """Return a tool's result as plain data; what JSON does not know becomes text. It never raises: the tool has run."""
    try:
        return from_json(to_json(result, **_PLAIN))
    except (PydanticSerializationError, ValueError):
        pass
    try:  # half of a character in one of its texts, or nothing that has an end
        return from_json(to_json(whole_data(to_jsonable_python(result, **_PLAIN))))
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        why = str(error).splitlines()[0]
        return f"It succeeded. Its result cannot be told: {why}"


def failure_of(tool: str, failure: Exception) -> str:
    """Return what the model is told of what a tool raised."""
    text = str(failure) if isinstance(failure, ToolProblem) else f"{type(failure).__name__}: {failure}"
    if len(text) > MAX_ERROR_LENGTH:
        text = f"{text[:MAX_ERROR_LENGTH]} ... ({len(text):,} characters in all)"
    return whole_text(f"{tool} failed. {text}")


def message_of(outcome: ToolOutcome, review: Decision | None) -> LLMMessage:
    """Return what the model is told."""
    told = _told(outcome) if review is None or review.approve else _refused_result(outcome, review)
    return LLMMessage(
        role="tool",
        content=told,
        tool_call_id=outcome.call_id,
        is_error=not outcome.is_done or (review is not None and not review.approve),
        should_show_to_user=False,
    )


def _told(outcome: ToolOutcome) -> str:
    if not outcome.is_done:
        return outcome.error or outcome.status
    text = outcome.result if isinstance(outcome.result, str) else _json(outcome.result)
    if len(text) > MAX_RESULT_BYTES:
        text = f"The tool succeeded; its result is too long to be shown ({len(text):,} characters)."
    if outcome.edited:
        return f"A person changed the arguments to {_json(dict(outcome.arguments))} before it ran. Result: {text}"
    return text


def _refused_result(outcome: ToolOutcome, review: Decision) -> str:
    if review.expired:
        return f"{outcome.tool} has run, but nobody released its result in time; it was not refused."
    why = f" Reason: {review.reason}" if review.reason else ""
    return f"{outcome.tool} has run and what it did stands, but a person refused its result.{why}"


def rejection(tool: str, decision: Decision) -> tuple[Status, str]:
    """Return how a call ends that was not let run, and what the model is told."""
    if decision.expired:
        return "expired", f"{tool} was not run: nobody approved it in time. It was not rejected either."
    why = f" Reason: {decision.reason}" if decision.reason else ""
    return "rejected", f"{tool} was not run: a person rejected it.{why}"


def log_of(outcome: ToolOutcome) -> ToolCallLog:
    """Return what the state keeps of the call."""
    return ToolCallLog(
        id=outcome.call_id,
        tool_name=outcome.tool,
        arguments=dict(outcome.arguments),
        result=outcome.result,
        success=outcome.is_done,
        timestamp=outcome.at,
        duration_ms=outcome.seconds * 1000,
        error=outcome.error,
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
