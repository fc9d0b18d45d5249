"""What takes live events out of the process, to whoever listens on a channel."""

from typing import Protocol


class Publisher(Protocol):
    """A way out for live events: somebody may listen, nobody has to.

    Guarantees:

    - **Never in the way.** `publish` returns at once: it does not wait for a network, and it raises nothing. What a
      slow or dead medium cannot take is dropped.
    - **Counted.** What was dropped is counted in `dropped`.
    - **In order.** What arrives on a channel arrives in the order in which it was published.
    - **To the last.** A process that ends in order waits for what is not sent yet, for a short time.
    - **Shared.** One object serves all runs of a process, from one event loop or several.
    """

    @property
    def dropped(self) -> int:
        """How many events could not be delivered."""
        ...

    def publish(self, channel: str, body: bytes) -> None:
        """Hand over one event, encoded as JSON."""
        ...
