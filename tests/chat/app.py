"""Graphs that tests talk to."""

import asyncio
from typing import Any

from ropewalk import (
    END,
    START,
    Context,
    Graph,
    GraphState,
    History,
    LastValue,
    ScriptedModel,
    ToolCall,
    ToolGraph,
    tool,
)
from ropewalk.agent.options import ToolLoopOptions


class Talk(GraphState):
    messages: History[dict[str, Any]]
    context: LastValue[dict[str, Any]] = {}


def drawn(**options: Any) -> Graph[Talk]:
    """Draw the graph that answers with the words of the message."""
    graph: Graph[Talk] = Graph(Talk, name="chat", **options)
    return graph.add_node(answer).add_edge(START, "answer").add_edge("answer", END)


async def answer(state: Talk, ctx: Context) -> dict[str, Any]:
    """Say the words of the message, one by one, as slowly as it asks (``slow``), or fail (``fail``)."""
    said = state.messages[-1]["content"]
    words = f"{len(state.messages)}: {said}".split(" ")
    for at, word in enumerate(words):
        ctx.emit({"type": "text", "text": word if at == len(words) - 1 else f"{word} "})
        await asyncio.sleep(0.05 if "slow" in said else 0.001)
    if "fail" in said:
        raise RuntimeError("secret words of the node")
    return {"messages": {"role": "assistant", "content": " ".join(words)}}


chat = drawn()


class Quiet(GraphState):
    messages: History[dict[str, Any]]
    context: LastValue[dict[str, Any]] = {}


quiet: Graph[Quiet] = Graph(Quiet, name="quiet")


@quiet.node
async def think(state: Quiet) -> dict[str, Any]:
    """Say nothing before the answer, which is what the client asked for."""
    return {"messages": {"role": "assistant", "content": f"context: {sorted(state.context.items())}"}}


quiet.add_edge(START, "think").add_edge("think", END)


@tool("Send a letter.", pause_before_execution=True)
async def send_letter(to: str) -> str:
    return f"sent to {to}"


def write_letters(request: Any) -> Any:
    """Ask for the letter, then say that it is sent, or not."""
    newest = request.messages[-1]
    if newest.role != "tool":
        return ToolCall("send_letter", {"to": "Ann"})
    return "It is sent." if "sent to Ann" in newest.text else "It is not sent."


clerk = ToolGraph("clerk")
clerk.add_tool_node("clerk", [send_letter], ScriptedModel(write_letters), ToolLoopOptions(max_iterations=5))
clerk.add_edge(START, "clerk").add_edge("clerk", END)


class Asked(GraphState):
    messages: History[dict[str, Any]]


asker: Graph[Asked] = Graph(Asked, name="asker")


@asker.node
async def ask_twice(ctx: Context) -> dict[str, Any]:
    """Ask two questions, and say what was answered."""
    answers = [await ctx.ask(question) for question in ("Which colour?", "And which size?")]
    return {"messages": {"role": "assistant", "content": f"{answers[0]} and {answers[1]}"}}


asker.add_edge(START, "ask_twice").add_edge("ask_twice", END)


@tool("Find something.")
async def find(what: str) -> str:
    return f"found {what}"


def find_first(request: Any) -> Any:
    """Find what the newest message says, and tell how often something was asked."""
    newest = request.messages[-1]
    asked = [message.text for message in request.messages if message.role == "user"]
    return f"{newest.text}, asked {len(asked)}" if newest.role == "tool" else ToolCall("find", {"what": asked[-1]})


finder = ToolGraph("finder")
finder.add_tool_node("clerk", [find], ScriptedModel(find_first), ToolLoopOptions(max_iterations=5))
finder.add_edge(START, "clerk").add_edge("clerk", END)
