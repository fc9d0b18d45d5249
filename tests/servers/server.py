"""A server as a child process: a port and a folder of its own, and all that can happen to a server."""

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

from tests.servers import keeper
from tests.servers.folders import Folder

START_SECONDS = 60.0
STOP_SECONDS = 30.0
PORTS = range(15_000, 30_000)
"""Below those that systems hand out by themselves. A client that connects again and again to a port of that range
while its server is down can be given that very port, talk to itself, and keep the server from coming back."""


class ServerFailed(Exception):
    """A server did not start; says what it wrote last."""


class Server:
    """One server of our own. What it stored and its port stay through stop, kill and start, until it is closed.

    It ends with the process that made it, however that ends. Close it, or use it as a context manager.
    """

    stop_signal: ClassVar[int] = signal.SIGTERM
    leave_signal: ClassVar[int] = signal.SIGTERM
    """How it is ended when nobody needs what it stored."""
    runs_as: str | None = None
    """The user who runs it, if that is not who runs the tests."""

    def __init__(self, settings: Mapping[str, str] | None = None, *, in_memory: bool = False) -> None:
        self.settings = dict(settings or {})
        self.password = secrets.token_hex(8)  # whoever else is on this machine must not get in
        self.port = 0
        self.pid = 0
        self.folder = Folder(in_memory=in_memory)
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """How to reach it, user and password included."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Say how it is started on ``self.port``, and write what it reads when it starts."""
        raise NotImplementedError

    def surroundings(self) -> dict[str, str]:
        """Say what it finds in its environment."""
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    def answers(self) -> bool:
        """Say whether this very process answers, and is ready to work."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    def start(self) -> Self:
        """Start it, and return when it answers. The port of the first start stays its port."""
        if self.running:
            return self
        self._let_go()
        for port in [self.port] if self.port else free_ports():
            self.port = port
            if self._started():
                return self
            if "already in use" not in self.log().lower():
                break
        raise ServerFailed(f"{type(self).__name__} did not start on port {self.port}. It wrote:\n{self.log()[-3000:]}")

    def stop(self) -> None:
        """Ask it to end in its own way, and return when it has."""
        self._end(self.stop_signal)

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill it and its children with SIGKILL, and return when none is left."""
        keeper.kill(self._family())
        self._let_go()

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open, the kernel takes new ones, and nobody answers."""
        keeper.tell(self._family()[:1], signal.SIGSTOP)  # first: after that it gets no more children
        keeper.tell(self._family(), signal.SIGSTOP)

    def thaw(self) -> None:
        keeper.tell(self._family(), signal.SIGCONT)

    def close(self) -> None:
        """End it for good, and remove all that it stored."""
        try:
            self._end(self.leave_signal)
        finally:
            self.folder.remove()

    def log(self) -> str:
        """Return what it wrote since its first start."""
        path = self.folder.path / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _family(self) -> list[int]:
        return keeper.family(self.pid) if self.running and self.pid else []

    def _started(self) -> bool:
        """Start it and wait until it answers; False when it ended instead."""
        about = ["--folder", str(self.folder.path), "--end", str(int(self.leave_signal))]
        about += ["--user", self.runs_as] if self.runs_as else []
        with (self.folder.path / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, *about, "--", *self.command()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.surroundings(),
                start_new_session=True,  # Ctrl-C is meant for us, and we end it in order
                pass_fds=(self.folder.lock,),
            )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline() or 0)
        deadline = time.monotonic() + START_SECONDS
        while self.running and not self.answers():
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.005)
        if not self.running:
            self._let_go()
        return self.running

    def _end(self, number: int) -> None:
        self.thaw()
        keeper.tell(self._family()[:1], number)
        self._let_go()

    def _let_go(self) -> None:
        """Return when the server has ended."""
        ended, pid, self._keeper, self.pid = self._keeper, self.pid, None, 0
        if ended is None:
            return
        try:
            ended.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            keeper.kill(keeper.family(pid))
            raise
        finally:
            for pipe in (ended.stdin, ended.stdout):
                assert pipe is not None
                pipe.close()
            ended.wait()


def free_ports() -> Iterator[int]:
    """Yield a few ports on which nobody listens; another may be faster to take one."""
    for port in random.sample(PORTS, 20):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                yield port


def said_back(port: int, words: bytes, awaited: bytes) -> bool:
    """Say whether the server on the port answers these words with two lines, the second of which is the awaited one."""
    heard = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(words)
            while heard.count(b"\n") < 2 and (more := connection.recv(4096)):
                heard += more
    except OSError:  # nobody listens yet
        return False
    return heard.splitlines()[1:] == [awaited]
