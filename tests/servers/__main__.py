"""`./dev services`: starts the servers for a person, and ends them on Ctrl-C."""

import argparse
import contextlib
import difflib
import json
import os
import signal
import sys

from tests.servers.jetstream import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.programs import ServerMissing
from tests.servers.server import Server, ServerFailed
from tests.servers.valkey import RedisServer

KINDS: dict[str, type[Server]] = {"postgres": PostgresServer, "redis": RedisServer, "nats": NatsServer}
DESCRIPTION = """\
Starts PostgreSQL, a Redis-compatible server (Valkey) and NATS with JetStream, each on a free port of 127.0.0.1, with a
password of its own. They end with this command, however it ends, and what they stored is removed.

Tests use servers that run already when TEST_POSTGRES_URL, TEST_REDIS_URL and TEST_NATS_URL name them: the lines that
begin with `export` are for the shell in which you go on. TEST_SYSTEM_SERVERS="redis nats" starts this machine's own."""


def main() -> int:
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with contextlib.ExitStack() as running:
            servers = {name: running.enter_context(KINDS[name]()) for name in dict.fromkeys(options.servers or KINDS)}
            print(as_json(servers) if options.json else as_text(servers), flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except (ServerMissing, ServerFailed) as error:
        print(f"services: {error}", file=sys.stderr)
        return 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev services", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(KINDS)
    parser.add_argument("servers", nargs="*", type=known_server, metavar="SERVER", help=f"{known} (default: all)")
    parser.add_argument("--json", action="store_true", help="one line of JSON when they are ready")
    parser.add_argument("--install", action="store_true", help="only bring the packages that hold the servers")
    return parser.parse_args()


def known_server(name: str) -> str:
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise argparse.ArgumentTypeError(f"no server is called {name!r}. {hint}Servers: {', '.join(KINDS)}.")
    return name


def as_json(servers: dict[str, Server]) -> str:
    return json.dumps({"pid": os.getpid(), **{name: server.url for name, server in servers.items()}})


def as_text(servers: dict[str, Server]) -> str:
    lines = [f"{name:<10}{server.url}" for name, server in servers.items()]
    lines += ["", *(f"export TEST_{name.upper()}_URL={server.url}" for name, server in servers.items())]
    return "\n".join([*lines, "", "Ctrl-C ends them and removes what they stored."])


if __name__ == "__main__":
    sys.exit(main())
