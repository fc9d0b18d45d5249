"""Chunks from workers to pods within one process."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from ropewalk.contracts.pod_bus import OnChunk
from ropewalk.messaging.session_names import checked_pod, checked_session, is_pod_id

log = logging.getLogger("ropewalk.messaging.memory")


class MemoryPodHub:
    """Where the pods of one process are found."""

    def __init__(self) -> None:
        self.listening: dict[str, list[OnChunk]] = {}
        self._said: deque[tuple[str | None, bytes]] = deque()
        self._is_due = False

    def say(self, pod_id: str | None, body: bytes) -> None:
        """Hand a body to a pod, None: to all, after this turn of the loop: a listener may publish itself."""
        self._said.append((pod_id, body))
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.hand_over)

    def hand_over(self) -> None:
        self._is_due = False
        while self._said:
            pod_id, body = self._said.popleft()
            chosen = self.listening if pod_id is None else (pod_id,)
            for on_chunk in [on_chunk for pod in chosen for on_chunk in self.listening.get(pod, ())]:
                try:
                    on_chunk(body)
                except Exception:
                    log.exception("A pod could not take a chunk.")


class MemoryPodBus:
    """A pod's or a worker's way to the pods that share its hub."""

    def __init__(self, hub: MemoryPodHub) -> None:
        self._hub = hub
        self._mine: list[tuple[str, OnChunk]] = []
        self._is_closed = False
        self.dropped = 0

    @property
    def is_connected(self) -> bool:
        return not self._is_closed

    def publish(self, pod_ids: Iterable[str], body: bytes) -> None:
        for pod_id in pod_ids:
            if self._is_closed or not is_pod_id(pod_id):
                self.dropped += 1
            else:
                self._hub.say(pod_id, body)

    def broadcast(self, session_id: str, body: bytes) -> None:
        checked_session(session_id)
        if self._is_closed:
            self.dropped += 1
        else:
            self._hub.say(None, body)

    async def listen(self, pod_id: str, on_chunk: OnChunk) -> None:
        self._mine.append((checked_pod(pod_id), on_chunk))
        self._hub.listening.setdefault(pod_id, []).append(on_chunk)

    async def close(self) -> None:
        self._hub.hand_over()
        self._is_closed = True
        for pod_id, on_chunk in self._mine:
            self._hub.listening[pod_id].remove(on_chunk)
            if not self._hub.listening[pod_id]:
                del self._hub.listening[pod_id]
        self._mine.clear()
