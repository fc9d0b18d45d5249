"""Chunks from workers to pods over NATS, on the seed's subjects.

A publish is put among what the driver sends at the end of this turn of the loop, and nothing else is done. What one
process publishes goes over one connection, so that it arrives in order.
"""

from collections.abc import Iterable
from functools import lru_cache

from ropewalk.contracts.pod_bus import OnChunk
from ropewalk.messaging.nats.connection import Listening, NatsConnection
from ropewalk.messaging.session_names import checked_pod, checked_session, is_pod_id

_BROADCASTS = "chat.session.*.broadcast"
_FLUSH_SECONDS = 2.0


class NatsPodBus:
    """A pod's or a worker's way to the pods."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._listenings: list[Listening] = []
        self.dropped = 0

    @property
    def is_connected(self) -> bool:
        return self._connection.now() is not None

    def publish(self, pod_ids: Iterable[str], body: bytes) -> None:
        client = self._connection.now()
        for pod_id in pod_ids:
            subject = _subject_of(pod_id)
            if client is None or subject is None or not client.publish_now(subject, body):
                self.dropped += 1

    def broadcast(self, session_id: str, body: bytes) -> None:
        subject = f"chat.session.{checked_session(session_id)}.broadcast"
        client = self._connection.now()
        if client is None or not client.publish_now(subject, body):
            self.dropped += 1

    async def listen(self, pod_id: str, on_chunk: OnChunk) -> None:
        def on_message(_subject: bytes, _reply: bytes, body: bytes, _headers: bytes) -> None:
            on_chunk(body)

        for subject in (f"chat.pod.{checked_pod(pod_id)}.response", _BROADCASTS):
            self._listenings.append(await self._connection.listen(subject, on_message))

    async def close(self) -> None:
        await self._connection.flush(_FLUSH_SECONDS)
        for listening in self._listenings:
            await self._connection.let_go(listening)
        self._listenings.clear()


@lru_cache(maxsize=4096)
def _subject_of(pod_id: str) -> str | None:
    return f"chat.pod.{pod_id}.response" if is_pod_id(pod_id) else None
