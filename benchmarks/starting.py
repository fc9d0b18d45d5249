"""Measures how many requests a second a server takes that start something, over connections that stay open.

Two costs: `wall`, until the last request is answered, and `ended`, until all that was started has come to its end too.
A server that puts off what it was asked for is quick by the first alone.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.measure import Costs
from benchmarks.readers import Child

_LOOKS_SECONDS = 0.02


def started_per_second(
    server: Child,
    path: str,
    body: Any,
    *,
    requests: int,
    at_once: int,
    is_idle: Callable[[], bool],
    accepts: tuple[int, ...] = (200, 202),
) -> Callable[[], Awaitable[Costs]]:
    """Return a repetition that POSTs ``requests`` times over ``at_once`` connections; ``is_idle`` asks the server
    whether all that was started has ended.
    """
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: {server.host}\r\ncontent-type: application/json"
    request = f"{head}\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data

    async def one_connection(count: int) -> None:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for _ in range(count):
            writer.write(request)
            headers = await reader.readuntil(b"\r\n\r\n")
            status = int(headers.split(b" ", 2)[1])
            assert status in accepts, headers
            length = next(line for line in headers.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
        writer.close()

    async def repeat() -> Costs:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*[one_connection(requests // at_once) for _ in range(at_once)])
        answered, count = loop.time(), requests // at_once * at_once
        while not await loop.run_in_executor(None, is_idle):
            await asyncio.sleep(_LOOKS_SECONDS)
        return {"wall": (answered - began) / count, "ended": (loop.time() - began) / count}

    return repeat
