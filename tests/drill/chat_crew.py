"""Pods, workers and servers of the chat's drill, and what happens to them.

Who is killed is replaced at once, under the same name; who is frozen is thawed later; a server that was stopped comes
back on its port, once in each round with nothing of what it stored.
"""

import asyncio
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.chat.crew import ROOT, Process
from tests.drill import chat_graph
from tests.servers.jetstream import NatsServer
from tests.servers.server import Server
from tests.servers.valkey import RedisServer

ROUND_SECONDS = 75.0
_OUTAGES = ("restart nats", "restart redis", "empty nats", "empty redis")
_TRACEBACK = re.compile(r"[^\n]*\nTraceback(?:\n .*|\n|.)*?\n\S+(?:: .*)?(?=\n|$)")
_STORED: dict[type[Server], str] = {NatsServer: "jetstream", RedisServer: "appendonlydir"}


class Strike(NamedTuple):
    """Something that is to happen."""

    at: float
    """Seconds from the beginning."""
    kind: str
    """kill, freeze, restart, empty."""
    whom: str
    seconds: float
    """How long it lasts."""


def planned(dice: random.Random, seconds: float, names: list[str], lease: float) -> list[Strike]:
    """Return what happens, in order: one process every few seconds, and each outage once in a round."""
    strikes: list[Strike] = []
    at = 2.0
    while at < seconds - 1:
        kind, whom = dice.choice(("kill", "freeze")), dice.choice(names)
        strikes.append(Strike(at, kind, whom, dice.uniform(0.5, 2.2) * lease))
        at += dice.uniform(2.0, 5.0)
    rounds = max(1, round(seconds / ROUND_SECONDS))
    for number in range(rounds):
        outages = dice.sample(_OUTAGES, len(_OUTAGES))
        each = seconds / rounds / (len(outages) + 1)
        for place, outage in enumerate(outages):
            kind, whom = outage.split()
            strikes.append(Strike(number * seconds / rounds + each * (place + 0.8), kind, whom, dice.uniform(0.1, 2.0)))
    return sorted(strikes)


@dataclass(kw_only=True, slots=True)
class Happened:
    """What happened, for the story of a message."""

    at: float
    what: str
    whom: str


class ChatCrew:
    """The processes of the drill."""

    def __init__(self, folder: Path, *, store: str, nats: NatsServer, redis: RedisServer, lease: float) -> None:
        self.happened: list[Happened] = []
        self.counts = {"kill": 0, "freeze": 0, "restart": 0, "empty": 0}
        self.processes: dict[str, Process] = {}
        self.deaths: list[str] = []
        """Processes that ended by themselves."""
        self._servers: dict[str, Server] = {"nats": nats, "redis": redis}
        self._folder = folder
        self._lease = lease
        self._parts = ["--store", store, "--bus", nats.url, "--sessions", redis.url, "--json"]
        self._environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        self._environ["PYTHONDONTWRITEBYTECODE"] = "1"
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def urls(self) -> list[str]:
        """Where the pods are, as far as a client knows: dead and frozen ones, too."""
        return [process.url for name, process in self.processes.items() if name.startswith("pod")]

    def start(self, name: str) -> None:
        """Start a pod or a worker; it has said that it is ready."""
        graphs = [f"{chat_graph.__file__}:{graph}" for graph in ("talk", "tools")]
        if name.startswith("pod"):
            command = ["gateway", *graphs, "--port", "0", "--pod-id", name, *self._parts]
        else:
            command = ["worker", *graphs, "--lease", str(self._lease), *self._parts]
        arguments = [sys.executable, "-m", "ropewalk.cli", *command]
        self.processes[name] = Process(arguments, self._environ, self._folder / f"{name}.log")

    def tell(self, what: str, whom: str) -> None:
        self.happened.append(Happened(at=time.time(), what=what, whom=whom))

    def strike(self, strike: Strike) -> None:
        """Let something happen, beside; somebody else has it where the one that was meant is not well."""
        servers = strike.kind in ("restart", "empty")
        names = [*self._servers] if servers else [*self.processes]
        there = names.index(strike.whom)
        well = [name for name in (*names[there:], *names[:there]) if name not in self._busy]
        if (servers and strike.whom in self._busy) or not well:
            return
        task = asyncio.create_task(self._suffer(strike, well[0]), name=f"{strike.kind} {well[0]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _suffer(self, strike: Strike, name: str) -> None:
        self._busy.add(name)
        self.counts[strike.kind] += 1
        self.tell(strike.kind, name)
        suffer: Callable[[Strike, str], None] = {"kill": self._killed, "freeze": self._frozen}.get(
            strike.kind, self._away
        )
        await asyncio.to_thread(suffer, strike, name)
        self.tell("back", name)
        self._busy.discard(name)

    def _killed(self, strike: Strike, name: str) -> None:
        assert strike.kind == "kill"
        process = self.processes[name]
        process.kill()
        process.child.wait()
        assert process.child.stdout is not None
        process.child.stdout.close()
        self.start(name)

    def _frozen(self, strike: Strike, name: str) -> None:
        self.processes[name].kill(signal.SIGSTOP)
        time.sleep(strike.seconds)
        self.processes[name].kill(signal.SIGCONT)

    def _away(self, strike: Strike, name: str) -> None:
        server = self._servers[name]
        server.kill() if strike.seconds < 1 else server.stop()
        time.sleep(strike.seconds)
        if strike.kind == "empty":
            shutil.rmtree(server.folder.path / _STORED[type(server)])
        server.start()

    async def recover(self) -> None:
        """Return when all are well again."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def close(self) -> None:
        """End all; note who had ended before."""
        for name, process in self.processes.items():
            code = process.child.poll()
            if code is not None:
                self.deaths.append(f"{name} exited with {code}: {process.log.read_text()[-1500:]}")
            process.end()

    def surprises(self) -> list[str]:
        """Return what nobody had foreseen: tracebacks."""
        logs = {log.stem: log.read_text(encoding="utf-8", errors="replace") for log in self._folder.glob("*.log")}
        found = {name: _TRACEBACK.search(log) for name, log in logs.items()}
        return [f"{name} wrote {one[0][-3000:]}" for name, one in found.items() if one is not None]
