"""What a node may ask of the run it is part of."""

import asyncio
import copy
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter

from ropewalk.codec import ANY, MAX_EVENT_BYTES, MAX_VALUE_BYTES, RawJson, dump_json, stored_form
from ropewalk.core.facts import StepRecorded
from ropewalk.core.places import Step
from ropewalk.core.schedule import Schedule
from ropewalk.errors import NotStorable, TooLarge, WrongReturn
from ropewalk.events import Token

T = TypeVar("T")


class Asking(BaseException):
    """Unwinds a node that asked a question; user code must let it pass, `core/step.py` catches it."""


class Question(NamedTuple):
    """What a node asked without having an answer."""

    name: str
    nth: int
    payload: RawJson
    kind: str
    expires_in: float | None = None
    otherwise: RawJson | None = None


class Record(NamedTuple):
    """What a node's own journal keeps: an entry of type ``kind``."""

    kind: str
    name: str
    value: Any
    """Plain JSON data."""
    nth: int = 1
    usage: Mapping[str, float | None] | None = None
    """Added to what the run has used up."""


class Recorder(Protocol):
    """What a context needs of the engine."""

    run_id: str
    schedule: Schedule

    async def record(self, step: Step, facts: Sequence[StepRecorded], *, at_once: bool = True) -> None: ...

    def emit(self, step: Step, kind: str, data: Any) -> None: ...

    async def in_thread(self, node: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any: ...


class Context:
    """Handed to a node that has a parameter named ``ctx`` or annotated ``Context``."""

    def __init__(self, step: Step, recorder: Recorder) -> None:
        self._step = step
        self._recorder = recorder
        self._calls: dict[str, int] = {}
        self._made: list[tuple[str, Coroutine[Any, Any, Any]]] = []
        self._loop = asyncio.get_running_loop()
        self._whole = self
        """The node's own context: this one, or the one that this is a part of."""
        self._prefix = ""
        self.questions: list[Question] = []
        self.closed = False
        """True once the attempt has ended: what a survivor of it still does is discarded."""
        self.run_id = recorder.run_id
        self.node = step.path
        self.attempt = step.attempt
        """1 for the first; grows with each failure and each death of a worker."""
        self.idempotency_key = f"{recorder.run_id}/{step.id}"
        """The same in every attempt at this step, different for every other step, run and fork."""
        self.index = step.index
        """Position in a map or repeat, from 0; None elsewhere."""
        self.metadata = step.place.metadata

    @property
    def item(self) -> Any:
        """The item of a map edge or a Send, or of the nearest one around this subgraph; None elsewhere."""
        return self._step.shown_item

    def step(self, name: str, fn: Callable[..., Awaitable[T] | T], *args: Any, **kwargs: Any) -> Coroutine[Any, Any, T]:
        """Call ``fn`` once and keep its result in the log: when this node runs again, the kept result is returned
        instead.

        Calls are matched by name and, under one name, by order. The result must come back equal from JSON: annotate the
        return type of ``fn`` for anything that is not plain data. A plain ``fn`` runs in a thread. What ``fn`` raises
        is raised here and is not kept. ``fn`` may still run twice when the process dies before its result is in the
        log: hand it ``idempotency_key``. Raises `NotStorable`, `TooLarge`.
        """
        return self._noted("step", self._stepped(name, fn, *args, **kwargs))

    async def _stepped(self, name: str, fn: Callable[..., Awaitable[T] | T], *args: Any, **kwargs: Any) -> T:
        name = self._prefix + name
        nth = self._nth(name)
        adapter = _returned_by(fn)
        kept = self._step.records.get((name, nth))
        if kept is not None:
            return adapter.validate_json(kept)
        if is_async(fn):
            result = await cast("Awaitable[T]", fn(*args, **kwargs))
        else:
            result = await self._recorder.in_thread(self.node, fn, *args, **kwargs)
            if isinstance(result, Awaitable):
                result = await cast("Awaitable[T]", result)
        raw, back = stored_form(adapter, result, f"What ctx.step({name!r}) returned in {self.node!r}")
        await self._record([StepRecorded(self._step.id, self.node, name, nth, raw, "step_recorded")])
        return back

    def ask(
        self,
        payload: Any = None,
        *,
        name: str = "ask",
        kind: str = "question",
        expires_in: float | None = None,
        otherwise: Any = None,
    ) -> Coroutine[Any, Any, Any]:
        """Ask a person; return the answer, once there is one.

        Until then the node is unwound and holds nothing; when `Run.answer` has come it runs again from its first line,
        where finished `step` and `ask` calls give what they gave before. ``expires_in`` seconds after it was asked
        nobody may answer any more, and whoever resumes the run answers with ``otherwise``. Raises `NotStorable` for a
        payload that is not plain data.
        """
        return self._noted("ask", self._asked(payload, name, kind, expires_in, otherwise))

    async def _asked(self, payload: Any, name: str, kind: str, expires_in: float | None, otherwise: Any) -> Any:
        name = self._prefix + name
        nth = self._nth(f"?{name}")
        answer = self._step.answers.get((name, nth))
        if answer is not None:
            return ANY.validate_json(answer)
        raw, _ = stored_form(ANY, payload, f"The question of {self.node!r}")
        instead = stored_form(ANY, otherwise, f"What {self.node!r} takes for an answer")[0]
        self.questions.append(Question(name, nth, raw, kind, expires_in, instead))
        raise Asking

    # -- for nodes that keep a journal of their own -------------------------------------------------------------------

    def within(self, name: str) -> "Context":
        """Return the context of a part of this node: what it keeps and asks is told apart by ``name``, and so is its
        idempotency key.
        """
        part = copy.copy(self)
        part._prefix = f"{self._prefix}{name}/"
        part._calls = {}
        part.idempotency_key = f"{self.idempotency_key}/{name}"
        return part

    def kept(self, name: str, nth: int = 1) -> RawJson | None:
        """Return what `keep` has put into the log in this attempt or an earlier one."""
        return self._step.records.get((self._prefix + name, nth))

    async def keep(self, *records: Record, at_once: bool = True) -> None:
        """Put records into the log, all of them in one append; returns when they are durable. Raises `TooLarge`.

        Not ``at_once``: for a model's reply after which the node has but to end. It is written together with that, in
        one append less; whoever dies before has not kept it.
        """
        facts: list[StepRecorded] = []
        for kind, name, value, nth, usage in records:
            raw = RawJson(dump_json(value))
            if len(raw) > MAX_VALUE_BYTES:
                raise TooLarge(f"What {self.node!r} keeps as {name!r}", len(raw), MAX_VALUE_BYTES)
            facts.append(StepRecorded(self._step.id, self.node, self._prefix + name, nth, raw, kind, usage))
        await self._record(facts, at_once=at_once)

    @property
    def schedule(self) -> Schedule:
        """The fold of the run's log; to be read, never changed."""
        return self._recorder.schedule

    @property
    def unfinished(self) -> Step:
        """The step that this is an attempt at; to be read, never changed."""
        return self._step

    async def in_thread(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a plain function where it cannot block the loop."""
        return await self._recorder.in_thread(self.node, fn, *args, **kwargs)

    async def _record(self, facts: list[StepRecorded], *, at_once: bool = True) -> None:
        if self._whole.closed:
            raise asyncio.CancelledError("this attempt has ended; its late results are discarded")
        await self._recorder.record(self._step, facts, at_once=at_once)

    # -- telling ------------------------------------------------------------------------------------------------------

    def emit(self, data: Any) -> None:
        """Tell the run's readers something now: a `Token` (or ``{"type": "text", "text": ...}``) is text, all else is
        custom.

        Callable from threads. Raises `NotStorable`, `TooLarge`.
        """
        self.say(*_event_of(data))

    def say(self, kind: str, told: Any) -> None:
        """Do what `emit` does, with an event of type ``kind``; a ``text`` has a text."""
        if kind != "text" or not told["text"].isascii() or len(told["text"]) > MAX_EVENT_BYTES // 2:
            self._check(told)
        try:
            on_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            on_loop = False
        if on_loop:
            self._say(kind, told)
        else:
            self._loop.call_soon_threadsafe(self._say, kind, told)

    def forgotten(self) -> str | None:
        """Return which call of this attempt, step or ask, was made and never awaited."""
        for call, coroutine in self._made:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()
                return call
        return None

    def _noted(self, call: str, coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        self._made.append((call, coroutine))
        return coroutine

    def _check(self, told: Any) -> None:
        try:
            size = len(dump_json(told))
        except (ValueError, TypeError) as error:
            raise NotStorable(f"An event of {self.node!r}", str(error)) from error
        if size > MAX_EVENT_BYTES:
            raise TooLarge(f"An event of {self.node!r}", size, MAX_EVENT_BYTES)

    def _say(self, kind: str, data: Any) -> None:
        if not self._whole.closed:
            self._recorder.emit(self._step, kind, data)

    def _nth(self, name: str) -> int:
        if not _in_loop():
            _refuse_thread(self.node)
        count = self._calls[name] = self._calls.get(name, 0) + 1
        return count


def is_async(fn: Callable[..., Any]) -> bool:
    """Tell whether calling ``fn``, a function or an object, gives a coroutine."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def _event_of(data: Any) -> tuple[str, Any]:
    """Return the type and data of the event that ``data`` asks for."""
    if isinstance(data, Token):
        return "text", {"text": data.text}
    if isinstance(data, dict):
        told = cast("dict[str, Any]", data)
        if told.get("type") == "text" and isinstance(told.get("text"), str):
            return "text", {"text": told["text"]}
    return "custom", cast("Any", data)


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _refuse_thread(node: str) -> NoReturn:
    raise WrongReturn(node, None, "from an `async def`: a plain function cannot await ctx.step or ctx.ask")


def _returned_by(fn: Callable[..., Any]) -> TypeAdapter[Any]:
    try:
        annotation = get_type_hints(fn, include_extras=True).get("return", Any)
    except (NameError, TypeError, AttributeError):
        annotation = Any
    return ANY if annotation is Any or isinstance(annotation, TypeVar) else TypeAdapter(annotation)
