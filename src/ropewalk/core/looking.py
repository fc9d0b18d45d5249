"""Decides when the log of a run that another process drives is read again, and how far.

1. It is looked at after a tenth of the time for which it was silent, and at once when its driver announces an entry.
2. While announcements come, the log is read as far as they go: what was said before an entry arrives before its
   announcement, and is told before the entry.
3. An entry that nobody announces is read a moment later all the same: others may write, and announcements get lost.
"""

_QUIET_SECONDS = (0.05, 1.0)
"""Between two looks, where nothing is announced."""
_LATE_SECONDS = 0.1
"""How long an announcement may take that is on its way."""


class Looking:
    """What is known of one run. Times are by any clock that only goes forward."""

    def __init__(self) -> None:
        self._grew: float | None = None
        """When the log was last seen to have grown."""
        self._looked = 0.0
        self._tried = 0
        """The newest announcement that was looked for."""
        self._ahead_since: float | None = None
        """Since when the log is known to have what was not announced."""

    def begin(self, now: float) -> None:
        """Note that the run goes on elsewhere from now on."""
        self._grew = now

    def due_in(self, now: float, *, announced: int, known: int) -> float:
        """Return in how many seconds the log is to be looked at; 0: now."""
        if announced > max(known, self._tried):
            return 0.0
        if self._ahead_since is not None:
            return max(0.0, self._ahead_since + _LATE_SECONDS - now)
        if self._grew is None:
            self._grew = self._looked = now
        shortest, longest = _QUIET_SECONDS
        return max(0.0, self._looked + min(longest, max(shortest, (now - self._grew) / 10)) - now)

    def looked(self, now: float, *, grew: bool) -> None:
        """Note that the log was read, to its end."""
        self._looked, self._ahead_since = now, None
        if grew:
            self._grew = now

    def until(self, now: float, last: int, *, announced: int, known: int) -> int:
        """Return up to which entry the log, whose newest is ``last``, is read now."""
        self._tried = max(self._tried, announced)
        if announced < known or not announced or last <= announced:  # nobody tells, or all of it was told
            self.looked(now, grew=last > known)
            return last
        if announced > known or self._ahead_since is None:
            self._ahead_since = now
        elif now - self._ahead_since >= _LATE_SECONDS:
            self.looked(now, grew=True)
            return last
        self._looked = now
        if announced > known:
            self._grew = now
        return announced
