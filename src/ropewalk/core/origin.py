"""Where a run comes from: whose it is, which conversation it belongs to, which request asked for it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What is known of a run's beginning beside its graph and input."""

    owner: str | None = None
    session: str | None = None
    request: str | None = None
    """Digest of the request, where one may come twice."""
    behind: str | None = None
    """The run that must have stopped before this one may begin: until somebody resumes it, nothing of it starts."""
    webhook: str | None = None
    """Who wants to be told when it stops."""


NO_ORIGIN = Origin()
