"""Pods and workers as processes of their own, over real servers."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
APP = Path(__file__).with_name("app.py")


class Process:
    """One `ropewalk` command, or a stranger's program."""

    def __init__(self, arguments: Sequence[str], environ: dict[str, str], log: Path) -> None:
        self.arguments = [*arguments]
        self.log = log
        with log.open("ab") as errors:
            self.child = subprocess.Popen(
                self.arguments, stdout=subprocess.PIPE, stderr=errors, env=environ, cwd=ROOT, start_new_session=True
            )
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        assert line, f"{arguments} did not start:\n{log.read_text()[-3000:]}"
        self.told: dict[str, Any] = json.loads(line)

    @property
    def url(self) -> str:
        return self.told["url"] if "url" in self.told else f"http://127.0.0.1:{self.told['port']}"

    def kill(self, number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, number)

    def end(self) -> None:
        """Stop it in order; by force when that takes too long."""
        self.kill(signal.SIGCONT)
        self.kill(signal.SIGTERM)
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            self.child.wait(10)
        if self.child.stdout is not None:
            self.child.stdout.close()


class Crew:
    """The processes of one test."""

    def __init__(self, folder: Path, *, store: str, bus: str, sessions: str) -> None:
        self.processes: list[Process] = []
        self._folder = folder
        self._parts = ["--store", store, "--bus", bus, "--sessions", sessions]
        self._environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        self._environ |= {"PYTHONDONTWRITEBYTECODE": "1"}

    def pod(self, name: str, *more: str, graphs: Sequence[str] = (), **environ: str) -> Process:
        served = [f"{APP}:{graph}" for graph in graphs] or [f"{APP}:chat"]
        command = ["gateway", *served, "--port", "0", "--pod-id", name, "--json", *self._parts, *more]
        return self.start(name, command, **environ)

    def worker(self, name: str, *more: str, graphs: Sequence[str] = (), **environ: str) -> Process:
        served = [f"{APP}:{graph}" for graph in graphs] or [f"{APP}:chat"]
        return self.start(name, ["worker", *served, "--json", *self._parts, *more], **environ)

    def start(self, name: str, command: Sequence[str], **environ: str) -> Process:
        """Start a `ropewalk` command; it has said that it is ready."""
        arguments = [sys.executable, "-m", "ropewalk.cli", *command]
        return self.add(Process(arguments, self._environ | environ, self._folder / f"{name}.log"))

    def run(self, command: Sequence[str], **environ: str) -> tuple[int, Any]:
        """Run a `ropewalk` command to its end; return its exit code and what it told, as JSON."""
        code, told = self.said(command, **environ)
        return code, json.loads(told)

    def said(self, command: Sequence[str], **environ: str) -> tuple[int, str]:
        """Do the same; return what it told as it is."""
        arguments = [sys.executable, "-m", "ropewalk.cli", *command]
        done = subprocess.run(
            arguments, capture_output=True, env=self._environ | environ, cwd=self._folder, check=False, timeout=30
        )
        return done.returncode, (done.stdout or done.stderr).decode()

    def stranger(self, program: str, **environ: str) -> Process:
        file = Path(__file__).parent / "strangers" / program
        arguments = [sys.executable, str(file)]
        return self.add(Process(arguments, self._environ | environ, self._folder / f"{program}.log"))

    def add(self, process: Process) -> Process:
        self.processes.append(process)
        return process

    def logs(self) -> str:
        return "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self._folder.glob("*.log")))


@contextlib.contextmanager
def crew(folder: Path, *, store: str, bus: str, sessions: str) -> Iterator[Crew]:
    """Yield a crew; end all of it."""
    made = Crew(folder, store=store, bus=bus, sessions=sessions)
    try:
        yield made
    finally:
        for process in reversed(made.processes):
            process.end()
        print(made.logs())  # shown with a test that failed
