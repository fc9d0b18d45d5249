"""Graphs that the tests of doors serve; drawn anew by each call."""

import asyncio
from typing import Any, Literal

from ropewalk import END, START, Context, Graph, GraphState, History, Retry, Token


class Talk(GraphState):
    said: History[str]
    topic: str = "ropes"
    words: int = 5
    pause_seconds: float = 0.0


def talk() -> Graph[Talk]:
    """Says some words one by one, then asks whether they may be printed."""
    graph = Graph(Talk, name="talk")

    @graph.node
    async def say(state: Talk, ctx: Context) -> dict[str, Any]:
        for i in range(state.words):
            ctx.emit(Token(f"{state.topic}{i} "))
            await asyncio.sleep(state.pause_seconds)
        return {"said": f"hello {state.topic}"}

    @graph.node
    async def ask(state: Talk, ctx: Context) -> dict[str, Any]:
        return {"said": f"answered {await ctx.ask({'print': state.said[-1]})}"}

    return graph.add_edge(START, "say").add_edge("say", "ask").add_edge("ask", END)


def story() -> Graph[Talk]:
    """Says words in three steps, and ends; asks nobody."""
    graph = Graph(Talk, name="story")

    async def tell(state: Talk, ctx: Context) -> dict[str, Any]:
        for i in range(state.words):
            ctx.emit(Token(f"{ctx.node}{i} "))
            await asyncio.sleep(state.pause_seconds)
        return {"said": ctx.node}

    for name in ("one", "two", "three"):
        graph.add_node(tell, name=name)
    return graph.add_edge(START, "one").add_edge("one", "two").add_edge("two", "three").add_edge("three", END)


class Plan(GraphState):
    log: History[str]
    city: str = "Oslo"
    fails: bool = False
    seconds: float = 0.0


def plan() -> Graph[Plan]:
    """Plans, stops at a breakpoint, travels; fails where it is told to."""
    graph = Graph(Plan, name="plan")

    @graph.node
    async def prepare(state: Plan) -> dict[str, Any]:
        await asyncio.sleep(state.seconds)
        return {"log": f"planned {state.city}"}

    @graph.node(interrupt="before", retry=Retry(attempts=1))
    async def travel(state: Plan) -> dict[str, Any]:
        if state.fails:
            raise ValueError("secret-of-the-node")
        return {"log": f"went to {state.city}"}

    return graph.add_edge(START, "prepare").add_edge("prepare", "travel").add_edge("travel", END)


class Count(GraphState):
    n: int = 0
    kind: Literal["a", "b"] = "a"


def quick() -> Graph[Count]:
    """Adds one, and is done."""
    graph = Graph(Count, name="quick")
    graph.add_node(lambda state: {"n": state.n + 1}, name="add")
    return graph.add_edge(START, "add").add_edge("add", END)
