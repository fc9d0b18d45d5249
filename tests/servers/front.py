"""nginx of our own, with a configuration that somebody ships, in front of servers of this machine."""

import http.client
import signal
from collections.abc import Mapping
from typing import ClassVar

from tests.servers.programs import program
from tests.servers.server import Server

LISTENS = "listen 8080;"


class NginxServer(Server):
    """nginx with the configuration ``shipped``; ``places`` says where here is what it names, as "pod-1:8080"."""

    stop_signal: ClassVar[int] = signal.SIGQUIT

    def __init__(self, shipped: str, places: Mapping[str, str]) -> None:
        super().__init__()
        self.shipped = shipped
        self.places = dict(places)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        moved = {LISTENS: f"listen 127.0.0.1:{self.port};", "/tmp/": f"{self.folder.path}/"}
        moved |= {f"server {name} ": f"server {place} " for name, place in self.places.items()}
        text = self.shipped
        for old, new in moved.items():
            if old not in text:
                raise ValueError(f"The configuration of nginx does not name {old!r} any more.")
            text = text.replace(old, new)
        place = self.folder.path
        return [str(program("nginx")), "-p", str(place), "-c", str(self.folder.write("nginx.conf", text)),
                "-g", "daemon off;"]  # fmt: skip

    def answers(self) -> bool:
        return status_of(self.port, "/nothing") == 404


def status_of(port: int, path: str) -> int | None:
    """Return the status that ``path`` is answered with; None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
