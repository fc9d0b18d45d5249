"""Stops a run before it uses more than it may: looks at what is used, and at what is on its way to be."""

import contextlib
import weakref
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import fields
from typing import Any, cast

from ropewalk.contracts.limits import Limits
from ropewalk.contracts.model import Usage
from ropewalk.core.schedule import Schedule
from ropewalk.errors import ModelLimitReached

_UNDER_WAY: "weakref.WeakKeyDictionary[Schedule, Counter[str]]" = weakref.WeakKeyDictionary()
"""Calls that have been let go and are not in the log yet: two loops of one run must not both take the last one."""
_USAGE = frozenset(field.name for field in fields(Usage))


@contextlib.contextmanager
def one_model_call(
    limits: Limits | None, schedule: Schedule, model: str, max_tokens: int | None
) -> Generator[int | None]:
    """Let a model be asked once more, with as many tokens as it may still write. Raises `ModelLimitReached`.

    Limits are those of the run: all of its loops count.
    """
    if limits is None:
        yield max_tokens
        return
    under_way = _UNDER_WAY.setdefault(schedule, Counter())
    used = Usage(**{name: cast("Any", amount) for name, amount in schedule.usage.items() if name in _USAGE})
    limits.check(used, int(schedule.usage.get("model_calls") or 0) + under_way["model_calls"], model=model)
    under_way["model_calls"] += 1
    try:
        yield min(filter(None, (max_tokens, *_left(limits, used))), default=None)
    finally:
        under_way["model_calls"] -= 1


@contextlib.contextmanager
def more_tool_calls(most: int | None, schedule: Schedule, count: int) -> Generator[None]:
    """Let ``count`` more tools be called. Raises `ModelLimitReached` before the first one when they are too many."""
    if most is None or not count:
        yield
        return
    under_way = _UNDER_WAY.setdefault(schedule, Counter())
    used = (schedule.usage.get("tool_calls") or 0) + under_way["tool_calls"]
    if used + count > most:
        raise ModelLimitReached("tool_calls", most, used)
    under_way["tool_calls"] += count
    try:
        yield
    finally:
        under_way["tool_calls"] -= count


def _left(limits: Limits, used: Usage) -> Iterator[int]:
    """Yield how many tokens the next reply may have, by each limit that says so."""
    if limits.output_tokens is not None:
        yield limits.output_tokens - used.output_tokens
    if limits.tokens is not None:
        yield limits.tokens - used.input_tokens - used.output_tokens
