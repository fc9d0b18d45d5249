"""Help comes at once, and teaches."""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from ropewalk.cli import parser

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 0.5


def words(above: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for action in above._actions:
        if type(action).__name__ == "_SubParsersAction":
            for name, below in cast("dict[str, argparse.ArgumentParser]", action.choices).items():
                yield from words(below, (*path, name))


def processor_seconds() -> float:
    """Return what all child processes so far have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("command", list(words(parser())), ids=lambda command: " ".join(("ropewalk", *command)))
def test_help_comes_at_once_and_teaches_by_example(command: tuple[str, ...], tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "120"}
    waited: list[float] = []
    worked: list[float] = []
    text = ""
    while len(waited) < 3 and min(waited, default=1.0) > LONGEST_SECONDS:  # a busy machine is given a second chance
        began, work = time.perf_counter(), processor_seconds()
        ran = subprocess.run(
            [sys.executable, "-m", "ropewalk.cli", *command, "--help"],
            env=environ,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        waited.append(time.perf_counter() - began)
        worked.append(processor_seconds() - work)
        text = ran.stdout
    if min(waited) >= LONGEST_SECONDS:  # others had the processor: then it must not have waited for anything else
        assert min(worked) < LONGEST_SECONDS
        assert min(waited) < 10 * LONGEST_SECONDS
    assert "examples:" in text
    assert "exit codes" in text
    assert "\033" not in text


def test_help_loads_neither_a_driver_nor_what_does_the_work() -> None:
    script = "import sys; from ropewalk.cli import parser; parser().format_help(); print(*sys.modules)"
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run([sys.executable, "-c", script], env=environ, check=True, capture_output=True, text=True)
    loaded = ran.stdout.split()
    assert "sqlite3" not in loaded
    assert not [
        name for name in loaded if name.startswith("ropewalk.cli.") and name.endswith((".run", ".look", ".load"))
    ]
