"""All that the compose file names, as processes of this machine, begun and ended in order.

1. PostgreSQL, Redis and NATS, as the tests have them, each on a free port.
2. Pods and workers, with the compose file's commands and environment; where their parts are is said anew.
3. nginx with the shipped configuration, the pods' places in it changed.

What began last ends first: nobody is left who asks something that has gone.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.sql import SQL, Identifier
from tests.servers.front import NginxServer
from tests.servers.jetstream import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.programs import ROOT, ServerMissing
from tests.servers.server import Server
from tests.servers.valkey import RedisServer
from tests.up import composed
from tests.up.processes import Process

DEPLOY = ROOT / "deploy"
PARTS: dict[str, type[Server]] = {"postgres": PostgresServer, "redis": RedisServer, "nats": NatsServer}


class Up:
    """The compose file's processes; a context manager."""

    def __init__(self, environ: Mapping[str, str] = os.environ, *, file: Path = DEPLOY / "compose.yaml") -> None:
        self.services = composed.read(file.read_text(encoding="utf-8"), environ)
        self.parts: dict[str, Server] = {}
        self.processes: list[Process] = []
        self.front: NginxServer | None = None
        self.front_missing: ServerMissing | None = None
        self._running = contextlib.ExitStack()

    def __enter__(self) -> "Up":
        try:
            self.parts = {name: self._running.enter_context(kind()) for name, kind in PARTS.items()}
            here = self._here()
            ours = [service for service in self.services.values() if service.is_ours]
            made = [Process(service, name, here) for service in ours for name in service.names]
            self._running.enter_context(together([one for one in made if not one.is_pod]))
            self._running.enter_context(together([one for one in made if one.is_pod]))
            self.processes = made
            self._open_front()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def pods(self) -> list[Process]:
        return [one for one in self.processes if one.is_pod]

    @property
    def workers(self) -> list[Process]:
        return [one for one in self.processes if not one.is_pod]

    @property
    def url(self) -> str:
        """Where clients go: nginx, or the first pod where there is no nginx."""
        return (self.front or self.pods[0]).url

    @property
    def named(self) -> dict[str, Server]:
        """Everything that runs, by its name."""
        front = {} if self.front is None else {"nginx": self.front}
        return self.parts | {one.name: one for one in self.processes} | front

    def _here(self) -> dict[str, str]:
        """Say where the parts are, in the words of the compose file; the database that it names is made."""
        postgres, redis, nats = (self.parts[name] for name in ("postgres", "redis", "nats"))
        database = self.services["postgres"].environ["POSTGRES_DB"]
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(database)))
        return {
            "NATS_URL": nats.url,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(redis.port),
            "REDIS_PASSWORD": redis.password,
            "DB_HOST": "127.0.0.1",
            "DB_PORT": str(postgres.port),
            "DB_NAME": database,
            "DB_USER": urlsplit(postgres.url).username or "",
            "DB_PASSWORD": postgres.password,
        }

    def _open_front(self) -> None:
        shipped = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
        front = NginxServer(shipped, {f"{pod.name}:8080": f"127.0.0.1:{pod.port}" for pod in self.pods})
        try:
            self.front = self._running.enter_context(front)
        except ServerMissing as missing:
            self.front_missing = missing


@contextlib.contextmanager
def together(servers: Sequence[Server]) -> Iterator[None]:
    """Start them side by side, and end them side by side."""
    with ThreadPoolExecutor(max(1, len(servers))) as threads:
        try:
            for started in [threads.submit(server.start) for server in servers]:
                started.result()
            yield
        finally:
            for ended in [threads.submit(server.close) for server in servers]:
                ended.result()
