"""What carries requests for answers from pods to workers, ours and strangers'."""

from collections.abc import Sequence
from typing import Protocol


class Delivery(Protocol):
    """One request in the hands of one worker, until it says what became of it."""

    @property
    def session_id(self) -> str:
        """As it stands in the subject."""
        ...

    @property
    def body(self) -> bytes: ...

    @property
    def attempt(self) -> int:
        """How often it was handed to somebody, this time included; from 1."""
        ...

    async def done(self) -> None:
        """Say that it is taken care of: it is not handed out again."""
        ...

    async def again(self, *, in_seconds: float) -> None:
        """Give it back: it is handed out again, to whomever, when the time has come."""
        ...

    async def bury(self, reason: str) -> None:
        """Take it out; on return it is where dead letters are kept, with the reason. Raises `BusUnavailable`."""
        ...


class ChatRequests(Protocol):
    """A queue of requests, by session.

    Guarantees:

    - **Hints.** Our own pods and workers lose nothing when a request is lost, doubled or late: the run is in the store.
    - **Kept.** What anybody publishes on the subject of a session is kept until some worker is done with it, for a
      day at most; requests with one ``message_id`` that come within two minutes are one.
    - **Shared out.** A request is in one worker's hands at a time. One that is not done within the time of a delivery
      (30 s) is handed out again.
    - **Five times.** What was handed out five times and is still not done is buried, not handed out for ever.
    - **Heard by strangers.** A plain subscriber to the subjects hears every request as well.
    """

    async def publish(self, session_id: str, body: bytes, *, message_id: str) -> None:
        """Hand over a request; on return it is kept. Raises `BusUnavailable`, within two seconds."""
        ...

    async def fetch(self, *, most: int, at_most_seconds: float) -> Sequence[Delivery]:
        """Return at least one request, no more than ``most``; none when the time is over.

        A server that is away is waited for; the time counts on. Never raises for it.
        """
        ...

    async def waiting(self) -> int | None:
        """Return how many requests wait or are in somebody's hands; None when that is not known now."""
        ...

    async def close(self) -> None:
        """Let go; what is in this process's hands is handed out again."""
        ...
