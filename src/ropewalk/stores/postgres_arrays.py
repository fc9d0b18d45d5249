"""Many values as one parameter of a PostgreSQL statement.

An array is sent as its text, and all bodies as one value with the places to cut it: arrays that the driver makes cost
the client twice as much (measured).
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any


def numbers(values: Iterable[float]) -> str:
    return f"{{{','.join(map(str, values))}}}"


def texts(values: Iterable[str | None]) -> str:
    return f"{{{','.join('NULL' if value is None else _quoted(value) for value in values)}}}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def entries(after: Sequence[int], logs: Sequence[Sequence[bytes]]) -> dict[str, Any]:
    """Return the entries of some logs, each continued behind its entry ``after``: of which log each is (``of``), its
    number, and where its body lies in ``bodies``.
    """
    bodies = [body for log in logs for body in log]
    lengths = [*map(len, bodies)]
    return {
        "of": numbers(place for place, log in enumerate(logs) for _ in log),
        "number": numbers(
            first + nth for first, log in zip(after, logs, strict=True) for nth in range(1, len(log) + 1)
        ),
        "start": numbers(accumulate(lengths[:-1], initial=1) if lengths else ()),
        "length": numbers(lengths),
        "bodies": b"".join(bodies),
    }
