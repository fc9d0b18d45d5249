"""Programs beside a contestant: pods and workers, each in a process of its own, which dies with the contestant."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.servers.keeper import die_with_the_keeper

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """A process that says one line of JSON when it is ready; ``told`` is what it said."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_the_keeper,  # noqa: PLW1509  (no other thread has begun yet)
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{command} did not start")
        self.told: dict[str, str] = json.loads(line)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of a program that said its URL."""
        host, port = self.told["url"].removeprefix("http://").split(":")
        return host, int(port)

    @property
    def cpu_seconds(self) -> float:
        """What the process has used so far, in the kernel too."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / _TICKS

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def cpu_of(programs: tuple[Program, ...]) -> float:
    return sum(program.cpu_seconds for program in programs)
