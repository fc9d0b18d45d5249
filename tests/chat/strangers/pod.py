"""The backend pod of the chat system, written from the seed's text alone.

POST /api/chat  publishes a workflow request on `chat.workflow.execute.{session_id}` and answers 202.
GET  /api/sse   registers `{pod_id}:{connection_id}` in the Redis set `session:connections:{session_id}` and
                streams the events connected, chunk (in chunk_id order) and message_complete.
GET  /health    says whether NATS and Redis can be reached.

Chunks come in on `chat.pod.{POD_ID}.response` and `chat.session.*.broadcast`. Prints one JSON line
{"ready": true, "port": N} on stdout when it listens; logs go to stderr.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import uuid
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus as Status
from typing import Any
from urllib.parse import parse_qs, urlsplit

import nats
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from redis.asyncio import Redis
from redis.exceptions import RedisError

TOKEN = re.compile(r"[!-)+-\-/-=?-~]{1,256}")  # one subject token: printable ASCII without . * >
MAX_BODY = 256 * 1024
READ_TIMEOUT = 15.0  # seconds for a whole request to come in
KEEP_ALIVE = 15.0  # seconds of silence before a comment is sent down an SSE stream
QUEUED_EVENTS = 1000  # a client this far behind is cut off
MESSAGES_KEPT = 1000  # messages whose place in the chunk order is remembered
# What a chunk event carries.
SHOWN: dict[str, type] = {"session_id": str, "message_id": str, "chunk_id": int, "chunk": str, "is_final": bool}

log = logging.getLogger("pod")


class HttpError(Exception):
    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(eq=False)
class Connection:
    """One open SSE stream: the events that still have to be written to it."""

    id: str = field(default_factory=lambda: f"conn-{uuid.uuid4().hex}")
    events: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(QUEUED_EVENTS))
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, event: str, data: dict[str, Any]) -> None:
        try:
            self.events.put_nowait(f"event: {event}\ndata: {json.dumps(data)}\n\n")
        except asyncio.QueueFull:
            self.closed.set()


@dataclass
class Order:
    """Where one message stands: the next chunk_id to let through and the chunks that came before their turn."""

    next_id: int = 0
    held: dict[int, dict[str, Any]] = field(default_factory=dict)
    done: bool = False

    def take(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """The chunks that may go out now, in order; none for a duplicate or for one that has to wait."""
        chunk_id = chunk["chunk_id"]
        if self.done or chunk_id < self.next_id or chunk_id in self.held:
            return []
        self.held[chunk_id] = chunk
        ready = []
        while not self.done and self.next_id in self.held:
            ready.append(self.held.pop(self.next_id))
            self.next_id += 1
            self.done = ready[-1]["is_final"]
        return ready


def parse(data: bytes, kinds: dict[str, type]) -> dict[str, Any]:
    """A JSON object with these fields; ValueError (which JSON and UTF-8 errors are too) says what is wrong with it."""
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    for name, kind in kinds.items():
        if type(value.get(name)) is not kind:
            raise ValueError(f"{name} is missing or not of type {kind.__name__}")
    return value


class Pod:
    def __init__(self, pod_id: str, bus: Nats, redis: Redis) -> None:
        self.pod_id = pod_id
        self.bus = bus
        self.redis = redis
        self.sessions: dict[str, set[Connection]] = {}
        self.orders: OrderedDict[tuple[str, str], Order] = OrderedDict()
        self.handlers: set[asyncio.Task[Any]] = set()

    # chunks

    async def on_chunk(self, msg: Msg) -> None:
        """One order per message and pod, not per connection: who joins late gets the rest of a message."""
        try:
            chunk = parse(msg.data, SHOWN)
        except ValueError as error:
            log.warning("chunk on %s dropped: %s", msg.subject, error)
            return
        key = (chunk["session_id"], chunk["message_id"])
        order = self.orders.setdefault(key, Order())
        self.orders.move_to_end(key)
        while len(self.orders) > MESSAGES_KEPT:
            self.orders.popitem(last=False)
        for ready in order.take(chunk):
            metadata = ready.get("metadata")
            tokens = metadata.get("tokens_used") if isinstance(metadata, dict) else None
            for connection in self.sessions.get(ready["session_id"], ()):
                connection.send("chunk", {name: ready[name] for name in SHOWN})
                if ready["is_final"]:
                    connection.send("message_complete", {"message_id": ready["message_id"], "token_count": tokens})

    # HTTP

    async def on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.handlers.add(task)
        try:
            await self.handle(reader, writer)
        except HttpError as error:
            respond(writer, error.status, {"error": str(error)})
            with suppress(ConnectionError, TimeoutError):  # closed over unread input, the answer would be lost
                writer.write_eof()
                async with asyncio.timeout(1):
                    await wait_for_eof(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        except Exception:
            log.exception("request failed")
        finally:
            writer.close()
            self.handlers.discard(task)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                method, target, body = await read_request(reader)
        except TimeoutError:
            raise HttpError(Status.REQUEST_TIMEOUT, "the request did not come in in time") from None
        url = urlsplit(target)
        match method, url.path:
            case "POST", "/api/chat":
                respond(writer, Status.ACCEPTED, await self.chat(body))
            case "GET", "/api/sse":
                query = {name: values[-1] for name, values in parse_qs(url.query).items()}
                await self.sse(session_of(query), reader, writer)
            case "GET", "/health":
                respond(writer, *await self.health())
            case _, "/api/chat" | "/api/sse" | "/health":
                raise HttpError(Status.METHOD_NOT_ALLOWED, f"{method} is not for {url.path}")
            case _:
                raise HttpError(Status.NOT_FOUND, "no such path")

    async def chat(self, body: bytes) -> dict[str, Any]:
        try:
            fields = parse(body, {"session_id": str, "user_id": str, "message": str})
        except ValueError as error:
            raise HttpError(Status.BAD_REQUEST, f"bad body: {error}") from None
        session_id = session_of(fields)
        context = fields.get("context")
        if not fields["message"].strip() or not isinstance(context, dict | None):
            raise HttpError(Status.BAD_REQUEST, "message must not be empty, context must be an object")
        if not self.bus.is_connected:  # a publish would only be buffered
            raise HttpError(Status.SERVICE_UNAVAILABLE, "the broker cannot be reached")
        request = {
            "message_id": f"msg_{uuid.uuid4().hex}",
            "session_id": session_id,
            "user_id": fields["user_id"],
            "message": fields["message"],
            "context": context or {},
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "correlation_id": f"corr_{uuid.uuid4().hex}",
        }
        await self.bus.publish(f"chat.workflow.execute.{session_id}", json.dumps(request).encode())
        answer = {name: request[name] for name in ("message_id", "session_id", "timestamp", "correlation_id")}
        return {**answer, "status": "accepted"}

    async def sse(self, session_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection()
        connection.send("connected", {"connection_id": connection.id, "session_id": session_id})
        key, member = f"session:connections:{session_id}", f"{self.pod_id}:{connection.id}"
        self.sessions.setdefault(session_id, set()).add(connection)
        try:
            try:
                await self.redis.sadd(key, member)
            except RedisError as error:
                log.warning("registering %s failed: %s", member, error)
                raise HttpError(Status.SERVICE_UNAVAILABLE, "the registry cannot be reached") from None
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
            writer.write(f"{head}X-Accel-Buffering: no\r\nConnection: close\r\n\r\n".encode())
            ends = [pump(connection, writer), wait_for_eof(reader), connection.closed.wait()]
            tasks = [asyncio.ensure_future(end) for end in ends]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if connection.closed.is_set():
                writer.transport.abort()  # too slow, or we are stopping: nothing is left to wait for
        finally:
            self.sessions[session_id].discard(connection)
            if not self.sessions[session_id]:
                del self.sessions[session_id]
            try:
                await self.redis.srem(key, member)
            except RedisError as error:
                log.warning("%s stays in %s: %s", member, key, error)

    async def health(self) -> tuple[Status, dict[str, Any]]:
        redis_up = False
        with suppress(RedisError):
            redis_up = bool(await self.redis.ping())
        healthy = redis_up and self.bus.is_connected
        connections = sum(map(len, self.sessions.values()))
        parts = {"pod_id": self.pod_id, "nats": self.bus.is_connected, "redis": redis_up, "connections": connections}
        status = Status.OK if healthy else Status.SERVICE_UNAVAILABLE
        return status, {"status": "healthy" if healthy else "unhealthy", **parts}

    async def stop(self) -> None:
        for connection in [one for session in self.sessions.values() for one in session]:
            connection.closed.set()
        if self.handlers:
            await asyncio.wait(self.handlers, timeout=5)


def session_of(fields: dict[str, Any]) -> str:
    """The session_id, once it and the user_id are found to be usable."""
    if not TOKEN.fullmatch(fields.get("session_id", "")):
        raise HttpError(Status.BAD_REQUEST, "session_id must be 1-256 printable ASCII characters, not space . * >")
    if not fields.get("user_id"):
        raise HttpError(Status.BAD_REQUEST, "user_id must be a non-empty string")
    return fields["session_id"]


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        raise HttpError(Status.REQUEST_HEADER_FIELDS_TOO_LARGE, "the header is too long") from None
    start, *lines = head.rstrip("\r\n").split("\r\n")
    parts = start.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise HttpError(Status.BAD_REQUEST, "not an HTTP/1 request")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "transfer-encoding" in headers:
        raise HttpError(Status.LENGTH_REQUIRED, "send the body with a Content-Length")
    length = headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,12}", length):
        raise HttpError(Status.BAD_REQUEST, "Content-Length is no number")
    if int(length) > MAX_BODY:
        raise HttpError(Status.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {MAX_BODY} bytes")
    return parts[0], parts[1], await reader.readexactly(int(length))


def respond(writer: asyncio.StreamWriter, status: Status, data: dict[str, Any]) -> None:
    body = json.dumps(data).encode()
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


async def pump(connection: Connection, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            event = await asyncio.wait_for(connection.events.get(), KEEP_ALIVE)
        except TimeoutError:
            event = ": keep-alive\n\n"
        writer.write(event.encode())
        await writer.drain()


async def wait_for_eof(reader: asyncio.StreamReader) -> None:
    while await reader.read(1024):
        pass


async def serve() -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)

    pod_id = os.environ.get("POD_ID") or f"pod-{uuid.uuid4().hex[:8]}"
    if not TOKEN.fullmatch(pod_id) or ":" in pod_id:
        raise SystemExit("POD_ID must be printable ASCII without space . * > :")
    redis = Redis(
        host=os.environ.get("REDIS_HOST", "localhost"),
        port=int(os.environ.get("REDIS_PORT", "6379")),
        password=os.environ.get("REDIS_PASSWORD") or None,
        decode_responses=True,
        socket_timeout=5,
    )
    host, port = os.environ.get("SERVER_HOST", "127.0.0.1"), int(os.environ.get("SERVER_PORT", "8000"))
    try:
        url = os.environ.get("NATS_URL", "nats://localhost:4222")
        bus = await nats.connect(url, name=pod_id, max_reconnect_attempts=-1)
        pod = Pod(pod_id, bus, redis)
        for subject in (f"chat.pod.{pod_id}.response", "chat.session.*.broadcast"):
            await bus.subscribe(subject, cb=pod.on_chunk)
        await bus.flush()  # the server has the subscriptions before anybody is told that we are ready
        server = await asyncio.start_server(pod.on_client, host, port)
        print(json.dumps({"ready": True, "port": server.sockets[0].getsockname()[1]}), flush=True)
        await stop.wait()
        server.close()
        await pod.stop()
        await (bus.drain() if bus.is_connected else bus.close())
    finally:
        await redis.aclose()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    asyncio.run(serve())
