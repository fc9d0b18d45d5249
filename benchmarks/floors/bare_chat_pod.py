"""The bare pod: a Starlette app that puts what comes over NATS into a queue for each client, framed once."""

import asyncio
import json
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import nats
import uvicorn
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

queues: defaultdict[str, set[asyncio.Queue[bytes]]] = defaultdict(set)


async def take(message: Any) -> None:
    told = from_json(message.data)
    frame = b"event: chunk\nid: %b.%b\ndata: %b\n\n" % (told["log"].encode(), told["at"].encode(), message.data)
    if told["is_final"]:
        frame += b"event: message_complete\ndata: {}\n\n"
    for queue in queues[told["session_id"]]:
        queue.put_nowait(frame)


async def follow(request: Request) -> StreamingResponse:
    session_id = request.query_params["session_id"]
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues[session_id].add(queue)

    async def body() -> AsyncIterator[bytes]:
        yield b"event: connected\ndata: {}\n\n"
        try:
            while True:
                frames = [await queue.get()]
                while not queue.empty():
                    frames.append(queue.get_nowait())
                yield b"".join(frames)
        finally:
            queues[session_id].discard(queue)

    return StreamingResponse(body(), media_type="text/event-stream")


async def main(name: str, nats_url: str) -> None:
    client = await nats.connect(nats_url)
    await client.subscribe(f"{name}.chunks", cb=take)
    await client.flush()

    async def send(request: Request) -> JSONResponse:
        await client.publish(f"{name}.requests", await request.body())
        return JSONResponse({"status": "accepted"}, 202)

    routes = [Route("/api/sse", follow), Route("/api/chat", send, methods=["POST"])]
    app = Starlette(routes=routes)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(2_048)
    print(json.dumps({"url": f"http://127.0.0.1:{listening.getsockname()[1]}"}), flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
