"""The bare openai SDK: the loop of its documentation, written by hand."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from openai import AsyncOpenAI

from benchmarks.asking import DESCRIPTION, KEY, MODEL, QUESTION, Repetition, first_tokens, weather
from benchmarks.asking import loops as timed

_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": DESCRIPTION, "parameters": _PARAMETERS}}
]
_KNOWN = {"weather": weather}


def loops(url: str, times: int, at_once: int = 1) -> Repetition:
    client = AsyncOpenAI(api_key=KEY, base_url=url)

    async def one() -> str | None:
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        while True:
            answer = await client.chat.completions.create(model=MODEL, messages=messages, tools=_TOOLS)
            message = answer.choices[0].message
            if not message.tool_calls:
                return message.content
            messages.append(message)
            for call in message.tool_calls:
                result = await _KNOWN[call.function.name](**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})

    return timed(one, times, at_once)


def first_token(url: str, times: int) -> Repetition:
    client = AsyncOpenAI(api_key=KEY, base_url=url)

    async def one() -> AsyncGenerator[str]:
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        async for chunk in await client.chat.completions.create(model=MODEL, messages=messages, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return first_tokens(one, times)
