"""Finds the Python files of a folder in which graphs may be drawn, and notices when one of them changes."""

import os
from collections.abc import Iterator
from pathlib import Path

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"})
_MOST_FILES = 5_000

Seen = dict[Path, tuple[int, int]]
"""File -> when it was written, and its size."""


def python_files(place: Path) -> Iterator[Path]:
    """Yield the Python files of a folder, or of the folder that a file is in: none of hidden or virtual places."""
    left = _MOST_FILES
    for folder, below, names in os.walk(place if place.is_dir() else place.parent):
        below[:] = sorted(name for name in below if not _is_skipped(Path(folder, name)))
        for name in sorted(names):
            if name.endswith(".py") and left:
                left -= 1
                yield Path(folder, name)


def _is_skipped(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()


def candidates(place: Path) -> list[Path]:
    """Return the files that may draw a graph: the one that was named, or those that speak of it and are no tests."""
    if place.is_file():
        return [place]
    return [file for file in python_files(place) if not _is_a_test(file) and _speaks_of_graphs(file)]


def _is_a_test(file: Path) -> bool:
    return file.name.startswith("test_") or file.name == "conftest.py"


def _speaks_of_graphs(file: Path) -> bool:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "ropewalk" in text and "Graph" in text


def seen(place: Path) -> Seen:
    """Return what tells whether anything was written since."""
    found: Seen = {}
    for file in python_files(place):
        try:
            told = file.stat()
        except OSError:
            continue
        found[file] = (told.st_mtime_ns, told.st_size)
    return found
