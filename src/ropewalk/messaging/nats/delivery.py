"""One request of the queue in the hands of this process."""

import contextlib
from typing import TYPE_CHECKING

from ropewalk.errors import BusUnavailable
from ropewalk.messaging.nats.dead_letters import session_in
from ropewalk.messaging.nats.pull import Pulled

if TYPE_CHECKING:  # they hold each other
    from ropewalk.messaging.nats.chat_requests import NatsChatRequests

_NANO = 1_000_000_000
_SECONDS = 2.0


class NatsDelivery:
    """What was handed out, and what became of it."""

    def __init__(self, queue: "NatsChatRequests", pulled: Pulled) -> None:
        self._queue = queue
        self.reply = pulled.reply
        self.session_id = session_in(pulled.subject)
        self.body = pulled.body
        tokens = pulled.reply.split(".")
        if len(tokens) >= 11:  # with the domain and the account of newer servers
            del tokens[2:4]
        self.attempt = int(tokens[4])
        self.number = f"{tokens[5]}-{tokens[7]}"
        """Its place in the stream with when it came there: a stream that was lost counts anew."""

    async def done(self) -> None:
        """Return when the server knows, or after two seconds: then it is told when it hands the request to us again."""
        self._queue.let_go(self)
        try:
            await self._queue.connection.ask(self.reply, b"+ACK", seconds=_SECONDS)
        except BusUnavailable:
            self._queue.was_done(self)

    async def again(self, *, in_seconds: float) -> None:
        self._queue.let_go(self)
        nak = b'-NAK {"delay": %d}' % round(in_seconds * _NANO) if in_seconds > 0 else b"-NAK"
        with contextlib.suppress(BusUnavailable):  # the server hands it out again by itself, later
            await self._queue.connection.ask(self.reply, nak, seconds=_SECONDS)

    async def bury(self, reason: str) -> None:
        await self._queue.dead.keep(self.session_id, self.body, reason, known_as=self.number)
        await self.done()
