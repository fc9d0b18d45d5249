"""The clients of the cases about doors: sockets that read streams and count, cheap enough to measure servers with."""

import asyncio
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers.keeper import die_with_the_keeper

ROOT = Path(__file__).resolve().parent.parent
LAST = b"run_done"
"""What the last event of a stream has in it, the bare server's too."""
_TOKEN = re.compile(rb'"text":"(\d+\.\d+) ')


class Child:
    """A server in a process of its own, which dies with the contestant; its first line of output is its URL."""

    def __init__(self, *command: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_the_keeper,  # noqa: PLW1509  (no other thread has begun yet)
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{command} did not start")
        self.url = line
        self.host, port = line.removeprefix("http://").split(":")
        self.port = int(port)

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def many_files() -> Iterator[None]:
    """Allow as many open files as the machine lets us."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield


class Reader(asyncio.Protocol):
    """One stream: counts its bytes and knows when the last event has come."""

    def __init__(self, path: str, host: str, *, keep: bool = False) -> None:
        self.request = f"GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n".encode()
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self.size = 0
        self.kept: list[bytes] | None = [] if keep else None
        self.delays: list[float] | None = None
        self._tail = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        if self.delays is not None:
            now = time.perf_counter()
            self.delays += [now - float(at) for at in _TOKEN.findall(data)]
        if self.kept is not None:
            self.kept.append(data)
        if not self.opened.done():
            self.opened.set_result(None)
        tail = self._tail + data[-64:]
        if (LAST in tail or LAST in data[-512:]) and not self.done.done():
            self.done.set_result(None)
        self._tail = data[-64:]

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.opened, self.done):
            if not future.done():
                future.set_exception(ConnectionError("the stream was cut"))
                future.exception()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def open_readers(server: Child, path: str, count: int, *, keep_first: bool = True) -> list[Reader]:
    """Open ``count`` streams and wait until each has had its first bytes."""
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    for at in range(count):
        _, reader = await loop.create_connection(
            lambda at=at: Reader(path, server.host, keep=keep_first and at == 0), server.host, server.port
        )
        readers.append(reader)
    await asyncio.gather(*[reader.opened for reader in readers])
    return readers
