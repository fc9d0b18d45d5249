"""The soak: many open streams, some of them cut and resumed every second; not a word may be lost or doubled.

1. A server of its own, on SQLite, drives some runs that speak all the time; every reader follows one of them.
2. Each second a part of the readers is cut off in the middle, and comes back with the last id it saw.
3. At the end every reader must have heard the same events, in order, as one that was never cut; the server's memory at
   the end is held against what it was after the first half.
"""

import asyncio
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from tests.drill.speaker import WORDS

ROOT = Path(__file__).resolve().parents[2]
RUNS = 20
PAUSE_SECONDS = 0.1
_EVENT = re.compile(rb"event: (\w+)\nid: ([0-9.]+)\ndata: ([^\n]*)\n\n")
_TEXT = re.compile(rb'"text":"(\d+) "')
_MEMORY_MAY_GROW = 0.10


class Soaked(NamedTuple):
    """What the soak found."""

    streams: int
    seconds: float
    cuts: int
    events: int
    lost: int
    doubled: int
    unfinished: int
    memory_then: int
    memory_now: int

    @property
    def is_good(self) -> bool:
        flat = self.memory_now <= self.memory_then * (1 + _MEMORY_MAY_GROW)
        return flat and not (self.lost or self.doubled or self.unfinished)

    def __str__(self) -> str:
        return (
            f"streams: {self.streams} open for {self.seconds:.0f} s, {self.cuts} cut and resumed, "
            f"{self.events:,} events; "
            f"{self.lost} lost, {self.doubled} doubled, {self.unfinished} without an end; server's memory "
            f"{self.memory_then / 1e6:.0f} MB after the first half, {self.memory_now / 1e6:.0f} MB at the end"
        )


class Listener(asyncio.Protocol):
    """One reader of one run, over as many connections as it takes."""

    def __init__(self, host: str, port: int, run_id: str) -> None:
        self._place = (host, port)
        self._run_id = run_id
        self.ids: list[bytes] = []
        self.words: list[int] = []
        self.is_done = False
        self._cursor = b"0"
        self._rest = b""
        self._transport: Any = None

    async def listen(self) -> None:
        """Connect, with the cursor where there is one."""
        self._rest = b""
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, *self._place)
        host, port = self._place
        head = f"GET /runs/{self._run_id}/events HTTP/1.1\r\nhost: {host}:{port}\r\nlast-event-id: "
        self._transport.write(head.encode() + self._cursor + b"\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        end = 0
        for found in _EVENT.finditer(data):
            end = found.end()
            kind, cursor, told = found.groups()
            self._cursor = cursor
            self.ids.append(cursor)
            if kind == b"text":
                self.words += map(int, _TEXT.findall(told))
            self.is_done = self.is_done or kind == b"run_done"
        self._rest = data[end:]

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def soaked(streams: int, seconds: float, seed: int) -> Soaked:
    """Do it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="ropewalk-soak-") as folder:
        command = [sys.executable, "-m", "tests.drill.speaker", f"sqlite:///{folder}/runs.db"]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            return asyncio.run(_soak(url, server.pid, streams, seconds, random.Random(seed)))
        finally:
            server.terminate()
            server.wait(30)


async def _soak(url: str, pid: int, streams: int, seconds: float, chance: random.Random) -> Soaked:
    host, port = url.removeprefix("http://").split(":")
    words = max(WORDS, int(seconds / PAUSE_SECONDS) // WORDS * WORDS)
    runs = [await asyncio.to_thread(_start, url, words) for _ in range(RUNS)]
    steady = [Listener(host, int(port), run_id) for run_id in runs]
    listeners = [Listener(host, int(port), runs[at % RUNS]) for at in range(streams - RUNS)]
    for listener in (*steady, *listeners):
        await listener.listen()
    began = time.monotonic()
    cuts, memory_then = 0, 0
    while time.monotonic() - began < seconds * 1.5 + 30 and not all(one.is_done for one in (*steady, *listeners)):
        await asyncio.sleep(1.0)
        if not memory_then and time.monotonic() - began > seconds / 2:
            memory_then = _resident_bytes(pid)
        for listener in chance.sample(listeners, max(1, len(listeners) // 20)):
            if not listener.is_done:
                listener.cut()
                await listener.listen()
                cuts += 1
    memory_now = _resident_bytes(pid)
    lost, doubled = _judge(runs, steady, listeners, words)
    everybody = (*steady, *listeners)
    return Soaked(
        streams=len(everybody),
        seconds=time.monotonic() - began,
        cuts=cuts,
        events=sum(len(one.ids) for one in everybody),
        lost=lost,
        doubled=doubled,
        unfinished=sum(not one.is_done for one in everybody),
        memory_then=memory_then or memory_now,
        memory_now=memory_now,
    )


def _judge(runs: list[str], steady: list[Listener], listeners: list[Listener], words: int) -> tuple[int, int]:
    """Count the words that a reader did not hear, and those it heard again; ids too, against who was never cut."""
    lost = doubled = 0
    for listener in (*steady, *listeners):
        first = listener.words[0] if listener.words else 0
        lost += len({*range(first, words)} - {*listener.words})
        doubled += len(listener.words) - len({*listener.words}) + len(listener.ids) - len({*listener.ids})
    for listener in listeners:
        whole = steady[runs.index(listener._run_id)].ids  # pyright: ignore[reportPrivateUsage]
        shared = whole[-len(listener.ids) :] if len(listener.ids) < len(whole) else whole
        lost += len({*shared} - {*listener.ids})
    return lost, doubled


def _start(url: str, words: int) -> str:
    body = json.dumps({"input": {"words": words, "pause_seconds": PAUSE_SECONDS}}).encode()
    request = urllib.request.Request(f"{url}/graphs/talk/runs", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())["run_id"]


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
