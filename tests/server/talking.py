"""Graphs that the tests of chat doors talk to; drawn anew by each call."""

import asyncio
from typing import Any

from pydantic import Field

from ropewalk import END, START, Context, Graph, GraphState, History, Token


class Conversation(GraphState):
    messages: History[dict[str, Any]] = Field(default_factory=list)
    seen: int = 0


def echo(name: str = "echo", seconds: float = 0.002) -> Graph[Conversation]:
    """Says back what it was told, word by word."""
    graph = Graph(Conversation, name=name)

    @graph.node
    async def say(state: Conversation, ctx: Context) -> dict[str, Any]:
        words = f"You said: {state.messages[-1]['content']}".split(" ")
        for i, word in enumerate(words):
            ctx.emit(Token(word if not i else f" {word}"))
            await asyncio.sleep(seconds)
        return {"messages": {"role": "assistant", "content": " ".join(words)}, "seen": len(state.messages)}

    return graph.add_edge(START, "say").add_edge("say", END)


def mute() -> Graph[Conversation]:
    """Answers without a token."""
    graph = Graph(Conversation, name="mute")
    answer = {"messages": {"role": "assistant", "content": "In one piece."}}
    graph.add_node(lambda state: answer, name="say")
    return graph.add_edge(START, "say").add_edge("say", END)


def broken() -> Graph[Conversation]:
    """Says a word and fails."""
    graph = Graph(Conversation, name="broken")

    @graph.node
    async def say(ctx: Context) -> None:
        ctx.emit(Token("Well"))
        await asyncio.sleep(0.01)
        raise ValueError("secret-of-the-node")

    return graph.add_edge(START, "say").add_edge("say", END)


def mailer() -> Graph[Conversation]:
    """Wants to send a letter and asks first, as a tool loop does; then asks for a name as well."""
    graph = Graph(Conversation, name="mailer")

    @graph.node
    async def send(state: Conversation, ctx: Context) -> dict[str, Any]:
        ctx.emit(Token("I will write to Ann."))
        await asyncio.sleep(0.01)
        tool = {"tool": "send_letter", "arguments": {"to": "Ann"}, "call_id": "call_1", "when": "before"}
        said = await ctx.ask(tool, name="approve 1.1", kind="approval")
        if said is not True and said != {"approve": True}:
            why = said.get("reason") if isinstance(said, dict) else None
            return {"messages": {"role": "assistant", "content": f"Not sent: {why}"}}
        name = await ctx.ask("Who signs it?", name="name")
        return {"messages": {"role": "assistant", "content": f"Sent, signed by {name}."}, "seen": len(state.messages)}

    return graph.add_edge(START, "send").add_edge("send", END)
