"""What the workflow asks a person: in words at a terminal, or as the commands that answer it."""

import sys
from pathlib import Path
from shlex import quote
from shutil import which
from typing import Any

from ropewalk import Pause
from ropewalk.cli.screen import Screen, printable

Answer = bool | dict[str, Any]


def question_of(pause: Pause) -> str:
    """Return what a person is asked."""
    return "Publish this answer?" if is_call(pause) else "Publish this digest?"


def is_call(pause: Pause) -> bool:
    """Tell whether it is a call of the clerk that waits, and not the digest."""
    return pause.kind == "approval"


def show(pause: Pause, screen: Screen) -> None:
    """Show what is to be published: the digest lies in a file, the answer is in the call."""
    if is_call(pause):
        arguments = pause.payload["arguments"]
        screen.line(f"\n{screen.paint('The clerk', 'bold')} wants to publish this answer:")
        for line in printable(str(arguments.get("answer", ""))).splitlines():
            screen.line(f"  | {line}".rstrip())
    else:
        screen.line(f"\n{screen.paint('The digest', 'bold')} is in {shown(pause.payload['draft'])}")


def asked(pause: Pause, screen: Screen) -> Answer | None:
    """Ask the person at the terminal; None: nobody is there, or not now."""
    show(pause, screen)
    hint = "y/n, n and why, Enter: decide later" if is_call(pause) else "y/n, Enter: decide later"
    while True:
        try:
            typed = input(f"{screen.paint(question_of(pause), 'bold')} [{hint}] ").strip()
        except EOFError:
            return None
        word, _, why = typed.partition(" ")
        if not word:
            return None
        if word.lower().rstrip(",:") in {"n", "no"} and why and is_call(pause):
            return {"approve": False, "reason": why.strip()}
        if word.lower() in {"y", "yes", "n", "no"} and not why:
            return word.lower().startswith("y")


def how_to_answer(pause: Pause, run_id: str) -> str:
    """Return the command that answers, and what it may say instead."""
    if is_call(pause):
        return f'{command("answer", run_id, f"{pause.id} --approve")}    (or --reject "why")'
    return f"{command('answer', run_id, f'{pause.id} yes')}    (or no)"


def command(verb: str, run_id: str, rest: str = "") -> str:
    """Return a command that works in this folder, however this one was started."""
    here = Path(".dev/bin/ropewalk")
    program = str(here) if here.exists() else "ropewalk" if which("ropewalk") else "python -m ropewalk.cli"
    return f"{program} runs {verb} {quote(run_id)}{rest and ' '}{rest}"


def shown(path: str | Path) -> str:
    """Return a path as it is shortest from here."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def somebody_is_there() -> bool:
    """Tell whether there is a terminal to ask at."""
    return sys.stdin.isatty() and sys.stdout.isatty()
