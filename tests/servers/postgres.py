"""A PostgreSQL server of our own."""

import signal
from collections.abc import Mapping
from typing import ClassVar

from tests.servers import cluster
from tests.servers.programs import program
from tests.servers.server import Server

SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
SETTINGS = {
    "fsync": "off",  # kill -9 loses nothing by it; the loss of power is another test
    "full_page_writes": "off",
    "max_connections": "200",
    "jit": "off",
    "log_line_prefix": "%m [%p] %d ",
    "dynamic_shared_memory_type": "mmap",  # in its folder: kill -9 leaves nothing in /dev/shm
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # their paths may be 100 characters long and no longer
}


class PostgresServer(Server):
    """A PostgreSQL server; ``settings`` are those of postgresql.conf, and outdo SETTINGS.

    With {"fsync": "on"} it lives on the disk; else in memory if there is plenty, where a fsync would cost nothing.
    """

    stop_signal: ClassVar[int] = SIGNALS["fast"]
    leave_signal: ClassVar[int] = SIGNALS["immediate"]

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        in_memory = (SETTINGS | dict(settings or {}))["fsync"] == "off"
        super().__init__(settings, in_memory=in_memory)
        self.runs_as = cluster.unprivileged()
        self.data = self.folder.path / "data"

    @property
    def url(self) -> str:
        return f"postgresql://{cluster.SUPERUSER}:{self.password}@127.0.0.1:{self.port}/postgres"

    def stop(self, mode: str = "fast") -> None:
        """End it: "smart" waits for its clients, "fast" sends them away, "immediate" writes nothing down any more."""
        self._end(SIGNALS[mode])

    def command(self) -> list[str]:
        postgres = program("postgres")
        if self.runs_as:
            postgres = cluster.reachable(postgres, self.folder)
        if not self.data.exists():
            self.password = cluster.lay(self.folder, postgres, self.runs_as)
        settings = [f"--{name}={value}" for name, value in (SETTINGS | self.settings).items()]
        return [str(postgres), "-D", str(self.data), f"--port={self.port}", *settings]

    def answers(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
