"""Where requests go that are not handed out any more: copied to a stream of their own, then taken out of the queue."""

import asyncio
import base64
import contextlib
import json
import logging
from typing import Any

from ropewalk.errors import BusUnavailable
from ropewalk.messaging.nats.connection import Listening, NatsConnection
from ropewalk.messaging.nats.request_stream import Refused, RequestStream

log = logging.getLogger("ropewalk.messaging.nats")
REASON_HEADER = "Ropewalk-Reason"
_LONGEST_REASON = 500
_SECONDS = 2.0


class DeadLetters:
    """The way out of the queue."""

    def __init__(self, connection: NatsConnection, stream: RequestStream) -> None:
        self._connection = connection
        self._stream = stream
        self._listening: Listening | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def keep(self, session: str, body: bytes, reason: str, *, known_as: str) -> None:
        """Return when it is kept. The same ``known_as`` within two minutes is kept once. Raises `BusUnavailable`."""
        headers = {REASON_HEADER: " ".join(reason.split())[:_LONGEST_REASON] or "-", "Nats-Msg-Id": known_as}
        for attempt in (1, 2):
            try:
                raw = await self._connection.ask(f"chat.dead.{session}", body, seconds=_SECONDS, headers=headers)
                reply: dict[str, Any] = json.loads(raw)
                if "error" in reply:
                    raise self._connection.away(f"it did not keep a dead request: {reply['error'].get('description')}")
            except BusUnavailable as problem:
                if attempt == 2 or not problem.nobody_answers:
                    raise
                await self._stream.make_dead_stream()
            else:
                return

    async def watch(self) -> None:
        """Bury what a consumer with limits of its own gave up: the server leaves it in the queue, and says so once."""
        if self._listening is None:
            subject = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{self._stream.stream}.{self._stream.consumer}"
            self._listening = await self._connection.listen(subject, self._told)

    async def close(self) -> None:
        if self._listening is not None:
            await self._connection.let_go(self._listening)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _told(self, _subject: bytes, _reply: bytes, body: bytes, _headers: bytes) -> None:
        told: dict[str, Any] = json.loads(body)
        task = asyncio.create_task(self._bury(str(told["stream"]), int(told["stream_seq"]), int(told["deliveries"])))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bury(self, stream: str, place: int, deliveries: int) -> None:
        """Every process hears of it: the letter is kept once, and the second removal finds nothing."""
        reason = f"It was handed out {deliveries} times, and nobody was done with it."
        try:
            with contextlib.suppress(Refused):  # another was faster
                message = (await self._stream.ask(f"STREAM.MSG.GET.{stream}", {"seq": place}))["message"]
                body = base64.b64decode(message.get("data", ""))
                await self.keep(session_in(message["subject"]), body, reason, known_as=letter_id(message, place))
                await self._stream.ask(f"STREAM.MSG.DELETE.{stream}", {"seq": place})
        except BusUnavailable as problem:
            log.warning("A request that was handed out %d times could not be buried. %s", deliveries, problem)


def session_in(subject: str) -> str:
    return subject.rpartition(".")[2]


def letter_id(message: dict[str, Any], place: int) -> str:
    return f"{place}-{message.get('time', '')}"
