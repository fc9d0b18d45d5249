"""LangGraph by LangChain's create_agent; durable is AsyncSqliteSaver with durability "sync", a thread a question."""

import tempfile
from collections.abc import AsyncGenerator
from itertools import count
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from benchmarks.asking import KEY, MODEL, QUESTION, Repetition, first_tokens, weather
from benchmarks.asking import loops as timed
from benchmarks.measure import Costs

_ASKED: Any = {"messages": [{"role": "user", "content": QUESTION}]}


def _model(url: str) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, api_key=KEY, base_url=url)


def loops(url: str, times: int, at_once: int = 1) -> Repetition:
    agent = create_agent(_model(url), [weather])

    async def one() -> str:
        return (await agent.ainvoke(_ASKED))["messages"][-1].content

    return timed(one, times, at_once)


def durable_loops(url: str, times: int, at_once: int = 1) -> Repetition:
    model, path = _model(url), f"{tempfile.mkdtemp(prefix='bench-langgraph-')}/graph.db"
    numbers = count()

    async def repeat() -> Costs:
        async with AsyncSqliteSaver.from_conn_string(path) as saver:
            await saver.setup()
            agent = create_agent(model, [weather], checkpointer=saver)

            async def one() -> str:
                thread: Any = {"configurable": {"thread_id": f"thread-{next(numbers)}"}}
                return (await agent.ainvoke(_ASKED, thread, durability="sync"))["messages"][-1].content

            return await timed(one, times, at_once)()

    return repeat


def first_token(url: str, times: int) -> Repetition:
    agent = create_agent(_model(url), [])

    async def one() -> AsyncGenerator[str]:
        async for message, _ in agent.astream(_ASKED, stream_mode="messages"):
            if isinstance(message, AIMessageChunk) and isinstance(message.content, str):
                yield message.content

    return first_tokens(one, times)
