"""The one connection of a process to NATS: it is made in the background, comes back by itself, and is shared.

1. It is made when somebody first needs it. The driver connects again for ever; where it gives up all the same, as after
   a refused password, a new client is made. With a limit of tries (`NatsConfig`), what the driver gave up stays so.
2. Subscriptions outlive both.
3. While it is away nothing is kept for later: what is published is refused, who asks is told after a while.
"""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable
from typing import Any

from ropewalk.errors import BusUnavailable
from ropewalk.messaging.nats.client import OnMessage, QuickClient
from ropewalk.messaging.nats.config import NatsConfig
from ropewalk.messaging.nats.installed import nats

log = logging.getLogger("ropewalk.messaging.nats")
_CONNECT_SECONDS = 2


class Listening:
    """A subscription that outlives the client."""

    def __init__(self, subject: str, on_message: OnMessage) -> None:
        self.subject = subject
        self.on_message = on_message
        self.number = 0


class NatsConnection:
    """What the parts of one process share, in one event loop. Whoever makes it closes it, after the parts."""

    def __init__(
        self, url: str | NatsConfig, *, name: str, tls: ssl.SSLContext | None = None, ping_seconds: float = 2.0
    ) -> None:
        """Name the servers, and this process as their monitoring shows it. ``tls``: another trust than the system's.
        A server that is silent for three times ``ping_seconds`` is taken to be gone.
        """
        self.config = NatsConfig(url) if isinstance(url, str) else url
        self._name = name
        self._tls = tls
        self._ping_seconds = ping_seconds
        self._client: QuickClient | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._is_up = asyncio.Event()
        self._has_ended = asyncio.Event()
        self._is_closed = False
        self._listenings: list[Listening] = []
        self.on_change: list[Callable[[], None]] = []
        """Called when the connection was lost and when it is back."""

    def now(self) -> QuickClient | None:
        """Return the client if it can be used in this moment; the first call begins to connect."""
        if self._keeper is None and not self._is_closed:
            self._keeper = asyncio.create_task(self._keep())
        return self._client if self._client is not None and self._client.is_connected else None

    async def within(self, seconds: float) -> QuickClient | None:
        """Wait for the connection; None when it did not come."""
        deadline = time.monotonic() + seconds
        while True:
            if client := self.now():
                return client
            self._is_up.clear()
            left = deadline - time.monotonic()
            if left <= 0 or self._is_closed:
                return None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_up.wait(), left)

    async def ask(self, subject: str, body: bytes, *, seconds: float, headers: dict[str, str] | None = None) -> bytes:
        """Send, and return what is answered. Raises `BusUnavailable`."""
        began = time.monotonic()
        client = await self.within(seconds)
        if client is None:
            raise self.away("it is not connected")
        try:
            left = max(0.01, seconds - (time.monotonic() - began))
            return (await client.request(subject, body, timeout=left, headers=headers)).data
        except nats.errors.NoRespondersError:
            raise self.away(f"nobody answers on {subject}", nobody_answers=True) from None
        except nats.errors.TimeoutError:
            raise self.away(f"it did not answer within {seconds:g} s") from None
        except nats.errors.Error as error:
            raise self.away(self.without_secrets(error)) from None

    async def listen(self, subject: str, on_message: OnMessage) -> Listening:
        """Hear a subject from now on, or from when the connection is there: returns at once."""
        listening = Listening(subject, on_message)
        self._listenings.append(listening)
        if (client := self._client) is not None and not client.is_closed:
            listening.number = await client.hear(subject, on_message)
        self.now()
        return listening

    async def let_go(self, listening: Listening) -> None:
        if listening in self._listenings:
            self._listenings.remove(listening)
            if self._client is not None and listening.number:
                await self._client.unhear(listening.number)

    async def flush(self, seconds: float) -> None:
        """Return when the server has what was published, or when the time is over."""
        client = self.now()
        if client is not None:
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await asyncio.wait_for(client.flush(), seconds)

    async def close(self) -> None:
        self._is_closed = True
        self._is_up.set()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if (client := self._client) is not None:
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                await asyncio.wait_for(client.close(), 2)

    def away(self, why: str, *, nobody_answers: bool = False) -> BusUnavailable:
        return BusUnavailable("NATS", self.config.shown, why, nobody_answers=nobody_answers)

    def without_secrets(self, error: BaseException) -> str:
        why = " ".join(str(error).split()) or type(error).__name__
        for secret in self.config.secrets:
            why = why.replace(secret, "***")
        return why

    async def _keep(self) -> None:
        """Connect, and make a new client whenever the driver gave one up."""
        while not self._is_closed:
            client = QuickClient(needs_tls=self.config.needs_tls)
            try:
                await self._connect(client)
                self._client = client
                for listening in self._listenings:
                    listening.number = await client.hear(listening.subject, listening.on_message)
                await self._back()
                await self._has_ended.wait()
                if self.config.most_reconnects >= 0:
                    self._give_up()
                    return
            except (OSError, nats.errors.Error, TimeoutError) as error:
                await self._heard_of(error)
            finally:
                if self._client is not client:
                    with contextlib.suppress(Exception):
                        await client.close()
            await asyncio.sleep(self.config.reconnect_seconds)

    def _give_up(self) -> None:
        if not self._is_closed:
            log.error(
                "NATS at %s is given up: the connection was lost, and NATS_MAX_RECONNECTS is %d. Restart this process.",
                self.config.shown,
                self.config.most_reconnects,
            )

    async def _connect(self, client: QuickClient) -> None:
        self._has_ended.clear()
        settings: dict[str, Any] = {
            "servers": self.config.servers,
            "name": self._name,
            "error_cb": self._heard_of,
            "disconnected_cb": self._lost,
            "reconnected_cb": self._back,
            "closed_cb": self._ended,
            "allow_reconnect": self.config.most_reconnects != 0,  # the driver takes no tries for as many as it likes
            "max_reconnect_attempts": self.config.most_reconnects,
            "reconnect_time_wait": self.config.reconnect_seconds,
            "connect_timeout": _CONNECT_SECONDS,
            "ping_interval": self._ping_seconds,
            "max_outstanding_pings": 2,
            "pending_size": 64 << 20,  # above what publish_now lets pend: nothing ever waits in publish
            "skip_subject_validation": True,  # each name was checked before it was put into a subject
            **self.config.credentials,
        }
        if self._tls is not None:
            settings["tls"] = self._tls
        await client.connect(**settings)

    async def _heard_of(self, error: Exception) -> None:
        log.debug("NATS at %s: %s", self.config.shown, self.without_secrets(error))

    async def _lost(self) -> None:
        if self._client is not None and not self._is_closed:
            self._client.drop_pending()
            log.warning("The connection to NATS at %s was lost; it is made again.", self.config.shown)
        self._changed()

    async def _back(self) -> None:
        self._is_up.set()
        self._changed()

    async def _ended(self) -> None:
        self._has_ended.set()

    def _changed(self) -> None:
        for told in list(self.on_change):
            told()
