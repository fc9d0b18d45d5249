"""What the chat's parts are, by URL: the bus between pods and workers, the sessions' registry and log."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ropewalk.errors import PartUnknown
from ropewalk.settings import Reconnects

if TYPE_CHECKING:
    from ropewalk.contracts.chat_requests import ChatRequests
    from ropewalk.contracts.chunk_log import ChunkLog
    from ropewalk.contracts.live_events import LiveEvents
    from ropewalk.contracts.pod_bus import PodBus
    from ropewalk.contracts.session_registry import SessionRegistry


@dataclass(kw_only=True)
class ChatParts:
    """What carries requests, chunks and live events. Close it once, when everything that uses it has ended."""

    requests: "ChatRequests"
    bus: "PodBus"
    live: "LiveEvents"
    log: "ChunkLog"
    registry: "SessionRegistry"
    closes: tuple[Any, ...] = ()
    """What is closed behind them: connections that they share."""

    async def close(self) -> None:
        for part in (self.requests, self.bus, self.live, self.log, self.registry, *self.closes):
            await part.close()


def memory_parts() -> ChatParts:
    """Return parts for pods and workers of one process."""
    from ropewalk.messaging import memory  # noqa: PLC0415  loads what is used, no more

    return ChatParts(
        requests=memory.MemoryChatRequests(),
        bus=memory.MemoryPodBus(memory.MemoryPodHub()),
        live=memory.MemoryLiveEvents(),
        log=memory.MemoryChunkLog(),
        registry=memory.MemorySessionRegistry(),
    )


def open_parts(bus: str, sessions: str, *, name: str, reconnects: Reconnects | None = None) -> ChatParts:
    """Return the parts behind ``nats://host`` and ``redis://host``; nothing is connected yet.

    Raises `PartUnknown`, and `PartMissing` for a driver that is not installed.
    """
    if urlsplit(bus).scheme not in ("nats", "tls"):
        raise PartUnknown("bus", bus, ["nats://localhost:4222"])
    if urlsplit(sessions).scheme not in ("redis", "rediss", "unix"):
        raise PartUnknown("sessions", sessions, ["redis://localhost:6379"])
    from ropewalk.messaging.nats import NatsChatRequests, NatsConnection, NatsLiveEvents, NatsPodBus  # noqa: PLC0415
    from ropewalk.messaging.nats.config import NatsConfig  # noqa: PLC0415  as above
    from ropewalk.messaging.redis.async_client import AsyncRedisClient  # noqa: PLC0415
    from ropewalk.messaging.redis.chunk_log import RedisChunkLog  # noqa: PLC0415
    from ropewalk.messaging.redis.config import RedisConfig  # noqa: PLC0415
    from ropewalk.messaging.redis.session_registry import RedisSessionRegistry  # noqa: PLC0415

    again = reconnects or Reconnects()
    config = NatsConfig(bus, most_reconnects=again.most, reconnect_seconds=again.wait_seconds)
    connection = NatsConnection(config, name=name)
    client = AsyncRedisClient(RedisConfig(sessions))
    return ChatParts(
        requests=NatsChatRequests(connection),
        bus=NatsPodBus(connection),
        live=NatsLiveEvents(connection),
        log=RedisChunkLog(client),
        registry=RedisSessionRegistry(client),
        closes=(connection, client),
    )
