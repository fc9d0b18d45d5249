"""Stops a run before it uses more than it may: looks at what is used, and at what is on its way to be."""

import contextlib
import weakref
from collections.abc import Callable, Generator, Iterator
from dataclasses import fields
from typing import Any, cast

from ropewalk.contracts.limits import Limits
from ropewalk.contracts.model import Usage
from ropewalk.core.schedule import Schedule
from ropewalk.errors import ModelLimitReached

Missing = Callable[[], int]
"""Tells how many of the calls that were let go the run's fold does not have yet."""
_USAGE = frozenset(field.name for field in fields(Usage))


class _UnderWay:
    """Calls of one run that have been let go: two of its loops must not both take the last one."""

    def __init__(self) -> None:
        self.models: list[Missing] = []
        self.tools: list[Missing] = []


_UNDER_WAY: "weakref.WeakKeyDictionary[Schedule, _UnderWay]" = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def one_model_call(
    limits: Limits | None, schedule: Schedule, model: str, max_tokens: int | None, missing: Missing
) -> Generator[int | None]:
    """Let a model be asked once more, with as many tokens as it may still write. Raises `ModelLimitReached`.

    Limits are those of the run: all of its loops count. Leave it when the reply is in the log, or there is none.
    """
    if limits is None:
        yield max_tokens
        return
    under_way = _UNDER_WAY.setdefault(schedule, _UnderWay()).models
    used = Usage(**{name: cast("Any", amount) for name, amount in schedule.usage.items() if name in _USAGE})
    limits.check(used, _with(schedule, "model_calls", under_way), model=model)
    with _listed(missing, under_way):
        yield min(filter(None, (max_tokens, *_left(limits, used))), default=None)


@contextlib.contextmanager
def more_tool_calls(most: int | None, schedule: Schedule, missing: Missing) -> Generator[None]:
    """Let the ``missing`` tools be called. Raises `ModelLimitReached` before the first one when they are too many."""
    count = missing()
    if most is None or not count:
        yield
        return
    under_way = _UNDER_WAY.setdefault(schedule, _UnderWay()).tools
    used = _with(schedule, "tool_calls", under_way)
    if used + count > most:
        raise ModelLimitReached("tool_calls", most, used)
    with _listed(missing, under_way):
        yield


def _with(schedule: Schedule, name: str, under_way: list[Missing]) -> int:
    return int(schedule.usage.get(name) or 0) + sum(missing() for missing in under_way)


@contextlib.contextmanager
def _listed(missing: Missing, under_way: list[Missing]) -> Generator[None]:
    under_way.append(missing)
    try:
        yield
    finally:
        under_way.remove(missing)


def _left(limits: Limits, used: Usage) -> Iterator[int]:
    """Yield how many tokens the next reply may have, by each limit that says so."""
    if limits.output_tokens is not None:
        yield limits.output_tokens - used.output_tokens
    if limits.tokens is not None:
        yield limits.tokens - used.input_tokens - used.output_tokens
