"""`ropewalk new`: writes a small project that runs at once."""

import argparse
from importlib import resources
from pathlib import Path

from ropewalk.cli.opening import program
from ropewalk.cli.screen import Screen
from ropewalk.cli.trouble import DONE, Trouble

_FILES = {"flow.py": "flow.py.txt", "pyproject.toml": "pyproject.toml.txt", ".gitignore": "gitignore.txt"}


def new(options: argparse.Namespace) -> int:
    """Do `ropewalk new`."""
    folder = Path(options.folder)
    there = [name for name in _FILES if (folder / name).exists()]
    if there:
        raise Trouble(
            f"{folder} has {', '.join(there)} already, and nothing is overwritten.",
            do="Name a folder that is new: ropewalk new DIR",
            code="exists",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in _FILES.items():
            (folder / name).write_text(_text(source, folder), encoding="utf-8")
    except OSError as error:
        raise Trouble(
            f"{folder} cannot be written to: {error.strerror}.", do="Name another folder.", code="os_error"
        ) from error
    screen = Screen(as_json=options.json)
    if screen.as_json:
        screen.record({"folder": str(folder.resolve()), "files": list(_FILES)})
    enter = "" if folder.resolve() == Path.cwd() else f"  cd {options.folder}\n"
    screen.line(
        f"Written: {', '.join(str(folder / name) for name in _FILES)}\n\nNow:\n{enter}  {program()} run flow.py"
    )
    return DONE


def _text(source: str, folder: Path) -> str:
    text = resources.files("ropewalk.cli").joinpath("template", source).read_text(encoding="utf-8")
    name = "".join(
        letter if letter.isascii() and letter.isalnum() else "-" for letter in folder.resolve().name.lower()
    ).strip("-")
    return text.replace("PROJECT", name or "flow")
