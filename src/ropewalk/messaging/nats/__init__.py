"""The parts of the chat service that NATS carries: requests, chunks, live events; one connection for all of a process.

Needs the extra ``nats``.
"""

from ropewalk.messaging.nats.chat_requests import NatsChatRequests
from ropewalk.messaging.nats.config import NatsConfig
from ropewalk.messaging.nats.connection import NatsConnection
from ropewalk.messaging.nats.live_events import NatsLiveEvents
from ropewalk.messaging.nats.pod_bus import NatsPodBus

__all__ = ["NatsChatRequests", "NatsConfig", "NatsConnection", "NatsLiveEvents", "NatsPodBus"]
