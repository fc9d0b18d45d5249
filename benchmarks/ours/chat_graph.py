"""A chat whose answers are as long and as fast as the message asks: `200 tokens, 50 a second`."""

import asyncio
import re
from typing import Any

from ropewalk import END, START, Context, Graph, GraphState, History

WORD = "word "


class Asked(GraphState):
    messages: History[dict[str, Any]]


chat: Graph[Asked] = Graph(Asked, name="measured")


@chat.node
async def answer(state: Asked, ctx: Context) -> dict[str, Any]:
    tokens, rate = (int(number) for number in re.findall(r"\d+", state.messages[-1]["content"]))
    for _ in range(tokens):
        ctx.emit({"type": "text", "text": WORD})
        await asyncio.sleep(1 / rate)
    return {"messages": {"role": "assistant", "content": WORD * tokens}}


chat.add_edge(START, "answer").add_edge("answer", END)
