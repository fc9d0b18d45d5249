"""How a tool loop goes about it: how often, how much, what it does about failures, where its stream goes."""

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from ropewalk.agent.output import OutputMode
from ropewalk.agent.streaming import StreamingConfig, StreamingEventType, Told
from ropewalk.agent.summary import Summary
from ropewalk.agent.tools import OnError
from ropewalk.agent.window import Window
from ropewalk.contracts.limits import Limits
from ropewalk.core.arguments import check_number

_WHOLE = {
    "max_iterations": 1,
    "max_tokens": 1,
    "max_parallel_tools": 1,
    "max_tool_calls": 0,
    "max_failed_rounds": 0,
    "output_retries": 0,
}
"""Option -> the least that it may be."""
_NEVER_NONE = frozenset({"max_iterations", "max_failed_rounds", "output_retries"})


@dataclass(frozen=True, slots=True)
class ToolLoopOptions:
    """Of one tool node, or one agent."""

    max_iterations: int = 10
    """How often the model is asked in one go of the node; to be asked once more raises `ModelLimitReached`."""
    model: str | None = None
    """Which of the client's models; None: the client's own."""
    max_tokens: int | None = None
    """Of one reply; one that needs more raises `ReplyCutOff`."""
    api_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Passed to the provider's SDK as they are."""
    stream: bool = False
    """Ask for streams, so that text comes as live events while it is written."""
    stream_callback: Told | None = None
    """Called with each event of the stream, in the form of `StreamingConfig`."""
    streaming_config: StreamingConfig | None = None
    _: KW_ONLY
    temperature: float | None = None
    tool_choice: str | None = None
    """``auto`` (also None), ``none``, ``required``, or a tool's name; the last two for the first reply alone."""
    stream_events: Iterable[StreamingEventType | str] | None = None
    """With ``redis_...``: a short form of ``streaming_config``."""
    redis_host: str | None = None
    redis_port: int = 6379
    redis_channel: str | None = None
    timeout_seconds: float | None = None
    """For one attempt at the node."""
    on_error: OnError = "tell"
    """What becomes of a tool call that fails, or that cannot be run as the model wants it."""
    stop_on_first_error: bool = False
    """The same as ``on_error="raise"``."""
    max_failed_rounds: int = 3
    """How many replies in a row may call tools without one call going well; one more raises `ToolErrors`."""
    max_parallel_tools: int | None = None
    output_mode: OutputMode = "native"
    output_retries: int = 2
    """How often a model is told that its final answer does not fit; then `OutputInvalid`."""
    approval_seconds: float | None = None
    """How long a person may take to decide about a call; then it is not run, and the model is told."""
    limits: Limits | None = None
    """What the run may use, all its loops together; a reply gets no more ``max_tokens`` than is left."""
    max_tool_calls: int | None = None
    """How many tools the run may call, all its loops together."""
    window: Window | None = None
    summary: Summary | None = None

    def __post_init__(self) -> None:
        for name, least in _WHOLE.items():
            if getattr(self, name) is not None or name in _NEVER_NONE:
                check_number(name, getattr(self, name), f"a whole number, {least} or more", whole=True, least=least)
        for name in ("timeout_seconds", "approval_seconds"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), "seconds, above 0", above=0)
        if self.on_error not in ("tell", "raise"):
            raise ValueError(f"on_error is 'tell' or 'raise'; not {self.on_error!r}.")

    @property
    def raises(self) -> bool:
        return self.stop_on_first_error or self.on_error == "raise"

    @property
    def stream_to(self) -> StreamingConfig | None:
        """Where the stream goes beside the run's own events; None: nowhere."""
        given = self.streaming_config
        if given is not None:
            return given if given.enabled else None
        if self.stream_callback is None and not (self.redis_host and self.redis_channel):
            return None
        types = set(self.stream_events) if self.stream_events is not None else {StreamingEventType.TEXT}
        return StreamingConfig(
            enabled=True,
            event_types=types,
            redis_host=self.redis_host,
            redis_port=self.redis_port,
            redis_channel=self.redis_channel,
            callback=self.stream_callback,
        )

    @property
    def streams(self) -> bool:
        """Tell whether models are asked for streams."""
        return self.stream or self.stream_to is not None
