"""Let a case's contestants repeat in turns, each in a process of its own.

Turns matter: a shared machine drifts, and contestants that follow each other within a second drift together. A round is
one turn of everybody; ratios are taken within a round.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.case import Case, Contestant
from benchmarks.measure import Costs
from benchmarks.servers import ServerNotThere, served

ROOT = Path(__file__).resolve().parent.parent


@dataclass(kw_only=True, slots=True)
class Record:
    """What one contestant did: its costs by round, or why it did not run."""

    contestant: Contestant
    rounds: list[Costs | None] = field(default_factory=list[Costs | None])
    version: str | None = None
    not_run: str | None = None
    trace: str = ""


def hold(case: Case, *, quick: bool, peers: bool, bytecode: Path) -> list[Record]:
    """Run every contestant of the case in turns; return their records in the case's order.

    ``bytecode`` is a folder that keeps compiled modules from one case to the next: nobody is measured compiling.
    """
    chosen = [contestant for contestant in case.contestants if peers or contestant.role != "peer"]
    try:
        return _held(case, chosen, rounds=case.quick_rounds if quick else case.rounds, bytecode=bytecode)
    except ServerNotThere as missing:
        return [Record(contestant=contestant, not_run=str(missing)) for contestant in chosen]


def interpreter(contestant: Contestant) -> str:
    """The interpreter in whose environment a contestant is installed."""
    if contestant.role != "peer":
        return sys.executable
    variable = f"ROPEWALK_{contestant.environment.upper().replace('-', '_')}_PYTHON"
    return os.environ.get(variable) or sys.executable


def _held(case: Case, chosen: list[Contestant], *, rounds: int, bytecode: Path) -> list[Record]:
    entrants: list[_Entrant] = []
    with served(case.server) as given, tempfile.TemporaryDirectory(prefix="ropewalk-bench-") as scratch:
        try:
            for contestant in chosen:
                entrant = _Entrant(contestant, given, case.repetition_timeout_seconds, Path(scratch), bytecode)
                entrants.append(entrant)
                entrant.prepare(warm_up=case.warm_up)
            for round_number in range(rounds):
                for entrant in entrants:
                    due = round_number % entrant.record.contestant.every == 0
                    entrant.record.rounds.append(entrant.repeat() if due else None)
        finally:
            for entrant in entrants:
                entrant.close()
    return [entrant.record for entrant in entrants]


class _Entrant:
    """The parent's end of one `worker.py` process."""

    def __init__(
        self, contestant: Contestant, given: dict[str, str], timeout_seconds: float, scratch: Path, bytecode: Path
    ) -> None:
        self.record = Record(contestant=contestant)
        self._timeout_seconds = timeout_seconds
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  (closed in close)
        self._process = subprocess.Popen(
            [
                interpreter(contestant),
                *("-m", "benchmarks.worker", contestant.does, json.dumps({**contestant.arguments, **given})),
                contestant.distribution or "",
            ],
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
                "PYTHONPYCACHEPREFIX": str(bytecode),
                "PYTHONHASHSEED": "0",
                "TMPDIR": str(scratch),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def prepare(self, *, warm_up: bool) -> None:
        self.record.version = self._answer().get("version")
        if warm_up:
            self.repeat()

    def repeat(self) -> Costs | None:
        if self.record.not_run is not None:
            return None
        _wait_for_a_quiet_moment()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("again\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._give_up("died between two repetitions")
            return None
        return self._answer().get("costs")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], self._timeout_seconds)
        if not readable:
            self._give_up(f"took longer than {self._timeout_seconds:.0f} s")
            return {}
        line = self._process.stdout.readline()
        if not line:
            self._give_up(f"died with exit code {self._process.wait()}")
            return {}
        answer = json.loads(line)
        if "not_run" in answer:
            self._give_up(answer["not_run"])
        return answer

    def _give_up(self, why: str) -> None:
        self.record.not_run = why
        self._process.kill()
        self._errors.seek(0)
        self.record.trace = self._errors.read()[-4000:]


def _wait_for_a_quiet_moment(*, idle_share: float = 0.45, patience_seconds: float = 3.0) -> None:
    """Wait, within bounds, until others leave room: a repetition that shares a core measures the sharing."""
    deadline = time.monotonic() + patience_seconds
    before = _cpu_ticks()
    while before is not None and time.monotonic() < deadline:
        time.sleep(0.1)
        after = _cpu_ticks()
        if after is None:
            return
        idle, total = after[0] - before[0], after[1] - before[1]
        if total > 0 and idle / total >= idle_share:
            return
        before = after


def _cpu_ticks() -> tuple[int, int] | None:
    """(idle, all) ticks since boot; None where /proc is missing."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    except OSError:
        return None
    ticks = [int(word) for word in first.split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)
