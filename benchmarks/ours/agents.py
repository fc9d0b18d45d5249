"""Ropewalk's tool loop behind its OpenAI client."""

import tempfile
from collections.abc import AsyncGenerator

from benchmarks.asking import DESCRIPTION, KEY, MODEL, QUESTION, Repetition, first_tokens, weather
from benchmarks.asking import loops as timed
from ropewalk import LLMMessage, OpenAIClient, ToolGraph, ToolLoopOptions, ToolState, tool


def _graph(url: str, *, durable: bool, tools: bool, stream: bool) -> ToolGraph:
    store = f"sqlite:///{tempfile.mkdtemp(prefix='bench-ropewalk-')}/runs.db" if durable else None
    graph = ToolGraph("bench", store=store)
    graph.add_tool_node(
        "agent",
        [tool(DESCRIPTION)(weather)] if tools else [],
        OpenAIClient(api_key=KEY, base_url=url, model=MODEL),
        ToolLoopOptions(stream=stream),
    )
    return graph


def _asked() -> ToolState:
    return ToolState(messages=[LLMMessage(role="user", content=QUESTION)])


def loops(url: str, times: int, at_once: int = 1, durable: bool = False) -> Repetition:
    graph = _graph(url, durable=durable, tools=True, stream=False)

    async def one() -> object:
        return (await graph.start(_asked())).final_output

    return timed(one, times, at_once)


def first_token(url: str, times: int, durable: bool = False) -> Repetition:
    graph = _graph(url, durable=durable, tools=False, stream=True)

    async def one() -> AsyncGenerator[str]:
        async for event in graph.start(_asked()).events():
            if event.type == "text":
                yield event.data["text"]

    return first_tokens(one, times)
