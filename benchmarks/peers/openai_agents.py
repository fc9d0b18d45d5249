"""OpenAI Agents, by Chat Completions, without its tracing; durable is its SQLiteSession, a session a question."""

import tempfile
from collections.abc import AsyncGenerator
from itertools import count

from agents import Agent, OpenAIChatCompletionsModel, Runner, SQLiteSession, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from benchmarks.asking import KEY, MODEL, QUESTION, Repetition, first_tokens, weather
from benchmarks.asking import loops as timed


def _agent(url: str, *, tools: bool) -> Agent:
    set_tracing_disabled(True)
    model = OpenAIChatCompletionsModel(MODEL, openai_client=AsyncOpenAI(api_key=KEY, base_url=url))
    return Agent(name="bench", model=model, tools=[function_tool(weather)] if tools else [])


def loops(url: str, times: int, at_once: int = 1, durable: bool = False) -> Repetition:
    agent = _agent(url, tools=True)
    path = f"{tempfile.mkdtemp(prefix='bench-openai-agents-')}/sessions.db"
    numbers = count()

    async def one() -> object:
        if not durable:
            return (await Runner.run(agent, QUESTION)).final_output
        session = SQLiteSession(f"session-{next(numbers)}", path)
        try:
            return (await Runner.run(agent, QUESTION, session=session)).final_output
        finally:
            session.close()

    return timed(one, times, at_once)


def first_token(url: str, times: int) -> Repetition:
    agent = _agent(url, tools=False)

    async def one() -> AsyncGenerator[str]:
        async for event in Runner.run_streamed(agent, QUESTION).stream_events():
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
                yield event.data.delta

    return first_tokens(one, times)
