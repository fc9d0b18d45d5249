"""Starts `./dev run`, types, kills, and looks at what it left behind: for the tests of the demo."""

import asyncio
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ropewalk.runtime import Entry, RunRecord, open_store, read_log

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "-u", "-m", "examples.documents"]
TEXTS = 14


def environ() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))), "TERM": "xterm"}


def demo(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the demo without a terminal; ``more`` is for its environment."""
    return subprocess.run(
        [*DEMO, "--pace", "0.01", *arguments],
        cwd=folder,
        env=environ() | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=19,
        check=False,
    )


def ropewalk(folder: Path, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "ropewalk.cli", *arguments]
    ran = subprocess.run(command, cwd=folder, env=environ(), capture_output=True, text=True, check=False)
    assert ran.returncode == code, ran.stderr
    return ran.stdout


def answers(said: str) -> list[list[str]]:
    """Return the commands by which the demo says that it can be answered, without the program's name."""
    lines = [line for line in said.splitlines() if " answer: " in line]
    return [shlex.split("runs " + line.partition(" runs ")[2].partition("    (")[0]) for line in lines]


def runs(folder: Path) -> list[RunRecord]:
    """Return the records of the folder's store, newest first."""

    async def whole() -> list[RunRecord]:
        store = open_store(f"sqlite:///{folder}/.ropewalk/runs.db")
        try:
            return await store.runs()
        finally:
            await store.close()

    return asyncio.run(whole())


def log(folder: Path, run_id: str) -> list[Entry]:
    async def whole() -> list[Entry]:
        store = open_store(f"sqlite:///{folder}/.ropewalk/runs.db")
        try:
            return await read_log(store, run_id)
        finally:
            await store.close()

    return asyncio.run(whole())


def stopped_when(folder: Path, words: str, how: signal.Signals, *arguments: str, times: int = 1) -> int:
    """Start the demo and stop it as soon as it has said ``words`` so many times; return its exit code."""
    command = [*DEMO, "--pace", "0.05", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environ(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said = ""
        while len(re.findall(words, said)) < times:
            piece = os.read(process.stdout.fileno(), 4096).decode("utf-8", "replace")
            assert piece, f"it ended before it said {words!r}:\n{said}"
            said += piece
        process.send_signal(how)
        process.stdout.read()
        return process.wait(15)


def at_a_terminal(folder: Path, typed: Sequence[tuple[bytes, bytes]], *arguments: str) -> tuple[str, int]:
    """Run the demo at a terminal and type when it asks: (question, answer), in turn.

    Return what was on the screen, and the exit code.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(sys.executable, [*DEMO, "--pace", "0.02", *arguments], environ())
    seen, fresh, left = b"", b"", list(typed)
    deadline = time.monotonic() + 17
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            if (
                left and left[0][1] == b"\x03" and left[0][0] in fresh
            ):  # just before the read a signal is not seen by it
                os.write(terminal, b"\x03")
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end has closed
            break
        if not piece:
            break
        seen, fresh = seen + piece, fresh + piece
        if left and left[0][0] in fresh and left[0][1] != b"\x03":
            os.write(terminal, left.pop(0)[1])
            fresh = b""
    else:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return seen.decode("utf-8", "replace"), os.waitstatus_to_exitcode(status)
