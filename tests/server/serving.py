"""Serves graphs on a real socket, in a thread or as a child process, and reads what comes back."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from ropewalk.core.graph import Graph
from ropewalk.doors import Doors
from ropewalk.runtime import open_store
from ropewalk.settings import DoorSettings

ROOT = Path(__file__).resolve().parents[2]
JSON = {"content-type": "application/json"}


class Served:
    """Graphs behind their doors, on a port of their own, in a thread of their own."""

    def __init__(self, *graphs: Graph[Any], store: str = "memory:", **settings: Any) -> None:
        self.graphs = graphs
        self._store_url = store
        self._settings = DoorSettings(**settings)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()
        self.error: BaseException | None = None
        self.url = ""
        self.loop: asyncio.AbstractEventLoop
        self.doors: Doors

    def __enter__(self) -> "Served":
        self._thread.start()
        assert self._ready.wait(20), "the server did not start"
        if self.error:
            raise self.error
        self.client = httpx.Client(base_url=self.url, timeout=20)
        until(lambda: self.client.get("/health").status_code == 200)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.stop()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.doors.stop)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server did not stop"
        if self.error:
            raise self.error

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self.error = error
            self._ready.set()

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        store = open_store(self._store_url)
        for graph in self.graphs:
            graph.use_store(store)  # type: ignore[attr-defined]
        self.doors = Doors([*self.graphs], self._settings, aliases={"flow": self.graphs[0].name})
        listening = self.doors.open_socket("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._ready.set()
        try:
            await self.doors.serve(listening)
        finally:
            await store.close()

    # -- short ways ---------------------------------------------------------------------------------------------------

    def start(self, graph: str, input: dict[str, Any] | None = None, *, as_: str | None = None, **body: Any) -> str:
        answer = self.client.post(f"/graphs/{graph}/runs", json={"input": input or {}, **body}, headers=bearer(as_))
        assert answer.status_code == 202, answer.text
        return answer.json()["run_id"]

    def look(self, run_id: str, as_: str | None = None) -> dict[str, Any]:
        answer = self.client.get(f"/runs/{run_id}", headers=bearer(as_))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, run_id: str, *statuses: str, as_: str | None = None) -> dict[str, Any]:
        until(lambda: self.look(run_id, as_)["status"] in (statuses or ("DONE", "PAUSED", "FAILED", "CANCELLED")))
        return self.look(run_id, as_)

    def follow(
        self, run_id: str, after: str | None = None, *, header: str | None = None, **params: str
    ) -> list["Sent"]:
        return [*self.following(run_id, after, header=header, **params)]

    def following(
        self, run_id: str, after: str | None = None, *, header: str | None = None, **params: str
    ) -> Iterator["Sent"]:
        headers = {} if header is None else {"last-event-id": header}
        asked = params | ({} if after is None else {"after": after})
        with self.client.stream("GET", f"/runs/{run_id}/events", params=asked, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield from blocks(answer)


class Sent(NamedTuple):
    """One block of a stream of events."""

    type: str
    id: str
    data: Any
    raw: str


def blocks(answer: httpx.Response) -> Iterator[Sent]:
    rest = ""
    for piece in answer.iter_text():
        rest += piece
        *whole, rest = rest.split("\n\n")
        yield from map(sent, whole)


def sent(raw: str) -> Sent:
    fields = dict(line.split(": ", 1) for line in raw.split("\n") if not line.startswith(":"))
    data = json.loads(fields["data"]) if "data" in fields else None
    return Sent(fields.get("event", ""), fields.get("id", ""), data, raw + "\n\n")


def said(stream: list[Sent]) -> list[Sent]:
    """Return the events of a stream: not its opening, no comments."""
    return [one for one in stream if one.data is not None]


def bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key}"}


def until(condition: Any, seconds: float = 15) -> None:
    """Wait for a condition; that the server is not there yet counts as no."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            if condition():
                return
        assert time.monotonic() < end, f"{condition} did not become true in {seconds} s"
        time.sleep(0.01)


@contextlib.contextmanager
def child(*arguments: str, cwd: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run `ropewalk serve ... --json` as a process; yields it and what it says when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ropewalk.cli", "serve", *arguments, "--port", "0", "--json"],
        cwd=cwd,
        env=clean_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


def clean_environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))), **more}
