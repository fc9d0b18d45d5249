"""Tools: functions that a model may call, and what is said about calling them."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, TypeVar, overload, runtime_checkable

from ropewalk.agent.docstrings import summary_of
from ropewalk.agent.signatures import Signature, Takes, signature_of
from ropewalk.contracts.model import ToolSpec
from ropewalk.core.retry import NO_RETRY, Retry
from ropewalk.errors import ToolInvalid

if TYPE_CHECKING:
    from ropewalk.agent.agents import Agent

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What every provider takes for a tool's name."""
P = ParamSpec("P")
R = TypeVar("R")

Effects = Literal["none", "idempotent", "once"]
"""What a call does to the world, which settles what becomes of one that had started when its process died.

none: it only looks; idempotent: the other side tells a repetition by its key: both are run again, with the same
`ctx.idempotency_key`. once: it must not happen twice, so a person is asked what happened.
"""
OnError = Literal["tell", "raise"]
"""What becomes of a call that fails: the model is told and may do better, or the node fails."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool(Generic[P, R]):
    """A function that a model may call. Made by `tool`; to your own code it is the function still."""

    name: str
    description: str
    fn: Callable[P, R]
    takes: Takes
    effects: Effects = "idempotent"
    pause_before_execution: bool = False
    pause_after_execution: bool = False
    abort_after_execution: bool = False
    """The loop ends with this tool's result as its final output."""
    timeout: float | None = None
    """Seconds that one call may take."""
    retry: Retry = NO_RETRY
    on_error: OnError | None = None
    """None: as the loop's options say."""
    approval_seconds: float | None = None
    """How long a person may take to decide; None: as the loop's options say."""
    agent: "Agent | None" = None
    """The agent that this tool asks: what it does is in the log call by call."""
    handoff: "Agent | None" = None
    """The agent that goes on with the conversation when this tool has been called."""
    spec: ToolSpec = field(init=False)

    def __post_init__(self) -> None:
        spec = ToolSpec(name=self.name, description=self.description, parameters=self.takes.schema)
        told = {name: getattr(self.fn, name) for name in functools.WRAPPER_ASSIGNMENTS if hasattr(self.fn, name)}
        self.__dict__.update(told, spec=spec, __wrapped__=self.fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> "Tool[..., Any]":
        """Return the tool of one object, where it was made of a method."""
        if instance is None:
            return self
        fn: Any = self.fn
        bound = fn.__get__(instance, owner)
        return replace(self, fn=bound, takes=signature_of(bound, self.name, self.takes.hidden))

    def missing(self, supplied: Mapping[str, Any]) -> list[str]:
        """Return the hidden parameters that nobody fills."""
        needed = self.takes.needed if isinstance(self.takes, Signature) else frozenset[str]()
        return sorted(needed - set(supplied))


@runtime_checkable
class OffersTools(Protocol):
    """Where tools come from that are known only when it is asked: a tool server."""

    async def tools(self) -> Sequence[Tool[..., Any]]:
        """Return its tools; asked before each loop, so it answers from memory when it can."""
        ...


@overload
def tool(description: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    description: str | None = None,
    *,
    name: str | None = None,
    pause_before_execution: bool = False,
    pause_after_execution: bool = False,
    abort_after_execution: bool = False,
    timeout: float | None = None,
    retry: Retry | None = None,
    effects: Effects | None = None,
    hidden_params: Iterable[str] | str = (),
    on_error: OnError | None = None,
    approval_seconds: float | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(  # noqa: PLR0913  the names are the tool's settings
    description: Any = None,
    *,
    name: str | None = None,
    pause_before_execution: bool = False,
    pause_after_execution: bool = False,
    abort_after_execution: bool = False,
    timeout: float | None = None,
    retry: Retry | None = None,
    effects: Effects | None = None,
    hidden_params: Iterable[str] | str = (),
    on_error: OnError | None = None,
    approval_seconds: float | None = None,
) -> Any:
    """Make a tool of the function below, async or not.

    Its parameters become the schema: types, defaults, descriptions from ``Annotated[int, "how many"]`` or the
    docstring. ``state`` and ``ctx`` are filled by the loop, ``hidden_params`` by the application; the model sees
    neither. ``effects`` left out is ``once`` for a tool that pauses before it runs, else ``idempotent``. Raises
    `ToolInvalid` for what a model could not call.
    """
    if callable(description):
        return tool()(description)
    hidden = (hidden_params,) if isinstance(hidden_params, str) else tuple(hidden_params)

    def make(fn: Callable[..., Any]) -> Tool[..., Any]:
        called = name or getattr(fn, "__name__", type(fn).__name__)
        _check(called, timeout, effects, on_error)
        return Tool(
            name=called,
            description=description or summary_of(fn),
            fn=fn,
            takes=_LaterSignature(fn, called, hidden) if _is_method(fn) else signature_of(fn, called, hidden),
            effects=effects or ("once" if pause_before_execution else "idempotent"),
            pause_before_execution=pause_before_execution,
            pause_after_execution=pause_after_execution,
            abort_after_execution=abort_after_execution,
            timeout=timeout,
            retry=retry or NO_RETRY,
            on_error=on_error,
            approval_seconds=approval_seconds,
        )

    return make


class _LaterSignature:
    """That of a method, whose ``self`` is known when somebody takes the tool from an object."""

    injected: Mapping[str, str] = {}

    def __init__(self, fn: Callable[..., Any], name: str, hidden: Iterable[str]) -> None:
        self._fn = fn
        self._name = name
        self.hidden = frozenset(hidden)

    @property
    def schema(self) -> Mapping[str, Any]:
        return {}

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        raise ToolInvalid(self._name, "it is a method without its object", "Take it from the object: thing.method.")


def _is_method(fn: Callable[..., Any]) -> bool:
    code = getattr(fn, "__code__", None)
    return code is not None and code.co_argcount > 0 and code.co_varnames[0] == "self" and "." in fn.__qualname__


def _check(name: str, timeout: float | None, effects: str | None, on_error: str | None) -> None:
    if not _NAME.fullmatch(name):
        raise ToolInvalid(name, "a name has letters, digits, _ and -, 64 at most", "Give it another: name='...'.")
    if timeout is not None and not timeout > 0:
        raise ToolInvalid(name, f"timeout is seconds above 0, not {timeout!r}", "None is no limit.")
    if effects not in (None, "none", "idempotent", "once"):
        raise ToolInvalid(name, f"effects is {effects!r}", "It is 'none', 'idempotent' or 'once'.")
    if on_error not in (None, "tell", "raise"):
        raise ToolInvalid(name, f"on_error is {on_error!r}", "It is 'tell' or 'raise'.")
