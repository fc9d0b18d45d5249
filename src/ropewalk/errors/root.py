"""What every error of Ropewalk is, and how a message names values and near names."""

from collections.abc import Iterable
from typing import ClassVar


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence part that names the nearest known name and lists a few; empty when nothing is known."""
    from difflib import get_close_matches  # noqa: PLC0415  slow to load, and most names are known

    names = [*dict.fromkeys(known)]
    if not names:
        return ""
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    return f"{guess} Known: {shown}."


class RopewalkError(Exception):
    """What every error of this package is. `code` is the same in HTTP bodies, events, log lines and docs."""

    code: ClassVar[str] = "error"


def short(value: object) -> str:
    """Return the value's repr, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
