"""Graphs that a worker of the cases about the chat serves."""

import asyncio
import time
from typing import Any

from benchmarks.sessions import begin_of, token
from ropewalk import END, START, Context, Graph, GraphState, History


class Talk(GraphState):
    messages: History[dict[str, Any]]


say: Graph[Talk] = Graph(Talk, name="say")
think: Graph[Talk] = Graph(Talk, name="think")


@say.node
async def speak(state: Talk, ctx: Context) -> dict[str, Any]:
    """Say tokens at the rate that is asked for, from the moment that is asked for."""
    start, *asked = state.messages[-1]["content"].split()
    phase, pause, tokens = map(float, asked)
    begin = phase + await begin_of(start)
    said: list[str] = []
    for number in range(int(tokens)):
        await asyncio.sleep(max(0.0, begin + number * pause - time.perf_counter()))
        said.append(token(number))
        ctx.emit({"type": "text", "text": said[-1]})
    return {"messages": {"role": "assistant", "content": "".join(said)}}


@think.node
async def answer(state: Talk) -> dict[str, Any]:
    """Take as long as is asked for, from the moment that is asked for, and answer in one piece."""
    start, *asked = state.messages[-1]["content"].split()
    phase, seconds = map(float, asked)
    await asyncio.sleep(max(0.0, phase + await begin_of(start) - time.perf_counter()) + seconds)
    return {"messages": {"role": "assistant", "content": "It is done."}}


say.add_edge(START, "speak").add_edge("speak", END)
think.add_edge(START, "answer").add_edge("answer", END)
