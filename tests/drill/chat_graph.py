"""Who answers in the chat's drill: two nodes that speak in turn, and a loop of a model with a tool."""

import asyncio
import re
from typing import Any, NamedTuple

from ropewalk import (
    END,
    START,
    Context,
    Graph,
    GraphState,
    History,
    ScriptedModel,
    ScriptedReply,
    ToolCall,
    ToolGraph,
    tool,
)
from ropewalk.agent.options import ToolLoopOptions

BETWEEN = "\n\n"
_ASKED = re.compile(r"(\S+) words=(\d+) pace=([0-9.]+)")


class Asked(NamedTuple):
    """What a message of the drill asks for."""

    name: str
    words: int
    """Of each node; 0: it says nothing before it has ended."""
    pace: float
    """Seconds a word."""

    @property
    def text(self) -> str:
        return f"{self.name} words={self.words} pace={self.pace}"


def read_asked(text: str) -> Asked:
    found = _ASKED.fullmatch(text)
    assert found is not None, text
    return Asked(found[1], int(found[2]), float(found[3]))


def parts_of(asked: Asked, before: int) -> list[str]:
    """Return what each of the two nodes answers when so many messages of the user came before."""
    if not asked.words:
        return [f"{asked.name} after {before}", f"{asked.name} again"]
    said = [" ".join(f"{part}{word}" for word in range(asked.words)) for part in "ab"]
    return [f"{asked.name} after {before}: {said[0]}", f"{asked.name} again: {said[1]}"]


class Talk(GraphState):
    messages: History[dict[str, Any]]


talk: Graph[Talk] = Graph(Talk, name="talk")


async def _say(state: Talk, ctx: Context, part: int) -> dict[str, Any]:
    told = [one["content"] for one in state.messages if one["role"] == "user"]
    asked = read_asked(told[-1])
    answer = parts_of(asked, len(told) - 1)[part]
    words = answer.split(" ")
    for at, word in enumerate(words) if asked.words else ():
        ctx.emit({"type": "text", "text": word if at == len(words) - 1 else f"{word} "})
        await asyncio.sleep(asked.pace)
    return {"messages": {"role": "assistant", "content": answer}}


@talk.node
async def begin(state: Talk, ctx: Context) -> dict[str, Any]:
    return await _say(state, ctx, 0)


@talk.node
async def finish(state: Talk, ctx: Context) -> dict[str, Any]:
    return await _say(state, ctx, 1)


talk.add_edge(START, "begin").add_edge("begin", "finish").add_edge("finish", END)


@tool("Look something up.")
async def look_up(name: str) -> str:
    await asyncio.sleep(0.1)
    return f"found {name}"


def _reply(request: Any) -> ScriptedReply:
    """Ask for the tool, speaking meanwhile; then answer."""
    told = [message.text for message in request.messages if message.role == "user"]
    asked = read_asked(told[-1])
    first, second = parts_of(asked, len(told) - 1)
    if request.messages[-1].role == "tool":
        return ScriptedReply(text=second, delay_seconds=asked.pace)
    return ScriptedReply(text=first, tool_calls=[ToolCall("look_up", {"name": asked.name})], delay_seconds=asked.pace)


tools = ToolGraph("tools")
tools.add_tool_node("clerk", [look_up], ScriptedModel(_reply), ToolLoopOptions(max_iterations=5))
tools.add_edge(START, "clerk").add_edge("clerk", END)
