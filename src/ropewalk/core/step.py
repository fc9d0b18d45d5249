"""One attempt at one step: calls the node's function and turns whatever happens into an outcome."""

import asyncio
import logging
import traceback
import weakref
from typing import Any, NamedTuple, Protocol, cast

from ropewalk.codec import RawJson, legible
from ropewalk.core.choosing import choices_at_once, choices_awaited
from ropewalk.core.context import Asking, Context, Recorder
from ropewalk.core.facts import Route, StepFailed, StepFinished
from ropewalk.core.places import Step
from ropewalk.core.routes import routes_of
from ropewalk.core.state import Shape, Write
from ropewalk.errors import NodeCancelled, NodeTimeout, NotAwaited, RopewalkError, StepProblem, WrongReturn

log = logging.getLogger("ropewalk")

GRACE_SECONDS = 5.0
"""How long a cancelled node may clean up before it is left behind and reported."""


class Asked(NamedTuple):
    questions: list[tuple[str, int, RawJson, str]]


class Failed(NamedTuple):
    error: Exception
    permanent: bool
    """True: another attempt could not do better."""


class Gone(NamedTuple):
    """The attempt was cancelled by the engine; nothing of it counts."""


Outcome = StepFinished | Asked | Failed | Gone
GONE = Gone()


class Runner(Recorder, Protocol):
    """What an attempt needs of the engine."""

    shape: Shape


async def attempt(step: Step, runner: Runner) -> Outcome:
    """Run the node once. Raises nothing but `asyncio.CancelledError`, which the caller has asked for, and what ends a
    process.
    """
    ctx: Context | None = None
    try:
        call = step.place.call
        if call is not None and call.is_simple and step.place.timeout is None:  # most nodes: no need for names
            view = runner.shape.view(step.firing.version.values) if call.params else None
            result = await (call.fn(view) if call.params else call.fn())
        else:
            arguments, view, ctx = _arguments(step, runner)
            result = await _called(step, arguments, runner)
            if ctx is not None and (call_made := ctx.forgotten()) is not None:
                raise NotAwaited(step.path, call_made)
        fact = _finished(step, result, view, runner.shape)
        if step.firing.items is None and step.firing.scope.plan.choosing[step.place.index] == "awaited":
            fact = fact._replace(choices=await choices_awaited(step, fact.writes, runner.shape))
        return fact
    except Asking:
        return Asked(ctx.questions if ctx else [])
    except Exception as error:  # noqa: BLE001  door one: whatever a node raises becomes a fact
        permanent = isinstance(error, StepProblem) or not isinstance(error, step.place.retry.on)
        return Failed(error, permanent=permanent)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return Failed(NodeCancelled(step.path, str(error)), permanent=False)
    except BaseExceptionGroup as group:  # a TaskGroup in the node wraps what its tasks raised
        rest = group.split(Asking)[1]
        return Asked(ctx.questions if ctx else []) if rest is None else Failed(RuntimeError(str(rest)), permanent=True)
    finally:
        if ctx is not None:
            ctx.closed = True


def _arguments(step: Step, runner: Runner) -> tuple[dict[str, Any], Any, Context | None]:
    """Return what the node is called with, its view of the state, and its context, the last two where it takes them."""
    call = step.place.call
    assert call is not None
    view: Any = None
    ctx: Context | None = None
    arguments: dict[str, Any] = {}
    for name, source in call.params:
        if source == "state":
            if view is None:
                view = runner.shape.view(step.version.values)
            arguments[name] = view
        elif source == "ctx":
            ctx = arguments[name] = ctx or Context(step, runner)
        else:
            arguments[name] = step.shown_item if source == "item" else step.index
    return arguments, view, ctx


async def _called(step: Step, arguments: dict[str, Any], runner: Runner) -> Any:
    place = step.place
    call = place.call
    assert call is not None
    if place.timeout is not None:
        return await _within(place.timeout, step, arguments, runner)
    if call.is_async:
        return await call.fn(**arguments)
    result = await runner.in_thread(step.path, call.fn, **arguments)
    return await result if hasattr(result, "__await__") else result


def _finished(step: Step, result: Any, view: Any, shape: Shape) -> StepFinished:
    place, firing = step.place, step.firing
    writes: list[Write] = []
    routes: tuple[Route, ...] | None = None
    if view is not None and shape.is_touched(view):
        writes = shape.changes(view, f"Node {step.path!r}")
    if place.routers and (router := place.own_router) is not None:
        routes = routes_of(result, router, firing.scope.plan, step.path)
    elif isinstance(result, dict):
        if result:
            writes += shape.returned(cast("dict[str, Any]", result), f"Node {step.path!r}")
            if shape.has_reducers:
                shape.check_merge(step.version.values, writes, f"node {step.path!r}")
    elif result is not None and result is not view:
        raise WrongReturn(step.path, result, "a dict of writes ({'field': value}), or None for no writes")
    if writes:
        shape.check_size(writes, f"node {step.path!r}")
    at_once = firing.items is None and firing.scope.plan.choosing[place.index] == "at once"
    choices = choices_at_once(step, writes, shape) if at_once else ()
    return StepFinished(step.id, step.path, step.attempt, writes, routes, choices)


async def _within(seconds: float, step: Step, arguments: dict[str, Any], runner: Runner) -> Any:
    call = step.place.call
    assert call is not None
    work = call.fn(**arguments) if call.is_async else runner.in_thread(step.path, call.fn, **arguments)
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        await stop_tasks([(step.path, task)])
        raise
    if done:
        return task.result()
    await stop_tasks([(step.path, task)])
    raise NodeTimeout(step.path, seconds)


_STOPPED: "weakref.WeakSet[asyncio.Task[Any]]" = weakref.WeakSet()
"""Tasks that `stop_tasks` has cancelled. `Task.cancelling` cannot tell: up to Python 3.12 a `TaskGroup` in a node may
leave a cancellation of its own behind.
"""


async def stop_tasks(tasks: "list[tuple[str, asyncio.Task[Any]]]") -> None:
    """Cancel tasks and wait for their cleanup; one that does not end in time is reported and left behind."""
    for _, task in tasks:
        if task not in _STOPPED:  # a second cancellation would hit its cleanup
            _STOPPED.add(task)
            task.cancel()
    waiting = {task for _, task in tasks if not task.done()}
    if waiting:
        await asyncio.wait(waiting, timeout=GRACE_SECONDS)
    for path, task in tasks:
        if not task.done():
            log.warning(
                "node %r did not end %g s after it was cancelled; what it still does is discarded", path, GRACE_SECONDS
            )
            task.add_done_callback(_ignore)
        else:
            _ignore(task)


def forget_cancellations(task: "asyncio.Task[Any]") -> bool:
    """Clear what a node has left of its own cancellations; return True for a task that `stop_tasks` has cancelled."""
    if not task.cancelling():
        return False
    if task in _STOPPED:
        return True
    while task.uncancel():
        pass
    return False


def _ignore(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.exception()


def trace_of(error: BaseException) -> str:
    """Return the traceback as text, the engine's own frames left out."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if not frame.filename.endswith(("ropewalk/core/step.py", "ropewalk/core/engine.py"))
    ]
    return "".join(traceback.format_list(own or frames)[-12:])


def failure_of(step: str, node: str, attempt: int, error: Exception, retry_at: float | None) -> StepFailed:
    """Return the fact of a failed attempt: the code and message of the error, and its trace."""
    code = error.code if isinstance(error, RopewalkError) else "node_failed"
    message = legible(str(error)) or type(error).__name__
    return StepFailed(step, node, attempt, code, message, type(error).__name__, legible(trace_of(error)), retry_at)
