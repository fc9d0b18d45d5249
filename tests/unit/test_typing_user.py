"""The program that the type checker is shown does what it says: types of a thing that does not run prove nothing."""

import asyncio
import runpy
from pathlib import Path

PROGRAM = Path(__file__).with_name("typing_user.py")


def test_what_the_type_checker_is_shown_runs() -> None:
    told = asyncio.run(runpy.run_path(str(PROGRAM))["main"]())
    assert told[0] == "run_started"
    assert told[-4:] == ["0. Riga", "1. Oslo", "Dear all", "paid 250"]
