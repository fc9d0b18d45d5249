"""The thread that keeps a worker of a stream alive to the others, whatever its handlers do."""

import logging
import threading
import time

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis.client import RedisClient
from ropewalk.messaging.redis.stream_desk import FLUSH_SECONDS, Desk

log = logging.getLogger("ropewalk.messaging.redis")


class Keeper(threading.Thread):
    """Gives the signs of life of one desk every third of its lease; acknowledges what a long handler would hold up."""

    def __init__(self, desk: Desk, client: RedisClient, *, discard_done: bool, flushes: bool) -> None:
        super().__init__(name=f"ropewalk-stream-{desk.place.name}", daemon=True)
        self._desk = desk
        self._client = client
        self._discard_done = discard_done
        self._flushes = flushes
        self._ended = threading.Event()

    def beat(self) -> None:
        """Give one sign of life now. Raises `RedisProblem`."""
        self._client.talk(self._desk.beat())

    def run(self) -> None:
        every = self._desk.place.lease / 3
        soon = min(0.5, every / 4)
        due = time.monotonic() + every
        while not self._ended.wait(min(FLUSH_SECONDS, every) if self._flushes else max(0.0, due - time.monotonic())):
            try:
                if self._flushes and self._desk.unsettled and self._desk.flush_is_due:
                    self._client.talk(self._desk.turn(0, 0))
                if time.monotonic() >= due:
                    due = time.monotonic() + soon  # should it fail
                    self._keep_alive()
                    due = time.monotonic() + every
            except RedisProblem as problem:
                log.debug("Stream %r: no sign of life: %s", self._desk.place.name, problem)
                self._ended.wait(soon)

    def end(self) -> None:
        self._ended.set()
        if self.is_alive():
            self.join()

    def _keep_alive(self) -> None:
        self.beat()
        if self._discard_done:
            self._client.talk(self._desk.place.trim())
