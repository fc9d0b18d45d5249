"""The workers of the drill, and what happens to them: killed, frozen past their lease, cut from the database."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

from tests.drill import labour
from tests.drill.line import Line

KINDS = ("killed", "frozen", "cut", "silenced")


@dataclass(kw_only=True, slots=True)
class Fault:
    """Something that happened to a worker; `pid` 0 stands for all: the database was restarted."""

    kind: str
    pid: int
    began: float
    ended: float = inf


class Hand:
    """One worker process and its line to the database."""

    def __init__(self, url: str, *, concurrency: int, lease: float, environment: dict[str, str], log: Path) -> None:
        self.line = Line(url)
        self.fault: Fault | None = None
        """What is happening to it now."""
        self.log = log
        command = ["worker", f"{labour.__file__}:graph", "--store", self.line.url]
        command += ["--concurrency", str(concurrency), "--lease", str(lease)]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ropewalk.cli", *command],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def suffer(self, kind: str) -> Fault:
        fault = Fault(kind=kind, pid=self.pid, began=time.time())
        match kind:
            case "killed":
                self.process.kill()
                self.process.wait()
                self.line.close()
                fault.ended = time.time()
            case "frozen":
                self.process.send_signal(signal.SIGSTOP)
                self.fault = fault
            case "cut":
                self.line.cut()
                self.fault = fault
            case "silenced":
                self.line.silence()
                self.fault = fault
        return fault

    def recover(self) -> None:
        if self.fault is None:
            return
        if self.fault.kind == "frozen":
            self.process.send_signal(signal.SIGCONT)
        else:
            self.line.mend()
        self.fault.ended, self.fault = time.time(), None

    @property
    def is_ready(self) -> bool:
        """Whether it serves: a signal before that ends it like any other process."""
        return b" serves " in self.log.read_bytes()

    def gone(self, seconds: float) -> int | None:
        """Wait until it has ended; return its exit code, None when it had to be killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.end()

    def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.line.close()


class Crew:
    """So many workers at any time: who died is followed by another."""

    def __init__(
        self, url: str, *, workers: int, concurrency: int, lease: float, environment: dict[str, str], folder: Path
    ) -> None:
        self._url, self._concurrency, self._lease = url, concurrency, lease
        self._environment, self._folder = environment, folder
        self.faults: list[Fault] = []
        self.deaths: list[str] = []
        """Workers that ended by themselves, and what they wrote last."""
        self._hired = 0
        self.hands = [self._hire() for _ in range(workers)]

    def strike(self, dice: random.Random) -> None:
        """Let something happen to one who is well."""
        well = [hand for hand in self.hands if hand.fault is None]
        if not well:
            return
        hand = dice.choice(well)
        self.faults.append(hand.suffer(dice.choice(KINDS)))

    def tend(self) -> None:
        """End what has lasted long past a lease; replace who is dead."""
        for place, hand in enumerate(self.hands):
            if hand.fault is not None and time.time() - hand.fault.began > 1.6 * self._lease:
                hand.recover()
            if not hand.is_alive:
                if not any(fault.kind == "killed" and fault.pid == hand.pid for fault in self.faults):
                    self._mourn(hand)
                self.hands[place] = self._hire()

    def dismiss(self, seconds: float) -> list[int | None]:
        """Let all drain at once; return their exit codes."""
        self.tend()
        until = time.monotonic() + seconds
        for hand in self.hands:
            hand.recover()
            while hand.is_alive and not hand.is_ready and time.monotonic() < until:
                time.sleep(0.05)
            hand.process.terminate()
        return [hand.gone(max(0.0, until - time.monotonic())) for hand in self.hands]

    def close(self) -> None:
        for hand in self.hands:
            hand.end()

    def _hire(self) -> Hand:
        self._hired += 1
        return Hand(
            self._url,
            concurrency=self._concurrency,
            lease=self._lease,
            environment=self._environment,
            log=self._folder / f"worker_{self._hired}.log",
        )

    def _mourn(self, hand: Hand) -> None:
        lines = hand.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        self.deaths.append(f"worker {hand.pid} exited with {hand.process.returncode}: {lines[-1] if lines else ''}")
        self.faults.append(Fault(kind="died", pid=hand.pid, began=0.0, ended=time.time()))
        hand.line.close()
