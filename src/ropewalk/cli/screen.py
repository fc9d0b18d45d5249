"""What a command prints: lines that stay, text as it comes, and on a terminal a few lines at the bottom that change.

Without a terminal it is plain text without colours, cursor movements or half lines; with ``--json`` one object a line.
"""

import io
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}


def printable(text: str) -> str:
    """Return ``text`` without what would steer a terminal: stored data and tokens are anybody's."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(value: Any, limit: int = 160) -> str:
    """Return a value as short text on one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = printable(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def cut(line: str, limit: int) -> str:
    """Return a line that is kept as it is laid out, without what would steer a terminal, and not too long."""
    line = printable(line)
    return line if len(line) <= limit else line[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


class Screen:
    """Standard output, for people or for programs."""

    def __init__(
        self, *, as_json: bool = False, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._out: TextIO = stream or sys.stdout
        reconfigure: Any = getattr(self._out, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")  # a terminal without Unicode shows ? and does not fail
        self.as_json = as_json
        self.is_live = not as_json and self._out.isatty() and environ.get("TERM") != "dumb"
        """A terminal: lines at the bottom may change."""
        self._coloured = self.is_live and not environ.get("NO_COLOR")
        self._bottom: list[str] = []
        self._shown = 0
        self._open = False
        """The newest line has no end yet."""
        self._lock = threading.RLock()

    def paint(self, text: str, *styles: str) -> str:
        if not self._coloured or not styles or not text:
            return text
        return f"\033[{';'.join(_STYLES[style] for style in styles)}m{text}\033[0m"

    def record(self, data: Mapping[str, Any]) -> None:
        """Print one object as a line of JSON."""
        with self._lock:
            self._out.write(json.dumps(data, ensure_ascii=False) + "\n")
            self._out.flush()

    def line(self, text: str = "") -> None:
        """Print a line that stays; nothing with ``--json``."""
        if self.as_json:
            return
        with self._lock:
            self._clear()
            self._out.write(("\n" if self._open else "") + text + "\n")
            self._open = False
            self._draw()

    def text(self, text: str) -> None:
        """Print a piece of a line that goes on with the next piece."""
        if self.as_json or not text:
            return
        with self._lock:
            self._clear()
            self._out.write(text)
            self._open = not text.endswith("\n")
            self._draw()

    def end_line(self) -> None:
        """End the line that `text` has begun."""
        if self._open:
            self.text("\n")

    def bottom(self, lines: Sequence[str]) -> None:
        """Replace the lines at the bottom of a terminal; nothing elsewhere."""
        if not self.is_live:
            return
        with self._lock:
            self._clear()
            self._bottom = [*lines]
            self._draw()

    def _clear(self) -> None:
        if self._shown:
            up = f"\033[{self._shown - 1}A" if self._shown > 1 else ""
            self._out.write(f"\r{up}\033[J")
            self._shown = 0

    def _draw(self) -> None:
        if self._bottom and not self._open:
            size = shutil.get_terminal_size()
            lines = [_cut(line, size.columns - 1) for line in self._bottom[: max(1, size.lines - 1)]]
            self._out.write("\n".join(lines))
            self._shown = len(lines)
        self._out.flush()

    def output_of_nodes(self) -> "TextIO | _Above":
        """Return what takes the place of `sys.stdout` while nodes run, so that their prints spoil nothing."""
        return sys.stderr if self.as_json else _Above(self)


class _Above(io.TextIOBase):
    """Prints above the lines that change."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def write(self, text: str, /) -> int:
        self._screen.text(text)
        return len(text)

    def writable(self) -> bool:
        return True


def _cut(line: str, columns: int) -> str:
    """Cut a line, colours left out of the count, so that it never wraps."""
    room, parts = columns, list[str]()
    for part in re.split(r"(\033\[[\d;]*m)", line):
        if part.startswith("\033["):
            parts.append(part)
            continue
        parts.append(part[:room])
        room -= len(parts[-1])
    return "".join(parts)
