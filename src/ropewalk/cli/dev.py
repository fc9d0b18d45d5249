"""The command `dev`: serves the graphs of a folder while somebody writes them.

1. One socket, which stays open; behind it the newest version that could be loaded, as a process of its own.
2. When a file is saved, another version is loaded beside it. If that fails, the old one goes on serving, and the
   traceback is shown.
3. If it does not, the old one is told to stop: its streams are told to come back, its runs are handed over, and the new
   one goes on with them. Who connects meanwhile waits a moment.
"""

import argparse
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from ropewalk.cli.found import Seen, seen
from ropewalk.cli.screen import Screen, printable
from ropewalk.cli.trouble import DONE, FAILED, Trouble
from ropewalk.settings import DoorSettings, chosen_doors

_POLLS_SECONDS = 0.25
_SETTLES_SECONDS = 0.1
_LOADS_SECONDS = 60.0
_STOPS_SECONDS = 20.0


def dev(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    place = Path(options.place)
    if not place.exists():
        raise Trouble(f"There is no {options.place!r}.", do="Name a folder, or a file that draws a graph.")
    try:
        chosen_doors(DoorSettings(), host=options.host, environ=os.environ)
    except ValueError as error:
        raise Trouble(str(error), code="setting_invalid") from error
    with _listening(options.host, options.port) as listening:
        return _Supervisor(options, place, listening, Screen(as_json=options.json)).run()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        raise Trouble(
            f"{host}:{port} cannot be bound: {error}.",
            do="Choose another port: --port 0 is any free one.",
            status=FAILED,
            code="port_unavailable",
        ) from error


class _Version:
    """A process that has loaded the files as they were."""

    def __init__(self, options: argparse.Namespace, place: Path, listening: socket.socket) -> None:
        mine, its = os.pipe()
        command = [sys.executable, "-m", "ropewalk.cli.version", str(place), "--host", options.host]
        command += ["--socket", str(listening.fileno()), "--report", str(its)]
        command += ["--store", options.store] if options.store else []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=sys.stderr,
            text=True,
            pass_fds=(listening.fileno(), its),
            start_new_session=True,
        )
        os.close(its)
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, args=(mine,), daemon=True).start()

    def _listen(self, report: int) -> None:
        with os.fdopen(report, encoding="utf-8") as lines:
            for line in lines:
                self._told.put(json.loads(line))
        self._told.put({"type": "ended"})

    def told(self, seconds: float) -> dict[str, Any]:
        """Return what it reports next; that it ended, when nothing comes in time."""
        try:
            return self._told.get(timeout=seconds)
        except queue.Empty:
            return {"type": "ended", "why": f"nothing was heard of it for {seconds:g} s"}

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        except OSError:
            return  # it is gone, and that is noticed elsewhere

    def stop(self) -> None:
        """Let it hand its runs over and end; one that does not is killed, and its runs are taken over."""
        self.say("stop")
        try:
            self.process.wait(_STOPS_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class _Supervisor:
    """Keeps the newest good version serving."""

    def __init__(self, options: argparse.Namespace, place: Path, listening: socket.socket, screen: Screen) -> None:
        self._options = options
        self._place = place
        self._listening = listening
        self._screen = screen
        self._serving: _Version | None = None
        self._ends = threading.Event()
        host, port = listening.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signalled)
        try:
            self._watch()
        finally:
            if self._serving is not None:
                self._serving.stop()
        return DONE

    def _signalled(self, _: int, __: FrameType | None) -> None:
        self._ends.set()

    def _watch(self) -> None:
        known = seen(self._place)
        self._reload()
        while not self._ends.wait(_POLLS_SECONDS):
            now = seen(self._place)
            died = self._serving is not None and self._serving.process.poll() is not None
            if now != known:
                known = self._settled(now)
                self._reload()
            elif died:
                self._tell("serving_ended", "The server ended; it is started again at the next save.")
                self._serving = None

    def _settled(self, now: Seen) -> Seen:
        """Return what there is once nothing is being written any more: editors write in steps."""
        while True:
            self._ends.wait(_SETTLES_SECONDS)
            later = seen(self._place)
            if later == now or self._ends.is_set():
                return later
            now = later

    def _reload(self) -> None:
        began = time.monotonic()
        version = _Version(self._options, self._place, self._listening)
        told = version.told(_LOADS_SECONDS)
        failures: list[dict[str, str]] = told.get("failures", [])
        graphs: list[str] = told.get("graphs", [])
        if failures or not graphs:
            self._show(failures, graphs, told)
        if not graphs or (failures and self._serving is not None):
            version.process.kill()
            version.process.wait()
            return
        if self._serving is not None:
            self._serving.stop()
        version.say("go")
        self._serving = version
        answer = version.told(_LOADS_SECONDS)
        if answer["type"] != "serving":
            self._serving = None
            self._tell("serving_ended", f"It cannot be served: {answer.get('why', 'it ended')}")
            return
        seconds = time.monotonic() - began
        text = f"serves {', '.join(graphs)} from {answer['store']} at {self.url} ({seconds:.1f} s)"
        self._tell("serving", text, graphs=graphs, url=self.url, store=answer["store"], pid=version.process.pid)

    def _show(self, failures: list[dict[str, str]], graphs: list[str], told: dict[str, Any]) -> None:
        for failure in failures:
            self._tell("load_failed", f"{failure['file']} could not be loaded:\n{failure['told']}", **failure)
        if self._serving is not None:
            self._tell("still_serving", "the last good version goes on serving; save the file when it is mended")
        elif not graphs:
            why = told.get("why") or "no file here draws a graph that could be loaded"
            self._tell("nothing_to_serve", f"Nothing is served yet: {why}. It is looked at again at the next save.")

    def _tell(self, what: str, text: str, **more: Any) -> None:
        if self._screen.as_json:
            self._screen.record({"type": what, "text": text, **more})
            return
        for line in text.split("\n"):
            self._screen.line(printable(line))
