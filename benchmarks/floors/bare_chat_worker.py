"""The bare worker: says tokens, adds those of one turn of the loop to their streams in one pipeline, and publishes each
with the place that it has there.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

import nats
import redis.asyncio
from pydantic_core import to_json

from benchmarks.sessions import begin_of, token


class Worker:
    def __init__(self, name: str, client: Any, streams: Any) -> None:
        self._name = name
        self._nats = client
        self._redis = streams
        self._waiting: list[tuple[str, bytes]] = []
        self._sending: asyncio.Task[None] | None = None
        self._speaking: set[asyncio.Task[None]] = set()

    async def take(self, message: Any) -> None:
        asked = json.loads(message.data)
        task = asyncio.create_task(self._speak(asked["session_id"], asked["message"]))
        self._speaking.add(task)
        task.add_done_callback(self._speaking.discard)

    async def _speak(self, session_id: str, message: str) -> None:
        start, *more = message.split()
        phase, pause, tokens = map(float, more)
        begin = phase + await begin_of(start)
        for number in range(int(tokens)):
            await asyncio.sleep(max(0.0, begin + number * pause - time.perf_counter()))
            self._say(session_id, number, token(number))
        self._say(session_id, int(tokens), "", final=True)

    def _say(self, session_id: str, number: int, text: str, *, final: bool = False) -> None:
        told = {
            "session_id": session_id,
            "message_id": f"msg_{session_id}",
            "chunk_id": number,
            "chunk": text,
            "chunk_type": "content",
            "is_final": final,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "correlation_id": f"msg_{session_id}",
        }
        self._waiting.append((session_id, to_json(told)))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, []
            pipe = self._redis.pipeline(transaction=False)
            for session_id, body in taken:
                pipe.xadd(f"{self._name}:{session_id}", {"b": body}, maxlen=10_000)
            for (_, body), place in zip(taken, await pipe.execute(), strict=True):
                placed = b'%b,"log":"%b","at":"%b"}' % (body[:-1], self._name.encode(), place)
                await self._nats.publish(f"{self._name}.chunks", placed)
        self._sending = None


async def main(name: str, nats_url: str, redis_url: str) -> None:
    client = await nats.connect(nats_url)
    worker = Worker(name, client, redis.asyncio.from_url(redis_url))
    await client.subscribe(f"{name}.requests", cb=worker.take)
    await client.flush()
    print("{}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
