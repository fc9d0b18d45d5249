"""Who knows which pods hold connections of a session."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol


class Connection(NamedTuple):
    """One client's stream at one pod."""

    session_id: str
    pod_id: str
    connection_id: str

    @property
    def member(self) -> str:
        """As it stands in the session's set."""
        return f"{self.pod_id}:{self.connection_id}"


class SessionRegistry(Protocol):
    """The living connections of all sessions.

    Guarantees:

    - **Only the living.** A connection is known for ``ttl_seconds`` after it was last announced, by the registry's own
      clock; then it is gone, whatever became of its pod.
    - **Strangers too.** A member that somebody else put into the session's set is known for five minutes, from when it
      is first seen.
    - **May be lost.** A registry that was lost knows a connection again when it is announced the next time.
    """

    async def announce(self, connections: Iterable[Connection], *, ttl_seconds: float) -> None:
        """Make connections known, or keep them so. Raises `BusUnavailable`."""
        ...

    async def forget(self, connections: Iterable[Connection]) -> None:
        """Take connections out. Raises `BusUnavailable`."""
        ...

    async def pods_of(self, session_ids: Sequence[str]) -> list[frozenset[str]]:
        """Return the pods that hold a connection, for each session. Raises `BusUnavailable`."""
        ...

    async def claim(self, session_id: str, user_id: str, *, ttl_seconds: float) -> bool:
        """Let a session be this user's for so long; False: it is another's. Raises `BusUnavailable`."""
        ...

    async def close(self) -> None: ...
