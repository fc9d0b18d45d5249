"""What a function's docstring says: what the function does, and what each of its parameters is."""

import inspect
import re
from collections.abc import Callable
from typing import Any

_SECTION = re.compile(r"^(args|arguments|parameters|params)\s*:\s*$", re.IGNORECASE)
_NAMED = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_SPHINX = re.compile(r"^:(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_NUMPY = re.compile(r"^(\w+)\s*(?::.*)?$")


def summary_of(fn: Callable[..., Any]) -> str:
    """Return the first paragraph of the docstring on one line; empty without one."""
    doc = inspect.getdoc(fn) or ""
    return " ".join(doc.split("\n\n", 1)[0].split())


def parameters_in(fn: Callable[..., Any]) -> dict[str, str]:
    """Return parameter -> description: of an ``Args:`` section, of ``:param name:`` lines, or as numpy writes it."""
    lines = (inspect.getdoc(fn) or "").splitlines()
    found: dict[str, str] = {}
    for start, line in enumerate(lines):
        if _SECTION.match(line.strip()):
            found |= _section(lines[start + 1 :], _indent(line))
        elif line.strip().lower() == "parameters" and lines[start + 1 : start + 2] and set(lines[start + 1]) <= {"-"}:
            found |= _numpy_section(lines[start + 2 :])
        elif named := _SPHINX.match(line.strip()):
            found[named[1]] = _joined([named[2], *_deeper(lines[start + 1 :], _indent(line))])
    return found


def _section(lines: list[str], outer: int) -> dict[str, str]:
    body = _deeper(lines, outer)
    level = min((_indent(line) for line in body if line.strip()), default=0)
    found: dict[str, str] = {}
    for start, line in enumerate(body):
        named = _NAMED.match(line.strip())
        if line.strip() and _indent(line) == level and named:
            found[named[1]] = _joined([named[2], *_deeper(body[start + 1 :], level)])
    return found


def _numpy_section(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start, line in enumerate(lines):
        if set(line.strip()) == {"-"}:
            break
        named = _NUMPY.match(line)
        text = _deeper(lines[start + 1 :], 0)
        if named and text:
            found[named[1]] = _joined(text)
    return found


def _deeper(lines: list[str], level: int) -> list[str]:
    """Return the lines up to the first one that is indented no deeper than ``level``."""
    found: list[str] = []
    for line in lines:
        if line.strip() and _indent(line) <= level:
            break
        found.append(line)
    return found


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
