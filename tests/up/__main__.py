"""`./dev up`: the processes of deploy/compose.yaml on this machine, until Ctrl-C."""

import argparse
import json
import os
import shlex
import signal
import sys
import time
from typing import NoReturn

from tests.servers.programs import ServerMissing
from tests.servers.server import ServerFailed
from tests.up.cluster import Up
from tests.up.stream import Lines

DESCRIPTION = """\
Starts what deploy/compose.yaml names as processes of this machine: three pods, the workers, PostgreSQL, Redis (Valkey),
NATS, and nginx in front. Each is on a free port; what they store is removed when they end. FILE:graph are the graphs
that answer; without one the demonstration does. Variables of the compose file, as ROPEWALK_ON_BUSY, count here too."""
MESSAGE = {"session_id": "test", "user_id": "user1", "message": "Hello, how are you?"}
_LOOK_SECONDS = 0.1


def main() -> int:
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    environ = os.environ | ({"ROPEWALK_GRAPHS": " ".join(options.graphs)} if options.graphs else {})
    try:
        with Up(environ) as up:
            print(as_json(up) if options.json else as_text(up), flush=True)
            follow(up, Lines(up.named), says=not options.json)
    except KeyboardInterrupt:
        return 0
    except (ServerMissing, ServerFailed) as error:
        print(f"up: {error}", file=sys.stderr)
        return 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./dev up", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graphs", nargs="*", metavar="FILE:graph", help="the graphs that answer")
    parser.add_argument("--json", action="store_true", help="one line of JSON when they are ready, and no log")
    return parser.parse_args()


def follow(up: Up, lines: Lines, *, says: bool) -> NoReturn:
    """Print what all of them write, and who ended by itself."""
    gone: set[str] = set()
    while True:
        ended = {name for name, server in up.named.items() if not server.running} - gone
        gone |= ended
        if says:
            for line in (*lines.fresh(), *(f"{name} has ended" for name in sorted(ended))):
                print(line, flush=True)
        time.sleep(_LOOK_SECONDS)


def as_json(up: Up) -> str:
    told = {name: {"url": server.url, "pid": server.pid} for name, server in up.named.items()}
    return json.dumps({"pid": os.getpid(), "url": up.url, "processes": told})


def as_text(up: Up) -> str:
    lines = [f"{name:<12}{server.url}" for name, server in up.named.items()]
    if up.front_missing is not None:
        lines += ["", f"Without nginx; clients may ask any pod. {up.front_missing}"]
    body = json.dumps(MESSAGE)
    lines += [
        "",
        f'curl -N "{up.url}/api/sse?session_id=test&user_id=user1"',
        f"curl -X POST {up.url}/api/chat -H 'Content-Type: application/json' -d {shlex.quote(body)}",
        "",
        "Ctrl-C ends them and removes what they stored.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
