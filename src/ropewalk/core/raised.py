"""Tells what user code raised: which of it is a failure of its own, and what it was before it had to be wrapped.

A coroutine cannot raise a `StopIteration`, a future cannot carry one, and a task that raises `SystemExit` ends its
loop. Python wraps the first in a `RuntimeError`; here the others are wrapped the same way, and `original` takes it off.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

NOT_ITS_OWN = (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""What on the loop is meant for the process, the coroutine or the task, and never a failure of the code it goes
through.
"""
_WRAPPED = (StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit)


def called_in_thread(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call ``fn`` for a future. In a thread an interrupt is nobody's but the function's, so that it is wrapped too."""
    try:
        return fn(*args, **kwargs)
    except (StopIteration, KeyboardInterrupt, GeneratorExit) as error:
        raise _wrapper(error) from error


def task_of(work: Awaitable[T]) -> "asyncio.Task[T]":
    """Start ``work`` as a task of its own that cannot end the loop."""
    task = asyncio.ensure_future(_contained(work))
    if asyncio.iscoroutine(work):
        task.add_done_callback(lambda _: work.close())  # cancelled before it began: else Python warns of it
    return task


async def _contained(work: Awaitable[T]) -> T:
    try:
        return await work
    except SystemExit as error:
        raise _wrapper(error) from error


def original(error: BaseException) -> BaseException:
    """Return what was raised, by whatever it was wrapped on the way."""
    cause = error.__cause__
    if type(error) is RuntimeError and isinstance(cause, _WRAPPED) and str(error).endswith(_words(cause)):
        return cause
    return error


def _wrapper(error: BaseException) -> RuntimeError:
    return RuntimeError(f"function {_words(error)}")


def _words(error: BaseException) -> str:
    return f"raised {type(error).__name__}"  # as Python words its own
