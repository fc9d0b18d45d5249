"""What answers a conversation: a language model behind its provider's wire, or a script."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from ropewalk.contracts.messages import LLMMessage

Finish = Literal["stop", "tool_calls", "length", "refusal", "filter", "context", "paused"]
"""Why a reply ended. Only ``stop`` is a final answer, and only ``tool_calls`` asks for tools. ``context``: the window
is full; ``paused``: the provider wants the conversation sent again as it is, to go on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolSpec:
    """A tool as a model sees it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of an object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequest:
    """One question to a model. Nothing in it belongs to a provider but ``extra``."""

    messages: tuple[LLMMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    model: str | None = None
    """None: the client's own."""
    max_tokens: int | None = None
    temperature: float | None = None
    tool_choice: str | None = None
    """``auto`` (also None), ``none``, ``required``, or the name of a tool."""
    output_schema: Mapping[str, Any] | None = None
    """JSON schema that the final text must satisfy, by the provider's native means."""
    idempotency_key: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Passed to the provider's SDK as keyword arguments."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens of one or several calls; sums by ``+``."""

    input_tokens: int = 0
    """All that was read, cached or not, whatever the provider calls it."""
    output_tokens: int = 0
    """All that was written, reasoning included."""
    cached_tokens: int = 0
    """Of the input: read from the provider's cache."""
    cache_write_tokens: int = 0
    """Of the input: written to the provider's cache."""
    reasoning_tokens: int = 0
    """Of the output."""
    cost: float | None = 0.0
    """US dollars; None as soon as one call's price is unknown."""
    unmeasured_calls: int = 0
    """Answers whose provider did not tell what they used: then the numbers above are too low."""

    def __add__(self, other: "Usage") -> "Usage":
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cost=cost,
            unmeasured_calls=self.unmeasured_calls + other.unmeasured_calls,
        )


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingPart:
    """A piece of what the model thinks aloud; not part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A piece of a call's arguments, as JSON text; the first piece of a call may be empty."""

    index: int
    """Position of the call in this reply, from 0."""
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """What was streamed of this reply so far is void; another attempt or another model begins anew."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The whole answer; the last part of every stream that ended well."""

    message: LLMMessage
    """Of role assistant."""
    finish: Finish
    usage: Usage
    provider: str
    model: str
    """As the provider names what answered."""
    response_id: str | None = None


ModelPart = TextPart | ThinkingPart | ToolCallPart | Restarted | Reply


@runtime_checkable
class Model(Protocol):
    """A language model.

    Guarantees:

    - **Whole or an error.** `stream` ends with exactly one `Reply`, and only after the provider's own terminal event;
      `answer` returns the same `Reply` without the parts. A stream that ends early, stalls, breaks or cannot be read
      raises; there is no half answer.
    - **One attempt.** A call is one request: retrying, falling back and breaking circuits wrap a model and are models
      themselves.
    - **Checked before it is sent.** A conversation in which calls and results do not pair raises before anything
      leaves the process.
    - **Typed.** Only `ModelError` and its kinds come out, never a vendor's or a transport's exception.
    - **Shared.** One object serves many calls at once, from one event loop or several; its connections are pooled.
    - **Cancelled at once.** Closing the iterator or cancelling the task closes the request.
    """

    @property
    def provider(self) -> str:
        """``openai``, ``anthropic``, ``scripted``: what `LLMMessage.echo` is kept under."""
        ...

    @property
    def name(self) -> str:
        """The model that is asked when a request names none."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Ask, and yield the answer as it comes. Raises `ModelError`."""
        ...

    async def answer(self, request: ModelRequest) -> Reply:
        """Ask, and return the answer when it is whole. Raises `ModelError`."""
        ...

    async def close(self) -> None:
        """Let go of the connections of this event loop; calling it twice is harmless."""
        ...
