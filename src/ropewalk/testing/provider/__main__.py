"""The local provider as a process of its own: prints its addresses as one line of JSON, serves until it is ended.

Its scripts are sent to it: ``POST /_script`` with ``{"key": "...", "cues": [...]}``; ``GET /_requests`` tells what it
received.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys

from ropewalk.testing.provider.scenarios import SCENARIOS, scenario
from ropewalk.testing.provider.server import LocalProvider


async def serve(host: str, port: int, name: str | None, keep_requests: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    answers = scenario(name) if name else None
    async with LocalProvider(host=host, port=port, scenario=answers, keep_requests=keep_requests) as provider:
        told = {"root": provider.root, "base_url": provider.base_url, "port": provider.port, "pid": os.getpid()}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ropewalk.testing.provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help="answers what no script answers")
    parser.add_argument("--keep-requests", type=int, default=10_000)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.host, given.port, given.scenario, given.keep_requests))


if __name__ == "__main__":
    main()
