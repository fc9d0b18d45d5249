"""Shows the workflow at work: a line for each document, text as it is written, and what is in flight below."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ropewalk import Event
from ropewalk.cli.screen import Screen, one_line, printable

from .calling import Calls

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Progress:
    """Turns the run's events into lines on the screen."""

    def __init__(self, screen: Screen, files: tuple[str, ...], read: int) -> None:
        """``files`` and ``read``: what the run knew and had done when we began to look."""
        self._screen = screen
        self._files = files
        self._read = read
        self._running: dict[str, float] = {}
        self._calls = Calls(screen)
        self._ticks = 0

    def tell(self, event: Event) -> None:
        match event.type:
            case "step_started":
                self._running[event.data["step"]] = time.monotonic()
            case "text":
                self._screen.text(printable(event.data["text"]))
            case "step_finished":
                self._over(event.data["step"])
                self._finished(event)
            case "step_failed":
                self._over(event.data["step"])
                why = f"{event.data['error']}: {one_line(event.data['message'])}"
                self._done("✗", "red", str(event.node), why)
            case "paused":
                self._over(event.data["step"])
            case "reset":
                self._running.clear()
                self._calls.forget()
            case _ if self._calls.tell(event):
                self._show()
            case _:
                pass

    def tick(self) -> None:
        self._ticks += 1
        self._show()

    def _over(self, step: str) -> None:
        self._running.pop(step, None)
        self._show()

    def _show(self) -> None:
        """Show the steps in flight, and how far the reading is."""
        spin = self._screen.paint(_SPINNER[self._ticks % len(_SPINNER)], "blue")
        lines = [f"{spin} {self._name(step)}" for step in self._running if not step.startswith(("write", "clerk"))]
        lines += [f"{spin} {line}" for line in self._calls.lines]
        if lines and self._files and self._read < len(self._files):
            lines.append(self._screen.paint(f"  {self._read} of {len(self._files)} documents", "dim"))
        self._screen.bottom(lines)

    def end(self) -> None:
        self._running.clear()
        self._calls.forget()
        self._screen.bottom(())
        self._screen.end_line()

    def _finished(self, event: Event) -> None:
        node, writes = event.node, {field: value for field, _, value in event.data.get("writes", ())}
        if node == "find":
            self._files = tuple(writes["files"])
            self._done("✓", "green", "find", f"{len(self._files)} files")
        elif node == "read":
            self._read += 1
            self._done("✓", "green", "read", f"{_file(writes['documents']):<28} {_about(writes['documents'])}")
        elif node in {"invoices", "letters", "minutes", "reports", "others", "unreadable"}:
            count = len(writes["sections"]["lines"])
            self._done("✓", "green", str(node), f"{count} line{'' if count == 1 else 's'} for the digest")
        elif node == "sort":
            self._done("✓", "green", "sort", _telling(writes.get("documents", ())))
        elif node == "write":
            self._screen.end_line()
            self._done("✓", "green", "write", _shown(writes["draft"]))
        elif node == "publish":
            self._done("✓", "green", "publish", _shown(writes["published"]))
        else:
            self._done("✓", "green", str(node), "")

    def _done(self, sign: str, colour: str, node: str, what: str) -> None:
        head = self._screen.paint(sign, colour)
        self._screen.line(f"{head} {node:<11} {printable(what)}".rstrip())

    def _name(self, step: str) -> str:
        """Return ``read  invoice.txt`` for ``read#1[2]``."""
        node, _, index = step.partition("#1[")
        number = index.rstrip("]")
        known = number.isdecimal() and int(number) < len(self._files)
        return f"{node.partition('#')[0]:<11} {printable(self._files[int(number)]) if known else ''}".rstrip()


def _file(document: dict[str, Any]) -> str:
    return str(document["file"])


def _about(document: dict[str, Any]) -> str:
    """Return what was found in a document, in a few words."""
    if document["kind"] == "unreadable":
        return str(document["remark"])
    parts = [f"{document['kind']}, {document['language']}, {document['words']} words"]
    parts += [f"{len(document['duties'])} to see to"] if document["duties"] else []
    parts += ["adds up wrongly"] if document["lines_make"] else []
    parts += ["not UTF-8"] if document["remark"] else []
    return ", ".join(parts)


def _telling(changed: Sequence[dict[str, Any]]) -> str:
    """Return what came of sorting; where no document was changed, nothing was written."""
    told = sum(bool(document["keywords"]) for document in changed)
    if not told:
        return "no document has telling words"
    return f"telling words of {told} document{'' if told == 1 else 's'}"


def _shown(path: str) -> str:
    """Return a path as it is shortest from here."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
