"""NATS takes the shipped configuration: it keeps JetStream where the volume is, and monitors where the seed looks."""

import http.client
import json
import re
from pathlib import Path

import pytest
from tests.deploy import shipped
from tests.servers.jetstream import NatsServer
from tests.servers.programs import program
from tests.servers.server import free_ports

SHIPPED = (shipped.DEPLOY / "nats.conf").read_text(encoding="utf-8")


class _Shipped(NatsServer):
    """A NATS server with the shipped configuration, its store and its ports moved here."""

    def command(self) -> list[str]:
        self.monitoring = next(port for port in free_ports() if port != self.port)
        moved = SHIPPED.replace("/data", f'"{self.folder.path}/data"')
        moved = moved.replace("http_port: 8222", f"http: 127.0.0.1:{self.monitoring}")
        moved = moved.replace("port: 4222", f"listen: 127.0.0.1:{self.port}")
        return [str(program("nats")), "--config", str(self.folder.write("nats.conf", moved))]


def asked(port: int, path: str) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_it_runs_with_what_is_shipped() -> None:
    with _Shipped() as server:
        about = asked(server.monitoring, "/varz")
        assert about["max_payload"] == 4 * 1024 * 1024
        assert about["jetstream"]["config"]["sync_interval"] == 10_000_000_000  # type: ignore[index]
        assert asked(server.monitoring, "/healthz") == {"status": "ok"}
        assert "connections" in asked(server.monitoring, "/connz")
        assert asked(server.monitoring, "/subsz")["num_subscriptions"]
        assert Path(server.folder.path, "data", "jetstream").is_dir()


@pytest.mark.parametrize("needed", ["port: 4222", "http_port: 8222", "sync_interval: 10s"])
def test_the_ports_are_the_seeds_and_the_sync_is_told(needed: str) -> None:
    assert re.search(rf"^\s*{needed}$", SHIPPED, re.MULTILINE)
