"""The driver's client, with a short way for what there is much of: bodies go and come without a task, a queue or a
future for each.

It overrides methods that the driver keeps to itself: `_process_msg`, to which its parser gives each message, and two
that make a connection. The suites of the contracts fail where a new version calls them in another way.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from ropewalk.messaging.nats.installed import nats

log = logging.getLogger("ropewalk.messaging.nats")
OnMessage = Callable[[bytes, bytes, bytes, bytes], None]
"""Called in the loop with subject, reply, body and headers, in the order in which they came."""
_LATE_SECONDS = 5.0
_MOST_PENDING_BYTES = 1 << 20
"""How much may wait for a server that does not read: older than a moment it is of no use."""


class QuickClient(nats.aio.client.Client):
    """A client that hands messages to those who wait for them in the turn in which they were read."""

    def __init__(self, *, needs_tls: bool) -> None:
        super().__init__()
        self._needs_tls = needs_tls
        self._quick: dict[int, OnMessage] = {}

    async def hear(self, subject: str, on_message: OnMessage) -> int:
        """Subscribe; the number is what `unhear` takes."""
        number: int = (await cast("Any", self).subscribe(subject))._id
        self._quick[number] = on_message
        return number

    async def unhear(self, number: int, late: OnMessage | None = None) -> None:
        """End a subscription. ``late`` hears what was on its way."""
        if late is None:
            self._quick.pop(number, None)
        else:
            self._quick[number] = late
            asyncio.get_running_loop().call_later(_LATE_SECONDS, self._quick.pop, number, None)
        subscription = cast("Any", self)._subs.get(number)
        if subscription is not None and not self.is_closed and not self.is_draining:
            await subscription.unsubscribe()

    def publish_now(self, subject: str, body: bytes, reply: str = "") -> bool:
        """Send in this turn of the loop, or say that it cannot be: nothing is kept for later."""
        if not self.is_connected or self.pending_data_size + len(body) > _MOST_PENDING_BYTES:
            return False
        sending = self.publish(subject, body, reply)
        try:
            sending.send(None)  # it has nothing to wait for while so little is pending
        except StopIteration:
            return True
        except nats.errors.Error:
            return False
        sending.close()
        return False

    def drop_pending(self) -> int:
        """Forget what was not sent when the connection broke; return how many commands that were."""
        mine = cast("Any", self)
        dropped = len(mine._pending)
        mine._pending, mine._pending_data_size = [], 0
        return dropped

    async def _connect_to_server(self, s: Any) -> None:
        if transport := cast("Any", self)._transport:
            transport.close()  # the driver forgets one on which a server never said anything
        await super()._connect_to_server(s)

    def _connect_command(self) -> bytes:
        if self._needs_tls and not cast("Any", self)._server_info.get("tls_required"):
            raise nats.errors.Error("the URL says tls://, and this server offers no TLS: nothing was told to it")
        return super()._connect_command()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        on_message = self._quick.get(sid)
        if on_message is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        try:
            on_message(subject, reply, data, headers)
        except Exception:
            log.exception("What a NATS message was meant for could not take it.")
