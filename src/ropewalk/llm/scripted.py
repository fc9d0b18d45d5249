"""A model that answers by script or by function: no key, no network, the same every time.

1. A request takes the next cue of the script. A function makes a cue of the request.
2. The reply says in its echo where the script goes on. A conversation that another process began under the same
   script is thus gone on with, not begun anew.
"""

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, cast
from uuid import uuid4

from ropewalk.contracts.conversation import check_request
from ropewalk.contracts.messages import LLMMessage, ToolCall
from ropewalk.contracts.model import Finish, ModelPart, ModelRequest, Reply, TextPart, ThinkingPart, ToolCallPart, Usage
from ropewalk.errors import ModelScriptEnded

PROVIDER = "scripted"
PIECE_CHARACTERS = 16
"""Of a call's arguments, in a stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptedReply:
    """One answer in full; a text or tool calls alone need no such thing."""

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    thinking: str = ""
    finish: Finish | None = None
    """None: ``tool_calls`` or ``stop``, as the answer is. ``length`` is an answer that was cut off."""
    usage: Usage | None = None
    """None: counted, a token a word, at no cost."""
    error: BaseException | None = None
    """Raised when everything was streamed, in place of the reply: a stream that breaks."""
    delay_seconds: float = 0.0
    """Before each part."""


Answer = str | ToolCall | Sequence[str | ToolCall] | ScriptedReply | Reply | BaseException | type[BaseException]
Cue = Answer | Callable[[ModelRequest], Answer | Awaitable[Answer]]
"""A text, one or several calls (with texts before them), a reply in full, an exception to raise, or a function."""


class ScriptedModel:
    """Answers by a list of cues, each taken once, in order, or by a function that answers every request."""

    def __init__(self, script: Iterable[Cue] | Callable[[ModelRequest], Any], *, name: str = "scripted") -> None:
        if callable(script):
            self._every: Callable[[ModelRequest], Any] | None = script
            self._cues: tuple[Cue, ...] = ()
        else:
            self._every, self._cues = None, (script,) if isinstance(script, str) else tuple(script)
        self._script = sha256(repr([_shown(cue) for cue in self._cues]).encode()).hexdigest()[:12]
        self._next = 0
        self._name = name
        self.requests: list[ModelRequest] = []
        """All that was asked, in order."""

    @property
    def provider(self) -> str:
        return PROVIDER

    @property
    def name(self) -> str:
        return self._name

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Yield text by words and arguments in pieces. Raises what the script says, `ModelScriptEnded` at its end."""
        reply, cue = await self._reply(request)
        for part in _pieces(reply, cue.thinking):
            await asyncio.sleep(cue.delay_seconds)
            yield part
        if cue.error is not None:
            raise cue.error
        yield reply

    async def answer(self, request: ModelRequest) -> Reply:
        """Return the reply. Raises as `stream` does."""
        async with aclosing(cast("Any", self.stream(request))) as parts:
            async for part in parts:
                if isinstance(part, Reply):
                    return part
        raise AssertionError("a stream ends with its reply")

    async def close(self) -> None:
        """Do nothing: a script holds no connection."""

    async def _reply(self, request: ModelRequest) -> tuple[Reply, ScriptedReply]:
        check_request(request)
        self.requests.append(request)
        await asyncio.sleep(0)  # as a network would, so that others get their turn
        answer: Any = self._take(request)
        while callable(answer) and not isinstance(answer, type):
            answer = answer(request)
            if inspect.isawaitable(answer):
                answer = await answer
        if isinstance(answer, Reply):
            return answer, ScriptedReply()
        cue = _full(answer)
        return self._made(request, cue), cue

    def _take(self, request: ModelRequest) -> Cue:
        if self._every is not None:
            return self._every
        self._next = max(self._next, self._mark(request))
        if self._next >= len(self._cues):
            raise ModelScriptEnded(len(self._cues))
        self._next += 1
        return self._cues[self._next - 1]

    def _mark(self, request: ModelRequest) -> int:
        """Return where the conversation's last answer says that this script goes on; 0 where it says nothing."""
        last = next((message for message in reversed(request.messages) if message.role == "assistant"), None)
        for mark in ((last and last.echo) or {}).get(PROVIDER, []):
            if mark.get("script") == self._script and mark.get("next", 0) < len(self._cues):
                return int(mark["next"])
        return 0

    def _made(self, request: ModelRequest, cue: ScriptedReply) -> Reply:
        calls = [call if call.id else replace(call, id=f"call_{uuid4().hex[:12]}") for call in cue.tool_calls]
        mark = {PROVIDER: [{"script": self._script, "next": self._next}]} if self._cues else None
        message = LLMMessage(role="assistant", content=cue.text or None, tool_calls=calls or None, echo=mark)
        return Reply(
            message=message,
            finish=cue.finish or ("tool_calls" if calls else "stop"),
            usage=cue.usage or _counted(request, message),
            provider=PROVIDER,
            model=request.model or self._name,
            response_id=f"scripted_{uuid4().hex[:12]}",
        )


def _full(answer: object) -> ScriptedReply:
    """Return any kind of answer as the one in full; raise it if it is an exception."""
    match answer:
        case ScriptedReply():
            return answer
        case BaseException():
            raise answer
        case type() if issubclass(answer, BaseException):
            raise answer
        case str():
            return ScriptedReply(text=answer)
        case ToolCall():
            return ScriptedReply(tool_calls=[answer])
        case list() | tuple():
            items = cast("Sequence[object]", answer)
            if all(isinstance(item, str | ToolCall) for item in items):
                calls = [item for item in items if isinstance(item, ToolCall)]
                return ScriptedReply(text="".join(item for item in items if isinstance(item, str)), tool_calls=calls)
        case _:
            pass
    raise TypeError(
        f"A script cannot answer with {answer!r}. Give a text, a ToolCall, a list of them, a ScriptedReply, an "
        "exception to raise, or a function of the request that returns one of these."
    )


def _pieces(reply: Reply, thinking: str) -> Iterator[ModelPart]:
    yield from (ThinkingPart(word) for word in _words(thinking))
    yield from (TextPart(word) for word in _words(reply.message.text))
    for index, call in enumerate(reply.message.tool_calls or []):
        text = json.dumps(call.arguments) if call.invalid is None else call.invalid
        yield ToolCallPart(index, call.id, call.name, "")
        for start in range(0, len(text), PIECE_CHARACTERS):
            yield ToolCallPart(index, call.id, call.name, text[start : start + PIECE_CHARACTERS])


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*?(?=\s|$)|\s+$", text) if text else []


def _counted(request: ModelRequest, message: LLMMessage) -> Usage:
    return Usage(input_tokens=sum(map(_tokens, request.messages)), output_tokens=_tokens(message))


def _tokens(message: LLMMessage) -> int:
    calls = message.tool_calls or []
    return len(message.text.split()) + sum(1 + len(json.dumps(call.arguments).split()) for call in calls)


def _shown(cue: object) -> str:
    """Return what tells two scripts apart, the same in every process."""
    return getattr(cue, "__qualname__", type(cue).__name__) if callable(cue) else repr(cue)
