"""Pydantic AI: an agent with a plain tool, and its event stream."""

from collections.abc import AsyncGenerator

from openai import AsyncOpenAI
from pydantic_ai import Agent, PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from benchmarks.asking import KEY, MODEL, QUESTION, Repetition, first_tokens, weather
from benchmarks.asking import loops as timed


def _agent(url: str, *, tools: bool) -> Agent:
    provider = OpenAIProvider(openai_client=AsyncOpenAI(api_key=KEY, base_url=url))
    agent = Agent(OpenAIChatModel(MODEL, provider=provider))
    if tools:
        agent.tool_plain(weather)
    return agent


def loops(url: str, times: int, at_once: int = 1) -> Repetition:
    agent = _agent(url, tools=True)

    async def one() -> str:
        return (await agent.run(QUESTION)).output

    return timed(one, times, at_once)


def first_token(url: str, times: int) -> Repetition:
    agent = _agent(url, tools=False)

    async def one() -> AsyncGenerator[str]:
        async with agent.run_stream_events(QUESTION) as events:
            async for event in events:
                match event:
                    case PartStartEvent(part=TextPart(content=text)):
                        yield text
                    case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                        yield text

    return first_tokens(one, times)
