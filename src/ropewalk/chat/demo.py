"""Who answers when no graph is served: the demonstration of the contract, three words at a time."""

import asyncio
from typing import Any

from pydantic import Field

from ropewalk.core.buffers import History, LastValue
from ropewalk.core.context import Context
from ropewalk.core.state import GraphState

MODEL = "demo-gpt"
PAUSE_SECONDS = 0.1
_WORDS_A_CHUNK = 3
_REST = (
    "This is a demo response from the LangGraph workflow service. In a real implementation, this would integrate with "
    "AI models like GPT-4, Claude, etc. The response is being streamed token by token to demonstrate the chunk "
    "buffering system."
)


class DemoChat(GraphState):
    """A conversation."""

    messages: History[dict[str, Any]]
    context: LastValue[dict[str, Any]] = Field(default_factory=dict[str, Any])


def answer_to(message: str) -> list[str]:
    """Return the pieces of the answer: three words each, all but the last with a space behind them."""
    words = f"I received your message: '{message}' {_REST}".split()
    pieces = [" ".join(words[at : at + _WORDS_A_CHUNK]) for at in range(0, len(words), _WORDS_A_CHUNK)]
    return [f"{piece} " for piece in pieces[:-1]] + pieces[-1:]


async def demo(state: DemoChat, ctx: Context) -> dict[str, Any]:
    """Answer; the last piece goes with the end of the message."""
    pieces = answer_to(state.messages[-1]["content"])
    for piece in pieces[:-1]:
        ctx.emit({"type": "text", "text": piece})
        await asyncio.sleep(PAUSE_SECONDS)
    return {"messages": {"role": "assistant", "content": "".join(pieces)}}
