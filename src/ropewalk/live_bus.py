"""What carries live events between workers and servers, by URL."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ropewalk.errors import PartUnknown
from ropewalk.settings import Reconnects

if TYPE_CHECKING:
    from ropewalk.contracts.live_events import LiveEvents


@dataclass(frozen=True, kw_only=True)
class LiveBus:
    """Live events and the connection that they have for themselves. Close it once, when all that uses it has ended."""

    live: "LiveEvents"
    connection: Any

    def begin(self) -> None:
        """Connect, in the background: the first reader shall not wait for it."""
        self.connection.now()

    async def close(self) -> None:
        await self.live.close()
        await self.connection.close()


def open_live(bus: str, *, name: str, reconnects: Reconnects | None = None) -> LiveBus:
    """Return what carries live events over ``nats://host``; nothing is connected yet. Monitoring shows ``name``.

    Raises `PartUnknown`, and `PartMissing` for a driver that is not installed.
    """
    if urlsplit(bus).scheme not in ("nats", "tls"):
        raise PartUnknown("bus", bus, ["nats://localhost:4222"])
    from ropewalk.messaging.nats import NatsConnection, NatsLiveEvents  # noqa: PLC0415  loads what is used, no more
    from ropewalk.messaging.nats.config import NatsConfig  # noqa: PLC0415  as above

    again = reconnects or Reconnects()
    config = NatsConfig(bus, most_reconnects=again.most, reconnect_seconds=again.wait_seconds)
    connection = NatsConnection(config, name=name)
    return LiveBus(live=NatsLiveEvents(connection), connection=connection)
