"""One version of the graphs of a folder, served as long as it is the newest good one: the child of `ropewalk dev`.

1. It loads the files and reports which graphs there are, and what could not be loaded.
2. It waits. When its parent says ``go`` the version before has handed its runs over; it takes them and serves.
3. When its parent says ``stop``, or dies, it hands its own over and ends.
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from ropewalk.cli.found import candidates
from ropewalk.cli.load import Loaded, load_all
from ropewalk.cli.serve import aliases_of, log_to_stderr, store_of
from ropewalk.cli.trouble import Trouble
from ropewalk.doors import Doors
from ropewalk.errors import RopewalkError
from ropewalk.settings import DoorSettings, chosen_doors

_GRACE_SECONDS = 1.0


def main() -> None:
    """Do what `ropewalk dev` has started this process for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--report", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--store")
    options = parser.parse_args()
    report = os.fdopen(options.report, "w", encoding="utf-8")

    def say(**told: Any) -> None:
        report.write(json.dumps(told) + "\n")
        report.flush()

    sys.dont_write_bytecode = True  # a save in the same second, and as long, would be taken for the one before
    loaded, failures = _loaded(options.place.resolve())
    say(type="loaded", graphs=[one.graph.name for one in loaded], failures=failures)
    if sys.stdin.readline().strip() == "go":
        log_to_stderr()
        try:
            asyncio.run(_serve(loaded, options, say))
        except (Trouble, RopewalkError, ValueError) as error:
            say(type="ended", why=str(error))


def _loaded(place: Path) -> tuple[list[Loaded], list[dict[str, str]]]:
    """Return the graphs, each name once, and what went wrong, file by file."""
    loaded: dict[str, Loaded] = {}
    failures: list[dict[str, str]] = []
    for file in candidates(place):
        try:
            for one in load_all(file):
                first = loaded.setdefault(one.graph.name, one)
                if first.graph is not one.graph:
                    why = f"{first.file.name} draws a graph {one.graph.name!r} too: Graph(..., name='another')."
                    failures.append({"file": str(file), "told": why})
        except (Trouble, RopewalkError) as error:
            failures.append({"file": str(file), "told": _told(error)})
    return [*loaded.values()], failures


def _told(error: Exception) -> str:
    """Return the traceback as far as it is the user's own."""
    cause = error.__cause__
    if not isinstance(error, Trouble) or cause is None:
        return str(error)
    frames = cause.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(cause), cause, frames, chain=False)).rstrip()


def _is_ours(file: str) -> bool:
    return file.startswith("<frozen importlib") or Path(file).parent == Path(__file__).parent


async def _serve(loaded: list[Loaded], options: argparse.Namespace, say: Any) -> None:
    store, shown = store_of(loaded, options.store)
    try:
        settings = chosen_doors(DoorSettings(allowed_hosts=(options.host,)), host=options.host, environ=os.environ)
        doors = Doors([one.graph for one in loaded], settings, aliases=aliases_of(loaded))
        doors.grace_seconds = _GRACE_SECONDS
        loop = asyncio.get_running_loop()
        threading.Thread(target=_obey, args=(loop, doors), daemon=True).start()
        say(type="serving", store=shown)
        await doors.serve(socket.socket(fileno=options.socket))
    finally:
        await store.close()


def _obey(loop: asyncio.AbstractEventLoop, doors: Doors) -> None:
    """Stop at the parent's word, or when it is gone."""
    sys.stdin.readline()
    loop.call_soon_threadsafe(doors.stop)


if __name__ == "__main__":
    main()
