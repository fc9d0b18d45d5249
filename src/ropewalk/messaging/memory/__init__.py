"""The parts of the chat service for one process: pods and workers share one object of each kind.

All live in one event loop and end with it. `MemoryPodBus` alone is one for each pod or worker: they meet in a
`MemoryPodHub`.
"""

from ropewalk.messaging.memory.chat_requests import MemoryChatRequests
from ropewalk.messaging.memory.chunk_log import MemoryChunkLog
from ropewalk.messaging.memory.live_events import MemoryLiveEvents
from ropewalk.messaging.memory.pod_bus import MemoryPodBus, MemoryPodHub
from ropewalk.messaging.memory.session_registry import MemorySessionRegistry

__all__ = [
    "MemoryChatRequests",
    "MemoryChunkLog",
    "MemoryLiveEvents",
    "MemoryPodBus",
    "MemoryPodHub",
    "MemorySessionRegistry",
]
