"""Remembers which runs a worker's code does not fit, so that it claims around them and they stay due for all others.

The code of a process does not change, so a log that it could not read is worth another try only when it has grown. It
is tried now and then all the same, later each time: what is never met again, for it went on elsewhere, is forgotten.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

_AGAIN_SECONDS, _TIMES_LATER, _AGAIN_AT_MOST_SECONDS = 10.0, 4, 3600.0
_FORGOTTEN_SECONDS = 60.0
"""After the time for another try: by then the run would have been met, had it still been due."""
_MOST = 1_000
"""Every claim names them all, and the store passes over each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Misfit:
    last: int
    times: int
    until: float


class Misfits:
    """What one worker knows of runs that are for others."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Misfit] = {}

    def is_new(self, run_id: str) -> bool:
        return run_id not in self._known

    def note(self, run_id: str, last: int) -> bool:
        """Remember that the code does not fit a run whose log ends with entry ``last``; False when there is no room."""
        now = self._clock()
        before = self._known.get(run_id)
        if before is None and len(self._known) >= _MOST:
            self._known = {name: one for name, one in self._known.items() if now < one.until + _FORGOTTEN_SECONDS}
            if len(self._known) >= _MOST:
                return False
        times = before.times + 1 if before is not None and before.last == last else 1
        pause = min(_AGAIN_SECONDS * _TIMES_LATER ** min(times - 1, 10), _AGAIN_AT_MOST_SECONDS)
        self._known[run_id] = _Misfit(last=last, times=times, until=now + pause)
        return True

    def passed_over(self) -> dict[str, int]:
        """Return the runs to claim around now, each with the last entry that its log had."""
        now = self._clock()
        return {run_id: one.last for run_id, one in self._known.items() if now < one.until}
