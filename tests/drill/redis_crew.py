"""Processes that use Redis, and what happens to them: killed and replaced, frozen and thawed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from tests.drill import redis_victim
from tests.drill.crew import Fault

import ropewalk


class Effect(NamedTuple):
    """A line that a process wrote."""

    at: float
    """By time.monotonic(), which all processes share."""
    pid: int
    what: str
    number: int


class Member:
    def __init__(self, trade: Sequence[str]) -> None:
        self.trade = trade
        self.frozen: Fault | None = None
        source = str(Path(ropewalk.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, redis_victim.__file__, *trade], env=os.environ | {"PYTHONPATH": source}
        )


class RedisCrew:
    """So many processes at any time; each trade is a line of arguments for redis_victim.py."""

    def __init__(self, trades: Sequence[Sequence[str]]) -> None:
        self.faults: list[Fault] = []
        self.members = [Member(trade) for trade in trades]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.process.send_signal(signal.SIGCONT)
            member.process.kill()
            member.process.wait()

    def strike(self, dice: random.Random, kinds: Sequence[str]) -> None:
        """Let something happen to one who is well."""
        well = [member for member in self.members if member.frozen is None and member.process.poll() is None]
        if not well:
            return
        member, kind = dice.choice(well), dice.choice(kinds)
        fault = Fault(kind=kind, pid=member.process.pid, began=time.monotonic())
        self.faults.append(fault)
        if kind == "killed":
            member.process.kill()
            member.process.wait()
            fault.ended = time.monotonic()
        else:
            member.process.send_signal(signal.SIGSTOP)
            member.frozen = fault

    def tend(self, frozen_seconds: float) -> None:
        """Thaw who was frozen for so long, and replace who is dead."""
        for place, member in enumerate(self.members):
            if member.frozen is not None and time.monotonic() - member.frozen.began >= frozen_seconds:
                member.process.send_signal(signal.SIGCONT)
                member.frozen.ended, member.frozen = time.monotonic(), None
            if member.process.poll() is not None:
                self.members[place] = Member(member.trade)

    def wait(self, seconds: float) -> None:
        """Wait for all to end by themselves."""
        for member in self.members:
            member.process.wait(seconds)


def effects(path: Path) -> list[Effect]:
    """Return what the processes wrote, in the order of time."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    words = [line.split() for line in lines]
    return sorted(Effect(int(at) / 1e9, int(pid), what, int(number)) for at, pid, what, number in words)
