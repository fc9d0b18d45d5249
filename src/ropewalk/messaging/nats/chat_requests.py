"""Requests for answers in a JetStream work queue.

1. A fetch asks for what is there; when that is nothing it waits for one. So it never holds more than was asked for, and
   what it waits with is a question for one request only.
2. The server's heartbeat tells a question that waits from one that a restart has lost: that is asked again at once.
3. A stream or a consumer that is gone is made again.
4. A request that comes for the sixth time is buried, by whoever fetches it; what a consumer with a limit of its own
   gave up is buried by whoever hears the server say so.

See `request_stream` for what is made, and for what a server's ``sync_interval`` means.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

from ropewalk.errors import BusUnavailable
from ropewalk.messaging.nats.client import QuickClient
from ropewalk.messaging.nats.connection import NatsConnection
from ropewalk.messaging.nats.dead_letters import DeadLetters
from ropewalk.messaging.nats.delivery import NatsDelivery
from ropewalk.messaging.nats.pull import NOTHING, Pull
from ropewalk.messaging.nats.request_stream import Refused, RequestStream
from ropewalk.messaging.session_names import checked_message, checked_session

log = logging.getLogger("ropewalk.messaging.nats")
MOST_DELIVERIES = 5
_PUBLISH_SECONDS = 2.0
_TRY_SECONDS = 0.8
"""After this a publish is tried once more: a stream that was lost says nothing where strangers listen."""
_PAUSE_SECONDS = 0.1
_MOST_DONE = 1000
_HEADER_BYTES = 256
"""More than the header takes that names the message."""


class NatsChatRequests:
    """The queue, as one process publishes to it and fetches from it."""

    def __init__(
        self, connection: NatsConnection, *, delivery_seconds: float = 30.0, dedupe_seconds: float = 120.0
    ) -> None:
        """Share the connection. The seconds hold for a stream and a consumer that this process makes."""
        self.connection = connection
        self._stream = RequestStream(connection, delivery_seconds=delivery_seconds, dedupe_seconds=dedupe_seconds)
        self.dead = DeadLetters(connection, self._stream)
        self._delivery_seconds = delivery_seconds
        self._hands: dict[str, tuple[NatsDelivery, float]] = {}
        """What was handed out, and until when it is ours."""
        self._done: dict[str, None] = {}
        """What is done, and the server could not be told."""
        self._is_closed = False

    async def publish(self, session_id: str, body: bytes, *, message_id: str) -> None:
        subject = f"chat.workflow.execute.{checked_session(session_id)}"
        headers = {"Nats-Msg-Id": checked_message(message_id)}
        client = self.connection.now()
        if client is not None and len(body) + _HEADER_BYTES > client.max_payload:
            raise self.connection.away(f"its max_payload of {client.max_payload} bytes is less than the request")
        deadline = time.monotonic() + _PUBLISH_SECONDS
        problem: BusUnavailable | None = None
        while (left := deadline - time.monotonic()) > 0.01:
            try:
                if not self._stream.is_ready:
                    await self._stream.make_ready(seconds=left)
                left = min(_TRY_SECONDS, max(0.01, deadline - time.monotonic()))
                self._accepted(await self.connection.ask(subject, body, seconds=left, headers=headers))
            except BusUnavailable as trouble:
                problem, self._stream.is_ready = trouble, False
                await asyncio.sleep(min(_PAUSE_SECONDS, max(0.0, deadline - time.monotonic())))
            else:
                return
        raise problem or self.connection.away("it did not answer in time")

    async def fetch(self, *, most: int, at_most_seconds: float) -> Sequence[NatsDelivery]:
        if most < 1:
            raise ValueError(f"most is {most}: ask for one request at least.")
        deadline = time.monotonic() + at_most_seconds
        while (left := deadline - time.monotonic()) > 0 and not self._is_closed:
            client = await self.connection.within(left)
            if client is None or not await self._ready(deadline):
                continue
            if taken := await self._taken(client, most, deadline):
                return taken
        return ()

    async def waiting(self) -> int | None:
        try:
            if not self._stream.is_ready:
                await self._stream.make_ready(seconds=1.0)
            told = await self._stream.ask(f"CONSUMER.INFO.{self._stream.stream}.{self._stream.consumer}", seconds=1.0)
        except (BusUnavailable, Refused):
            return None
        return int(told["num_pending"]) + int(told["num_ack_pending"])

    async def close(self) -> None:
        self._is_closed = True
        await self.dead.close()
        client = self.connection.now()
        for delivery, _ in list(self._hands.values()):
            if client is not None:
                client.publish_now(delivery.reply, b"-NAK")
        self._hands.clear()
        await self.connection.flush(2.0)

    def let_go(self, delivery: NatsDelivery) -> None:
        self._hands.pop(delivery.reply, None)

    def was_done(self, delivery: NatsDelivery) -> None:
        """Remember what the server does not know: it will hand it out again."""
        self._done[delivery.number] = None
        while len(self._done) > _MOST_DONE:
            del self._done[next(iter(self._done))]

    async def _ready(self, deadline: float) -> bool:
        try:
            if not self._stream.is_ready:
                await self._stream.make_ready(seconds=max(0.05, min(2.0, deadline - time.monotonic())))
            await self.dead.watch()
        except BusUnavailable as problem:
            log.debug("Requests cannot be fetched now. %s", problem)
            await asyncio.sleep(min(_PAUSE_SECONDS, max(0.0, deadline - time.monotonic())))
            return False
        return True

    async def _taken(self, client: QuickClient, most: int, deadline: float) -> list[NatsDelivery]:
        """Ask for what is there, then for one that may come."""
        for waits in (False, True):
            left = deadline - time.monotonic()
            if left <= 0:
                return []
            pull = await self._pulled(client, 0 if waits else most, left)
            taken = [NatsDelivery(self, pulled) for pulled in pull.pulled]
            if fit := [delivery for delivery in taken if await self._may_be_handed_out(delivery)]:
                return fit
            if pull.status is not None and pull.status not in NOTHING:
                self._stream.is_ready = False
                await asyncio.sleep(min(_PAUSE_SECONDS, max(0.0, deadline - time.monotonic())))
                return []
            if taken:
                return []
        return []

    async def _pulled(self, client: QuickClient, most: int, left: float) -> Pull:
        """Ask for ``most`` that are there; 0: for one, and wait for it."""
        pull = Pull(client, f"$JS.API.CONSUMER.MSG.NEXT.{self._stream.stream}.{self._stream.consumer}")
        self.connection.on_change.append(pull.stop)
        handed_over = False
        try:
            if most:
                await pull.available(most, seconds=min(2.0, left + 0.1))
            else:
                await pull.next(seconds=left)
            handed_over = True
        finally:
            self.connection.on_change.remove(pull.stop)
            if not handed_over:
                pull.give_all_back()
            await pull.end()
        return pull

    async def _may_be_handed_out(self, delivery: NatsDelivery) -> bool:
        if delivery.number in self._done:
            del self._done[delivery.number]
            await delivery.done()
            return False
        if delivery.attempt > MOST_DELIVERIES:
            reason = f"It was handed out {delivery.attempt - 1} times, and nobody was done with it."
            with contextlib.suppress(BusUnavailable):  # the next who fetches it tries again
                await delivery.bury(reason)
            return False
        now = time.monotonic()
        for reply in [reply for reply, (_, until) in self._hands.items() if until < now]:
            del self._hands[reply]
        self._hands[delivery.reply] = (delivery, now + self._delivery_seconds)
        return True

    def _accepted(self, raw: bytes) -> None:
        reply: dict[str, Any] = json.loads(raw)
        if "error" in reply:
            raise self.connection.away(f"it did not keep the request: {reply['error'].get('description')}")
