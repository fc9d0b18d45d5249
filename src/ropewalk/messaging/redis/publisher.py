"""Publishes live events to whoever listens now: callers hand them over and go on; a thread sends them.

1. `publish` puts an event into a queue and returns. The queue is bounded; what it cannot hold is dropped.
2. The thread sends what has come meanwhile in one round trip, over one connection. With nothing to send it ends.
3. A server that is away is asked again until it is back. What has waited too long by then is dropped: it is of use
   only while it is news. A batch that was sent and not confirmed counts as dropped, and is not sent again.
"""

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from dataclasses import replace
from typing import NamedTuple

from ropewalk.errors import RedisProblem, RedisRefused
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.driver import SyncDriver
from ropewalk.messaging.redis.talk import Batch, Command
from ropewalk.messaging.redis.troubles import is_trouble

log = logging.getLogger("ropewalk.messaging.redis")

QUEUE_BYTES = 16 * 1024 * 1024
"""How much may wait to be sent."""
STALE_SECONDS = 5.0
"""How long an event may wait to be sent."""
ANSWER_SECONDS = 2.0
"""How long the server may take to let us in, and to confirm a batch."""
LAST_SECONDS = 2.0
"""How long the end of the process waits for what is not sent yet."""
_BATCH_BYTES = 1024 * 1024
_BESIDE_BODY_BYTES = 300
_IDLE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class _Event(NamedTuple):
    channel: bytes
    body: bytes
    at: float

    @property
    def size(self) -> int:
        return len(self.body) + _BESIDE_BODY_BYTES


class RedisPublisher:
    """A `ropewalk.contracts.publisher.Publisher` for the channels of one server; for all threads of a process."""

    def __init__(self, config: RedisConfig | str) -> None:
        given = RedisConfig(config) if isinstance(config, str) else config
        limits = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
        self._config = replace(given, max_connections=1, **limits)
        self._begin()
        atexit.register(_close, weakref.ref(self))

    @property
    def dropped(self) -> int:
        """How many events were not sent, or not confirmed."""
        return self._dropped

    def publish(self, channel: str, body: bytes) -> None:
        """Hand over one event."""
        if self._process != os.getpid():  # a fork: the queue and its thread are the parent's
            self._begin()
        event = _Event(channel.encode("utf-8", "replace"), body, time.monotonic())
        with self._change:
            if self._bytes + event.size > QUEUE_BYTES:
                self._drop(1, "More wait than may wait.")
                return
            self._queue.append(event)
            self._bytes += event.size
            if not self._runs:
                self._start()
            elif len(self._queue) == 1:
                self._change.notify_all()

    def close(self, seconds: float = LAST_SECONDS) -> None:
        """Wait until all is sent, no longer than ``seconds``, and not at all for a server that is away."""
        with self._change:
            self._closing = True
            self._change.notify_all()
            self._change.wait_for(lambda: not self._runs or self._trouble, seconds)
            self._closing = False  # what is published after this waits as ever
            self._drop_queue("The process has ended.")
            thread = self._thread if not self._runs else None
        if thread is not None:
            thread.join(seconds)  # it has but to let go of its connection

    def _begin(self) -> None:
        self._process = os.getpid()
        self._change = threading.Condition()
        self._queue: deque[_Event] = deque()
        self._bytes = 0
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._runs = False
        """Whether there is a thread, or one is on its way; it looks at the queue once more before it is not."""
        self._closing = False
        self._trouble = ""
        """Why the server cannot be reached, as far as is known."""
        self._is_dropping = False

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="ropewalk-publisher", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # too many threads, or the process is about to end
            self._thread = None
            self._drop_queue(f"There is no thread to send them: {error}.")
        else:
            self._runs = True

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        driver, pause, is_known = SyncDriver(self._config), 0.0, False
        try:
            while self._is_wanted(pause):
                try:
                    if not is_known:  # so that nothing is put at risk before the server has answered
                        driver.answer(("PING",))
                    self._send(driver)
                    is_known, pause = True, 0.0
                except RedisProblem as problem:
                    is_known, pause = False, min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * pause))
                    self._note(str(problem))
        finally:
            with self._change:
                if self._thread is threading.current_thread():  # else the next one is at work already
                    self._runs = False
            driver.close()

    def _is_wanted(self, pause: float) -> bool:
        """Wait for the end of the pause, then for something to send; False when for long there is nothing."""
        with self._change:
            if pause:
                self._change.wait_for(lambda: self._closing, pause)
            while self._queue and time.monotonic() - self._queue[0].at > STALE_SECONDS:
                self._take()
                self._drop(1, self._trouble or "It takes them too slowly.")
            if not self._queue:
                self._change.wait_for(lambda: self._queue or self._closing, _IDLE_SECONDS)
            self._runs = bool(self._queue)
            self._change.notify_all()
            return self._runs

    def _send(self, driver: SyncDriver) -> None:
        with self._change:
            batch: list[_Event] = []
            left = _BATCH_BYTES
            while self._queue and (not batch or self._queue[0].size <= left):
                batch.append(self._take())
                left -= batch[-1].size
        if not batch:  # given up by `close` while the server was asked
            return
        try:
            refused = _refused(driver, [("PUBLISH", event.channel, event.body) for event in batch])
        except RedisProblem as problem:
            with self._change:
                self._drop(len(batch), str(problem))
            raise
        with self._change:
            self._trouble = ""
            if refused:
                self._drop(len(refused), refused[0])
            elif self._is_dropping and not self._queue:
                self._is_dropping = False
                log.warning("Redis at %s takes events again; %d were dropped.", self._config.shown, self._dropped)

    def _note(self, trouble: str) -> None:
        with self._change:
            self._trouble = trouble
            self._change.notify_all()

    # -- under the lock -----------------------------------------------------------------------------------------------

    def _take(self) -> _Event:
        event = self._queue.popleft()
        self._bytes -= event.size
        return event

    def _drop_queue(self, why: str) -> None:
        if self._queue:
            self._drop(len(self._queue), self._trouble or why)
            self._queue.clear()
            self._bytes = 0

    def _drop(self, count: int, why: str) -> None:
        self._dropped += count
        if not self._is_dropping:
            self._is_dropping = True
            log.warning("Events for Redis at %s are dropped and counted; runs go on. %s", self._config.shown, why)


def _refused(driver: SyncDriver, commands: list[Command]) -> list[str]:
    """Carry out commands; return why some of them were refused."""
    if len(commands) > 1:
        return [str(reply) for reply in driver.answer(Batch(commands)) if is_trouble(reply)]
    try:
        driver.answer(commands[0])  # most are alone, and for one command a batch costs twice as much
    except RedisRefused as refusal:
        return [str(refusal)]
    return []


def _close(kept: "weakref.ref[RedisPublisher]") -> None:
    publisher = kept()
    if publisher is not None:
        publisher.close()
