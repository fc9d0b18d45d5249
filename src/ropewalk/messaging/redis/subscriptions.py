"""Who wants to hear what: handlers by channel and pattern, what the server has confirmed, what waits to be handled."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ropewalk.errors import NotReadable, RedisProblem
from ropewalk.messaging.redis.listening import Heard
from ropewalk.messaging.redis.values import load

log = logging.getLogger("ropewalk.messaging.redis")
Handler = Callable[..., Any]
TICK_SECONDS = 0.05
"""How soon a listening connection sees that something else is wanted of it."""
NOT_HEARD = "What was published meanwhile was not heard; a stream would have kept it."
MOST_WAITING = 100_000
"""Messages that wait for slow handlers; more are dropped, and counted: the server would cut us off otherwise."""


class Topic(NamedTuple):
    name: str
    is_pattern: bool

    @property
    def verb(self) -> str:
        return "psubscribe" if self.is_pattern else "subscribe"


class Subscriptions:
    """Used by the thread or task that listens and by those that ask for more."""

    def __init__(self) -> None:
        self.handlers: dict[Topic, list[tuple[Handler, bool]]] = {}
        self.confirmed: set[Topic] = set()
        self.waiting: deque[Heard] = deque()
        self.dropped = 0
        self.outages = 0
        """How often the connection was lost: what was published meanwhile was not heard."""
        self.trouble: RedisProblem | None = None
        """Why nobody listens now."""
        self._asked: set[Topic] = set()
        self._lock = threading.Lock()

    def want(self, topic: Topic, handler: Handler, *, with_channel: bool) -> None:
        with self._lock:
            self.handlers.setdefault(topic, []).append((handler, with_channel))

    def want_no_more(self, topic: Topic, handler: Handler | None) -> bool:
        """Forget one handler of a topic, or all; say whether there was any."""
        with self._lock:
            known = self.handlers.get(topic, [])
            left = [] if handler is None else [one for one in known if one[0] != handler]
            if left:
                self.handlers[topic] = left
            else:
                self.handlers.pop(topic, None)
            return len(left) < len(known)

    def changes(self) -> Iterator[tuple[str, list[str]]]:
        """Yield what to ask the server for, so that it sends what is wanted."""
        with self._lock:
            new = self.handlers.keys() - self._asked
            old = self._asked - self.handlers.keys()
            self._asked = set(self.handlers)
            self.confirmed -= old
        for opposite, topics in (("", new), ("un", old)):
            for is_pattern in (False, True):
                if names := sorted(topic.name for topic in topics if topic.is_pattern is is_pattern):
                    yield ("p" if is_pattern else "") + opposite + "subscribe", names

    def begin_anew(self) -> None:
        """Nothing is subscribed: the connection is new."""
        with self._lock:
            self._asked = set()
            self.confirmed = set()

    def hear(self, heard: Heard) -> bool:
        """Keep what was heard; say whether it is a message to handle."""
        if heard.kind in ("message", "pmessage"):
            if len(self.waiting) >= MOST_WAITING:
                self.dropped += 1
                if self.dropped & (self.dropped - 1) == 0:  # 1, 2, 4, 8...
                    log.warning("Messages came faster than they were handled: %d dropped.", self.dropped)
                return False
            self.waiting.append(heard)
            return True
        if heard.kind in ("subscribe", "psubscribe"):
            self.trouble = None
            self.confirmed.add(Topic(heard.name, heard.kind == "psubscribe"))
        return False

    def calls(self, heard: Heard) -> list[tuple[Handler, tuple[Any, ...]]]:
        """Return the handlers of a message, each with what it is called with."""
        data = decoded(heard.data)
        found = self.handlers.get(Topic(heard.name, heard.kind == "pmessage"), ())
        return [(handler, (heard.channel, data) if with_channel else (data,)) for handler, with_channel in found]


def decoded(raw: bytes) -> Any:
    """Return JSON as its value, other text as text, and bytes that are neither as they are."""
    try:
        return load(raw, "The message")
    except NotReadable:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw
