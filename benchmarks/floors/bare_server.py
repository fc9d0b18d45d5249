"""A bare Starlette app that sends the same bytes: a StreamingResponse with a piece for each token. Prints its URL."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

go = asyncio.Event()
RUN = "run_" + "0" * 32


def frame(n: int, kind: str, data: object) -> bytes:
    told = {"run_id": RUN, "id": f"1.{n}", "type": kind, "node": "tell", "data": data}
    return f"event: {kind}\nid: 1.{n}\ndata: {json.dumps(told, separators=(',', ':'))}\n\n".encode()


async def events(request: Request) -> StreamingResponse:
    tokens = int(request.query_params["tokens"])
    pause = float(request.query_params["pause"])

    async def body() -> AsyncIterator[bytes]:
        yield b"retry: 1000\nid: 0\n\n"
        await go.wait()
        for n in range(tokens):
            yield frame(n, "text", {"text": f"{time.perf_counter():.6f} some words of a token "})
            if pause:
                await asyncio.sleep(pause)
        yield frame(tokens, "run_done", {})

    return StreamingResponse(body(), media_type="text/event-stream")


queues: set[asyncio.Queue[bytes]] = set()


async def shared(request: Request) -> StreamingResponse:
    """Send what one producer says: it puts the same bytes into a queue for each reader."""
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues.add(queue)

    async def body() -> AsyncIterator[bytes]:
        yield b"retry: 1000\nid: 0\n\n"
        while True:
            piece = await queue.get()
            yield piece
            if b"event: run_done" in piece:
                queues.discard(queue)
                return

    return StreamingResponse(body(), media_type="text/event-stream")


async def produce(tokens: int, pause: float) -> None:
    for n in range(tokens):
        piece = frame(n, "text", {"text": f"{time.perf_counter():.6f} some words of a token "})
        for queue in queues:
            queue.put_nowait(piece)
        await asyncio.sleep(pause)
    for queue in [*queues]:
        queue.put_nowait(frame(tokens, "run_done", {}))


async def let_one_produce(request: Request) -> JSONResponse:
    asked = request.query_params
    request.app.state.producer = asyncio.create_task(produce(int(asked["tokens"]), float(asked["pause"])))
    return JSONResponse(None)


async def let_go(request: Request) -> JSONResponse:
    go.set()
    await asyncio.sleep(0)
    go.clear()
    return JSONResponse(None)


async def main() -> None:
    app = Starlette(
        routes=[
            Route("/events", events),
            Route("/shared", shared),
            Route("/go", let_go, methods=["POST"]),
            Route("/produce", let_one_produce, methods=["POST"]),
        ]
    )
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(2_048)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(main())
