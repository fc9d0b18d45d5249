"""The demo workflow service, written from the seed's text alone.

Takes workflow requests from `chat.workflow.execute.*` (core NATS), asks the Redis set
`session:connections:{session_id}` which pods hold the session's SSE connections, and streams the demo
response to `chat.pod.{pod_id}.response` of each, three words a chunk. With no pod in the registry the chunks
go to `chat.session.{session_id}.broadcast`. Requests are answered side by side.

Prints {"ready": true} on stdout once the subscription stands; logs go to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import signal
from datetime import UTC, datetime
from typing import Any

import nats
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from redis.asyncio import Redis
from redis.exceptions import RedisError

REQUESTS = "chat.workflow.execute.*"
WORDS_PER_CHUNK = 3
SHUTDOWN_GRACE = 10.0  # seconds left to running answers once asked to stop
SESSION_ID = re.compile(r"[!-)+-\-/-=?-~]{1,256}")  # one subject token: printable ASCII without . * >
POD_ID = re.compile(r"[!-)+-=?-~]{1,256}")  # as above, dots allowed

log = logging.getLogger("workflow_worker")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def demo_response(message: str) -> str:
    return (
        f"I received your message: '{message}'\n"
        "This is a demo response from the LangGraph workflow service.\n"
        "In a real implementation, this would integrate with AI models like GPT-4, Claude, etc.\n"
        "The response is being streamed token by token to demonstrate the chunk buffering system."
    )


def split_chunks(words: list[str]) -> list[str]:
    """Three words to a chunk; all but the last end with a space, so that the chunks can simply be joined."""
    groups = [" ".join(words[i : i + WORDS_PER_CHUNK]) for i in range(0, len(words), WORDS_PER_CHUNK)]
    return [f"{group} " for group in groups[:-1]] + groups[-1:]


def parse_request(data: bytes) -> dict[str, Any]:
    """The request as a dict; ValueError (which JSON and UTF-8 errors are too) says what is wrong with it."""
    request = json.loads(data)
    if not isinstance(request, dict):
        raise ValueError("not a JSON object")
    for field in ("message_id", "session_id", "message"):
        if not isinstance(request.get(field), str):
            raise ValueError(f"{field} is missing or not a string")
    if not SESSION_ID.fullmatch(request["session_id"]):
        raise ValueError("session_id cannot stand in a subject")
    return request


class WorkflowService:
    def __init__(self, bus: Nats, redis: Redis, delay: float) -> None:
        self.bus = bus
        self.redis = redis
        self.delay = delay
        self.running: set[asyncio.Task[None]] = set()

    async def on_request(self, msg: Msg) -> None:
        """One task per request: the subscription's callback must not wait for a whole answer."""
        try:
            request = parse_request(msg.data)
        except ValueError as error:
            log.warning("request on %s dropped: %s", msg.subject, error)
            return
        task = asyncio.create_task(self.run(request))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def run(self, request: dict[str, Any]) -> None:
        try:
            await self.answer(request)
        except Exception:  # the seed knows no error chunk: all that can be done is to say so here
            log.exception("message %s failed", request["message_id"])

    async def answer(self, request: dict[str, Any]) -> None:
        subjects = await self.subjects_for(request["session_id"])
        words = demo_response(request["message"]).split()
        chunks = split_chunks(words)
        for chunk_id, text in enumerate(chunks):
            if chunk_id:
                await asyncio.sleep(self.delay)
            chunk: dict[str, Any] = {
                "session_id": request["session_id"],
                "message_id": request["message_id"],
                "chunk_id": chunk_id,
                "chunk": text,
                "chunk_type": "content",
                "is_final": chunk_id == len(chunks) - 1,
                "timestamp": now(),
                "correlation_id": request.get("correlation_id"),
            }
            if chunk["is_final"]:
                chunk["metadata"] = {"model": "demo-gpt", "tokens_used": len(words), "finish_reason": "stop"}
            payload = json.dumps(chunk).encode()
            for subject in subjects:
                await self.bus.publish(subject, payload)
        log.info("message %s: %d chunks to %s", request["message_id"], len(chunks), ", ".join(subjects))

    async def subjects_for(self, session_id: str) -> list[str]:
        """The subject of each pod that holds a connection of this session, else the session's broadcast."""
        try:
            members: set[str] = await self.redis.smembers(f"session:connections:{session_id}")
        except RedisError as error:
            log.warning("registry lookup of session %s failed, broadcasting: %s", session_id, error)
            members = set()
        pods = {pod for pod, _, connection in (member.partition(":") for member in members) if connection}
        subjects = [f"chat.pod.{pod}.response" for pod in sorted(pods) if POD_ID.fullmatch(pod)]
        return subjects or [f"chat.session.{session_id}.broadcast"]


async def serve(delay: float) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)

    redis = Redis(
        host=os.environ.get("REDIS_HOST", "localhost"),
        port=int(os.environ.get("REDIS_PORT", "6379")),
        password=os.environ.get("REDIS_PASSWORD") or None,
        decode_responses=True,
        socket_timeout=5,
    )
    url = os.environ.get("NATS_URL", "nats://localhost:4222")
    try:
        bus = await nats.connect(url, name="workflow-worker", max_reconnect_attempts=-1)
        service = WorkflowService(bus, redis, delay)
        requests = await bus.subscribe(REQUESTS, cb=service.on_request)
        await bus.flush()  # the server has the subscription before anybody is told that we are ready
        print(json.dumps({"ready": True}), flush=True)
        log.info("listening on %s", REQUESTS)
        await stop.wait()
        if bus.is_connected:
            await requests.drain()
            if service.running:
                await asyncio.wait(service.running, timeout=SHUTDOWN_GRACE)
            await bus.drain()
        else:
            await bus.close()
    finally:
        await redis.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description="Demo workflow service (written from the seed's text alone).")
    parser.add_argument("--delay", type=float, default=0.1, help="seconds between two chunks (default: 0.1)")
    args = parser.parse_args()
    if not 0 <= args.delay < float("inf"):
        parser.error("--delay must be zero or more seconds")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    asyncio.run(serve(args.delay))


if __name__ == "__main__":
    main()
