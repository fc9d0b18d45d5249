"""Publish and subscribe for threads: everyone who listens now hears it, and nobody else ever does.

1. One thread listens and keeps what it heard; `run` calls the handlers, so that a slow one never stops the listening.
2. When the connection breaks it is made again, with all that was subscribed. What was published meanwhile is lost:
   Redis keeps nothing for who is away. Use a `RedisStream` where that matters.
"""

import asyncio
import inspect
import threading
import time
from types import TracebackType
from typing import Any, Self

from ropewalk.errors import RedisDenied, RedisProblem, RedisUnavailable
from ropewalk.messaging.redis.client import RedisClient
from ropewalk.messaging.redis.listening import SyncListener
from ropewalk.messaging.redis.outage import Outage
from ropewalk.messaging.redis.sharing import the_client
from ropewalk.messaging.redis.subscriptions import NOT_HEARD, TICK_SECONDS, Handler, Subscriptions, Topic, log


class RedisPubSub:
    """Channels of a server. Handlers of a channel are called one after another, in the order of the messages."""

    def __init__(self, redis_client: RedisClient | None = None) -> None:
        self._client = the_client(redis_client)
        self._subscriptions = Subscriptions()
        self._arrived = threading.Semaphore(0)
        self._listening: threading.Thread | None = None
        self._stopped = False
        self._running = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def dropped(self) -> int:
        """How many messages came while too many waited for slow handlers."""
        return self._subscriptions.dropped

    @property
    def outages(self) -> int:
        """How often the connection was lost; what was published meanwhile was not heard."""
        return self._subscriptions.outages

    def publish(self, channel: str, message: Any) -> int:
        """Send a message to those who listen now; return how many connections that were."""
        return self._client.publish(channel, message)

    def subscribe(
        self, channel: str, handler: Handler, *, pattern: bool = False, with_channel: bool = False, timeout: float = 5.0
    ) -> None:
        """Call ``handler(message)`` for each message from now on; `run` is what calls it.

        ``pattern``: the channel is one, as ``news.*``. ``with_channel``: call ``handler(channel, message)``. A handler
        may be async. Several handlers of one channel are all called. Raises `RedisUnavailable` when the server does not
        confirm it within ``timeout`` seconds.
        """
        topic = Topic(channel, pattern)
        self._subscriptions.want(topic, handler, with_channel=with_channel)
        self._listen()
        deadline = time.monotonic() + timeout
        while topic not in self._subscriptions.confirmed:
            trouble = self._subscriptions.trouble
            if time.monotonic() > deadline or isinstance(trouble, RedisDenied):
                self._subscriptions.want_no_more(topic, handler)
                why = f"{topic.verb} was not confirmed in {timeout:g} s"
                raise trouble or RedisUnavailable(self._client.config.shown, why)
            time.sleep(0.001)

    def unsubscribe(self, channel: str, handler: Handler | None = None, *, pattern: bool = False) -> bool:
        """Call one handler of a channel, or all, no more; say whether there was any."""
        return self._subscriptions.want_no_more(Topic(channel, pattern), handler)

    def run(self) -> None:
        """Call handlers until `stop()`."""
        self._running += 1
        self._listen()
        try:
            with asyncio.Runner() as runner:
                while not self._stopped:
                    if self._arrived.acquire(timeout=TICK_SECONDS):
                        self._handle(runner)
        finally:
            self._running -= 1
            if not self._running:
                self._end()

    def run_in_thread(self, daemon: bool = True) -> threading.Thread:
        """Do `run` in a thread of its own."""
        thread = threading.Thread(target=self.run, name="ropewalk-pubsub-handlers", daemon=daemon)
        thread.start()
        return thread

    def stop(self) -> None:
        """End `run` after the handler that is at work, and listen no more."""
        self._stopped = True

    def close(self) -> None:
        """Stop, and return when nothing listens any more."""
        self.stop()
        if self._listening is not None:
            self._listening.join()

    def _end(self) -> None:
        if self._listening is not None:
            self._listening.join()
        self._listening, self._stopped = None, False

    def _listen(self) -> None:
        if self._listening is None or not self._listening.is_alive():
            self._listening = threading.Thread(target=self._hear, name="ropewalk-pubsub-listener", daemon=True)
            self._listening.start()

    def _handle(self, runner: asyncio.Runner) -> None:
        for handler, arguments in self._subscriptions.calls(self._subscriptions.waiting.popleft()):
            try:
                result = handler(*arguments)
                if inspect.iscoroutine(result):
                    runner.run(result)
            except Exception:  # noqa: BLE001  (a user's; the next message is handled all the same)
                log.exception("A handler raised.")

    def _hear(self) -> None:
        outage = Outage("Listening", meanwhile=NOT_HEARD)
        while not self._stopped:
            listener = SyncListener(self._client.driver)
            self._subscriptions.begin_anew()
            try:
                self._hear_from(listener, outage)
            except RedisProblem as problem:
                self._subscriptions.outages += self._subscriptions.trouble is None
                self._subscriptions.trouble = problem
                time.sleep(outage.pause(problem))
            finally:
                listener.close()

    def _hear_from(self, listener: SyncListener, outage: Outage) -> None:
        subscriptions, looked = self._subscriptions, 0.0
        while not self._stopped:
            now = time.monotonic()
            if now - looked >= TICK_SECONDS / 2:  # not for every message
                looked = now
                for verb, names in subscriptions.changes():
                    listener.ask(verb, names)
                if not subscriptions.handlers:
                    time.sleep(TICK_SECONDS)
                    continue
            heard = listener.hear(TICK_SECONDS)
            if heard is not None:
                outage.over()
                if subscriptions.hear(heard):
                    self._arrived.release()
