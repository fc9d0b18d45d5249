"""Which file a run was started from, so that `ropewalk runs answer RUN ...` need not be told.

To go on with a run is to execute the file that drew its graph, so this must never come from a store, which may be
shared or a stranger's. It is kept in the working directory of the person who typed `ropewalk run`, in
``.ropewalk/graphs.jsonl``, one line a run. A file that others may write to, or that belongs to somebody else, is not
believed.
"""

import json
import os
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from ropewalk.cli.shown import holds_secret
from ropewalk.cli.trouble import Trouble

FOLDER = Path(".ropewalk")
_NAME = "graphs.jsonl"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """What `ropewalk run` knew about a run."""

    run_id: str
    graph: str
    """FILE:graph, the file with its whole path."""
    store: str | None
    """URL; None where it holds a password or is the graph's own."""


def remember(run_id: str, graph: str, store: str | None) -> None:
    """Note it in this folder, behind what was noted before. A folder that cannot be written to is no reason to fail."""
    shown = store if store and not holds_secret(store) else None
    line = json.dumps(asdict(Remembered(run_id=run_id, graph=graph, store=shown))) + "\n"
    with suppress(OSError):
        own_folder()
        file = os.open(FOLDER / _NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line.encode())  # one write: two processes do not mix their lines
        finally:
            os.close(file)


def recall(run_id: str) -> Remembered | None:
    """Return what this folder knows of the run. Raises `Trouble` for a file that cannot be believed."""
    path = FOLDER / _NAME
    try:
        about = path.stat()
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    if hasattr(os, "geteuid") and (about.st_uid != os.geteuid() or about.st_mode & _WRITABLE_BY_OTHERS):
        raise Trouble(
            f"{path} is not believed: it names the files that commands execute.",
            why="It belongs to somebody else, or others may write to it.",
            do=f"If it is yours: chmod go-w {path}. If not, remove it; then name the file: --graph FILE:graph",
        )
    for line in reversed(lines):
        if run_id in line and (found := _read(line)) is not None and found.run_id == run_id:
            return found
    return None


def own_folder() -> Path:
    """Make the folder for what Ropewalk keeps here, and keep it out of version control."""
    if not FOLDER.is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), (FOLDER / ".gitignore").open("x", encoding="utf-8") as file:
            file.write("*\n")
    return FOLDER


def _read(line: str) -> Remembered | None:
    try:
        parsed: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(parsed, dict):
        return None
    values = cast("dict[str, Any]", parsed)
    run_id, graph, store = values.get("run_id"), values.get("graph"), values.get("store")
    if not isinstance(run_id, str) or not isinstance(graph, str):
        return None
    return Remembered(run_id=run_id, graph=graph, store=store if isinstance(store, str) else None)
