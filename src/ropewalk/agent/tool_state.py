"""The state that tool loops work on: what was said, what was called, how it ended, which call waits for a person."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, PrivateAttr

from ropewalk.contracts.messages import LLMMessage
from ropewalk.core.buffers import History
from ropewalk.core.state import GraphState


class ToolCallLog(BaseModel):
    """A tool call that has ended."""

    id: str
    tool_name: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])
    result: Any = None
    """Plain data."""
    success: bool = True
    timestamp: float = 0.0
    """When it began, in seconds since the epoch."""
    duration_ms: float = 0.0
    error: str | None = None


class ConversationSummary(BaseModel):
    """What stands for the beginning of a conversation when a model is asked; the conversation itself is kept whole."""

    text: str
    until: str
    """Id of the last message that it covers."""


class PendingCall(NamedTuple):
    """A call that waits for a person."""

    pause: str
    """Id of the pause."""
    call_id: str
    tool: str
    arguments: dict[str, Any]
    is_after: bool
    """It has run, and its result waits."""
    result: ToolCallLog | None


class ToolState(GraphState):
    """What a tool loop reads and writes; subclass it and add fields of your own.

    The ``paused_...`` properties are no part of what is stored: they tell, when the state is read from a run, which of
    its calls waits for a person, one at a time, in the order of the calls.
    """

    messages: History[LLMMessage] = Field(default_factory=list[LLMMessage])
    tool_calls: History[ToolCallLog] = Field(default_factory=list[ToolCallLog])
    current_iteration: int = 0
    """How often the model was asked."""
    is_complete: bool = False
    final_output: Any = None
    """The answer: text, or by an output schema. In nodes it is plain data unless the field is declared otherwise."""
    summary: ConversationSummary | None = None
    """Of the messages that models no longer see in full, where the loop's options ask for one."""
    error: str | None = None
    """Why the run failed, when it is read from one that did."""
    _pending: tuple[PendingCall, ...] = PrivateAttr(default=())

    @property
    def is_paused(self) -> bool:
        return bool(self._pending)

    @property
    def paused_tool_id(self) -> str | None:
        return self._pending[0].call_id if self._pending else None

    @property
    def paused_tool_name(self) -> str | None:
        return self._pending[0].tool if self._pending else None

    @property
    def paused_tool_arguments(self) -> dict[str, Any] | None:
        return self._pending[0].arguments if self._pending else None

    @property
    def paused_after_execution(self) -> bool:
        return bool(self._pending) and self._pending[0].is_after

    @property
    def paused_tool_result(self) -> ToolCallLog | None:
        return self._pending[0].result if self._pending else None

    def show_pending(self, calls: Sequence[PendingCall]) -> None:
        """Make the properties tell of ``calls``."""
        self._pending = tuple(calls)
