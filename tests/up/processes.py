"""The processes of our own services, as local child processes: a pod, a worker."""

import os
import sys
from collections.abc import Mapping

from tests.servers.front import status_of
from tests.servers.programs import ROOT
from tests.servers.server import Server
from tests.up.composed import Service

METRICS_PORT = "--metrics-port"


class Process(Server):
    """One process of a service; ``here`` is what its environment says in place of what the compose file says."""

    def __init__(self, service: Service, name: str, here: Mapping[str, str]) -> None:
        super().__init__()
        self.service = service
        self.name = name
        self.here = dict(here)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_pod(self) -> bool:
        return "SERVER_PORT" in self.service.environ

    def command(self) -> list[str]:
        words = list(self.service.command)
        if METRICS_PORT in words:
            words[words.index(METRICS_PORT) + 1] = str(self.port)
        return [sys.executable, "-m", "ropewalk.cli", *words]

    def surroundings(self) -> dict[str, str]:
        found = self.service.environ | self.here
        if self.is_pod:
            found |= {"SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(self.port)}
        paths = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
        return super().surroundings() | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "HOME": self.home} | found

    @property
    def home(self) -> str:
        return str(self.folder.path)

    def answers(self) -> bool:
        return status_of(self.port, "/health" if self.is_pod else "/metrics") == 200
