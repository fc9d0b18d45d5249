"""The stream, the consumer and the dead letters' stream of requests: what they are, and how they come to be.

Whoever starts first makes them. What is there already is taken as it is, if it can serve: a stream of the name with
another configuration, one of another name that holds the subjects, a consumer with other limits. Only a subject that a
stream of the name lacks is added.

JetStream answers a publish when the request is with the server, which writes it to the disk some time later (two
minutes at most): a machine that loses its power then loses it. ``sync_interval: always`` in the ``jetstream`` block of
the server's configuration has each request on the disk before it is answered (about 0.7 ms more). Ropewalk's own runs
are in their store either way, and a sweep finds them.
"""

import json
from typing import Any, cast

from ropewalk.errors import BusUnavailable
from ropewalk.messaging.nats.connection import NatsConnection

STREAM = "WORKFLOW_REQUESTS"
SUBJECTS = "chat.workflow.execute.*"
CONSUMER = "workflow-processor"
DEAD_STREAM = "WORKFLOW_DLQ"
DEAD_SUBJECTS = "chat.dead.*"
_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_NOT_FOUND = (10059, 10014)
_OVERLAPS = 10065
_IS_THERE = (10058, 10148, 10013, 10105)
"""A stream or consumer of this name, made in the same moment or with another configuration."""
_ONE_CONSUMER = (10099, 10100)
"""A work queue has one consumer for a subject, and it has another name."""


class Refused(Exception):
    """What JetStream said instead of doing it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("description")))
        self.code = int(error.get("err_code", 0))


class RequestStream:
    """Where requests are kept."""

    def __init__(self, connection: NatsConnection, *, delivery_seconds: float, dedupe_seconds: float) -> None:
        self._connection = connection
        self._delivery_seconds = delivery_seconds
        self._dedupe_seconds = dedupe_seconds
        self.stream = STREAM
        self.consumer = CONSUMER
        self.is_ready = False

    async def ask(self, name: str, body: dict[str, Any] | None = None, *, seconds: float = 2.0) -> dict[str, Any]:
        """Ask JetStream. Raises `Refused`, `BusUnavailable`."""
        raw = await self._connection.ask(f"$JS.API.{name}", json.dumps(body or {}).encode(), seconds=seconds)
        reply: dict[str, Any] = json.loads(raw)
        if "error" in reply:
            raise Refused(reply["error"])
        return reply

    async def make_ready(self, *, seconds: float = 2.0) -> None:
        """See to it that stream and consumer are there. Raises `BusUnavailable`."""
        try:
            await self._make_stream(seconds)
            await self._make_consumer(seconds)
            self.is_ready = True
        except Refused as refused:
            raise self._connection.away(f"JetStream refused to make {STREAM} ready: {refused}") from None
        except BusUnavailable as problem:
            if problem.nobody_answers:
                raise self._connection.away("it has no JetStream (start it with -js -sd FOLDER)") from None
            raise

    async def make_dead_stream(self) -> None:
        config = {"name": DEAD_STREAM, "subjects": [DEAD_SUBJECTS], "max_age": 30 * _DAY, "storage": "file"}
        try:
            await self.ask(f"STREAM.CREATE.{DEAD_STREAM}", config | {"duplicate_window": 120 * _SECOND})
        except Refused as refused:
            if refused.code not in (*_IS_THERE, _OVERLAPS):
                raise self._connection.away(f"JetStream refused to make {DEAD_STREAM}: {refused}") from None

    async def _make_stream(self, seconds: float) -> None:
        self.stream = STREAM
        config = {
            "name": STREAM,
            "subjects": [SUBJECTS],
            "retention": "workqueue",
            "max_age": _DAY,
            "storage": "file",
            "duplicate_window": round(self._dedupe_seconds * _SECOND),
        }
        try:
            await self.ask(f"STREAM.CREATE.{STREAM}", config, seconds=seconds)
        except Refused as refused:
            if refused.code == _OVERLAPS:
                found = await self.ask("STREAM.NAMES", {"subject": SUBJECTS}, seconds=seconds)
                self.stream = cast("list[str]", found["streams"])[0]
            elif refused.code in _IS_THERE:
                await self._add_subject(seconds)
            else:
                raise

    async def _add_subject(self, seconds: float) -> None:
        config = (await self.ask(f"STREAM.INFO.{STREAM}", seconds=seconds))["config"]
        if not any(_holds(subject, SUBJECTS) for subject in config.get("subjects") or ()):
            config["subjects"] = [*(config.get("subjects") or ()), SUBJECTS]
            await self.ask(f"STREAM.UPDATE.{STREAM}", config, seconds=seconds)

    async def _make_consumer(self, seconds: float) -> None:
        self.consumer = CONSUMER
        config = {
            "durable_name": CONSUMER,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "replay_policy": "instant",
            "ack_wait": round(self._delivery_seconds * _SECOND),
            "filter_subject": SUBJECTS,
            "max_deliver": -1,  # we bury what came too often: a server that stops handing it out keeps it for ever
            "max_ack_pending": -1,
            "max_waiting": 4096,
        }
        try:
            await self.ask(f"CONSUMER.INFO.{self.stream}.{CONSUMER}", seconds=seconds)
        except Refused as missing:
            if missing.code not in _NOT_FOUND:
                raise
            asked = {"stream_name": self.stream, "config": config, "action": "create"}
            try:
                await self.ask(f"CONSUMER.DURABLE.CREATE.{self.stream}.{CONSUMER}", asked, seconds=seconds)
            except Refused as refused:
                if refused.code in _ONE_CONSUMER:
                    names = await self.ask(f"CONSUMER.NAMES.{self.stream}", seconds=seconds)
                    self.consumer = cast("list[str]", names["consumers"])[0]
                elif refused.code not in _IS_THERE:
                    raise


def _holds(subject: str, wanted: str) -> bool:
    """Tell whether all of ``wanted`` matches ``subject``."""
    mine, theirs = subject.split("."), wanted.split(".")
    for place, token in enumerate(mine):
        if token == ">":
            return len(theirs) > place
        if place >= len(theirs) or (token not in ("*", theirs[place])):
            return False
    return len(mine) == len(theirs)
