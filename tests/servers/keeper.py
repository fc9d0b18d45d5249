"""Stays beside one server, and ends it when whoever started it is gone, however that happened.

    python keeper.py --folder F --end SIGNAL [--user NAME] -- COMMAND...

1. Start the command and say its process id on standard output.
2. When it ends, leave with its exit code.
3. Standard input ends when the starter dies, even by kill -9: then end the command, remove the folder and leave.
4. Should the keeper itself be killed, the kernel kills the command (on Linux).

It is a program of its own, of the standard library only: the thread that starts a server may end long before the tests
do, and only a process is sure to outlive the one that it watches.
"""

import argparse
import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 3.0
"""How long a server whose starter is gone may take to end by itself."""
PR_SET_PDEATHSIG = 1


def family(pid: int) -> list[int]:
    """Return the process and all that descends from it, the eldest first; nobody who is dead."""
    parents = living()
    found = [pid] if pid in parents else []
    for member in found:  # it grows while it is read
        found += [child for child, parent in parents.items() if parent == member]
    return found


def living() -> dict[int, int]:
    """Return every process that is not a zombie, with its parent."""
    if Path("/proc/self/stat").exists():
        rows = [row for process in Path("/proc").glob("[0-9]*") if (row := looked_up(process))]
    else:
        table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], check=True, capture_output=True, text=True)
        rows = [line.split() for line in table.stdout.splitlines()]
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}


def looked_up(process: Path) -> list[str] | None:
    try:
        state, parent = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
    except OSError:  # it ended while we looked
        return None
    return [process.name, parent, state]


def tell(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill(pids: list[int], within_seconds: float = 10.0) -> None:
    """Kill them and return when none is left, so that what they held is free."""
    tell(pids, signal.SIGKILL)
    deadline = time.monotonic() + within_seconds
    while left := living().keys() & set(pids):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Processes {sorted(left)} outlived kill -9 by {within_seconds} s.")
        time.sleep(0.005)


def end(server: "subprocess.Popen[Any]", number: int) -> None:
    """Let the server end by itself, so that it leaves no shared memory behind; then kill what is left."""
    pids = family(server.pid)
    tell(pids, signal.SIGCONT)
    tell(pids[:1], number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(PATIENCE_SECONDS)
    kill(pids)


def die_with_the_keeper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def somebody_else(user: str | None) -> dict[str, Any]:
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()} if user else {}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--end", required=True, type=int)
    parser.add_argument("--user")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    server = subprocess.Popen(
        options.command,
        cwd=options.folder,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=die_with_the_keeper,  # noqa: PLW1509  (no other thread has begun yet)
        **somebody_else(options.user),
    )
    print(server.pid, flush=True)
    left_alone = threading.Event()

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # a thread inside a buffered read would not let this process end
        left_alone.set()
        end(server, options.end)
        shutil.rmtree(options.folder, ignore_errors=True)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    code = server.wait()
    if left_alone.is_set():
        watching.join()
    return code


if __name__ == "__main__":
    sys.exit(main())
