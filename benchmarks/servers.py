"""The servers that cases measure against: private ones, as the tests start them; PostgreSQL writes to its disk."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

Server = Literal["postgres", "redis", "models", "chat"]
"""chat: all that a chat service needs, each under its name."""


class ServerNotThere(Exception):
    """A case's server cannot be had."""


_SETTINGS = {"fsync": "on", "full_page_writes": "on"}


@contextmanager
def served(server: Server | None) -> Generator[dict[str, str]]:
    """Yield the arguments that a case's contestants get beside their own: the URL of its server, if it has one.

    Raises `ServerNotThere`.
    """
    if server is None:
        yield {}
        return
    if server == "models":
        yield from _models()
        return
    from tests.servers.jetstream import NatsServer  # cases without a server need nothing of the tests
    from tests.servers.postgres import PostgresServer
    from tests.servers.programs import ServerMissing
    from tests.servers.valkey import RedisServer

    kinds = {"postgres": lambda: PostgresServer(_SETTINGS), "redis": RedisServer, "nats": NatsServer}
    with contextlib.ExitStack() as running:
        urls: dict[str, str] = {}
        for name in kinds if server == "chat" else (server,):
            try:
                urls[name] = running.enter_context(kinds[name]()).url
            except ServerMissing as missing:
                raise ServerNotThere(f"no {name} server; ./dev services --install brings one") from missing
        yield urls if server == "chat" else {"url": urls[server]}


def _models() -> Generator[dict[str, str]]:
    """The strict local provider, in a process of its own: what it works is nobody's CPU time."""
    command = [sys.executable, "-m", "ropewalk.testing.provider", "--scenario", "loop", "--keep-requests", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield {"url": json.loads(process.stdout.readline())["base_url"]}
        finally:
            process.terminate()
