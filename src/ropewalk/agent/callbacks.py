"""What an application is told while a loop goes on, in the form of seed 000; what it does about it harms nobody."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ropewalk.agent.outcomes import ToolOutcome
from ropewalk.contracts.messages import LLMMessage
from ropewalk.contracts.model import Reply

Callback = Callable[[dict[str, Any]], Awaitable[Any] | Any]
log = logging.getLogger("ropewalk")


async def tell(callback: Callback | None, told: dict[str, Any]) -> None:
    """Call a callback, async or not. What it raises is logged, and that is all; a cancellation too, when it is its own
    (a task that it awaited was cancelled) and not the run's.
    """
    if callback is None:
        return
    try:
        result = callback(told)
        if inspect.isawaitable(result):
            await result
    except (Exception, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
            raise
        log.exception("the callback %s failed; the run goes on", getattr(callback, "__qualname__", callback))


def of_reply(reply: Reply, iteration: int, *, is_final: bool, now: float) -> dict[str, Any]:
    """Return what ``on_message`` is told of a model's reply."""
    calls = reply.message.tool_calls or []
    return {
        "message_type": "assistant",
        "content": reply.message.text,
        "raw_response": reply,
        "has_tool_calls": bool(calls),
        "tool_calls": [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in calls],
        "is_final": is_final,
        "iteration": iteration,
        "timestamp": now,
    }


def of_result(message: LLMMessage, tool: str, iteration: int, *, now: float) -> dict[str, Any]:
    """Return what ``on_message`` is told of a tool's message to the model."""
    return {
        "message_type": "tool",
        "content": message.text,
        "tool_id": message.tool_call_id,
        "tool_name": tool,
        "has_tool_calls": False,
        "tool_calls": [],
        "is_final": False,
        "is_error": message.is_error,
        "iteration": iteration,
        "timestamp": now,
    }


def of_use(outcome: ToolOutcome, iteration: int, *, now: float) -> dict[str, Any]:
    """Return what ``on_tool_use`` is told."""
    return {
        "id": outcome.call_id,
        "name": outcome.tool,
        "arguments": dict(outcome.arguments),
        "result": outcome.result,
        "success": outcome.is_done,
        "error": outcome.error,
        "duration_ms": outcome.seconds * 1000,
        "iteration": iteration,
        "timestamp": now,
    }
