"""What carries the live events of runs from the worker that drives one to the servers whose clients follow it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

Cursor = tuple[int, int]
"""An event's id: entry and n."""
OnAsked = Callable[[str, Cursor], list[bytes]]
"""Called in the loop with a run and a cursor: what this process keeps behind it, in order; empty for others' runs."""


class LiveEvents(Protocol):
    """Events that are not in the log: tokens, progress.

    Guarantees:

    - **Never in the way.** `say` returns at once, waits for nothing and raises nothing; what cannot be sent is dropped
      and counted. It costs little when nobody listens.
    - **In order.** Events of one run arrive in the order in which they were said.
    - **From the middle.** Who begins to follow in the middle of a step is first given what the driver keeps of it.
    """

    @property
    def dropped(self) -> int: ...

    def say(self, run_id: str, bodies: list[bytes]) -> None:
        """Send events of a run to whoever follows it."""
        ...

    async def answer(self, on_asked: OnAsked) -> None:
        """Let this process give what it keeps to those who begin to follow, until `close`."""
        ...

    def follow(self, run_id: str, after: Cursor) -> AbstractAsyncContextManager[AsyncIterator[list[bytes]]]:
        """Follow a run: yields what the driver kept behind ``after``, then what it says. Events may come twice."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class TellsWhoFollows(LiveEvents, Protocol):
    """Live events whose way can tell that nobody follows a run: then nothing more of it need be said, until somebody
    asks what is kept of it.
    """

    async def heed(self, *, on_nobody: Callable[[str], None], on_doubt: Callable[[], None]) -> None:
        """Have ``on_nobody`` told of each run that was said first to nobody, and ``on_doubt`` when questions may have
        gone unheard for a while. Both are called in the loop, until `close`.
        """
        ...

    def say_first(self, run_id: str, bodies: list[bytes]) -> None:
        """Do what `say` does, and learn whether anybody follows the run in this moment."""
        ...
