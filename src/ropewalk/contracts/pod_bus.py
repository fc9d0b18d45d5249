"""What carries chunks from workers to the pods that hold a session's connections: the quick way, beside the log."""

from collections.abc import Callable, Iterable
from typing import Protocol

OnChunk = Callable[[bytes], None]
"""Called in the loop with each body, in the order in which its sender published them; it must not block."""


class PodBus(Protocol):
    """A way from whoever answers to the pods.

    Guarantees:

    - **Never in the way.** `publish` returns at once and raises nothing for a medium that is away; what cannot be sent
      is dropped and counted. Whoever needs it finds it in the chunk log.
    - **In order.** What one process publishes to one pod arrives in that order, as far as it arrives.
    """

    @property
    def dropped(self) -> int:
        """How many bodies could not be sent."""
        ...

    def publish(self, pod_ids: Iterable[str], body: bytes) -> None:
        """Send a body to each of these pods."""
        ...

    def broadcast(self, session_id: str, body: bytes) -> None:
        """Send a body to every pod, for a session of which nobody knows where its connections are."""
        ...

    async def listen(self, pod_id: str, on_chunk: OnChunk) -> None:
        """Let ``on_chunk`` hear what is sent to this pod, and every broadcast, from now on until `close`.

        A server that is away is waited for in the background: returns at once.
        """
        ...

    @property
    def is_connected(self) -> bool:
        """Tell whether the medium can be reached at the moment."""
        ...

    async def close(self) -> None:
        """Send what was published, for two seconds at most, then let go."""
        ...
