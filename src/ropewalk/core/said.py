"""A live event on its way to another process: what was said, by which step, under the id that its driver gave it."""

from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

_MOST = 1 << 62


class Said(NamedTuple):
    """A live event; with ``n`` 0 an announcement: the log has entry ``entry``, and what was said before it was told."""

    entry: int
    n: int = 0
    step: str = ""
    node: str = ""
    type: str = ""
    data: Any = None

    @property
    def id(self) -> tuple[int, int]:
        return self.entry, self.n


def dump_said(said: Said) -> bytes:
    return to_json([said.entry] if said.n == 0 else said)


def load_said(body: bytes) -> Said:
    """Raises ValueError for what `dump_said` does not write."""
    match from_json(body):
        case [int(entry)] if 0 <= entry < _MOST:
            return Said(entry)
        case [int(entry), int(n), str(step), str(node), str(kind), data] if 0 <= entry < _MOST and 0 < n < _MOST:
            if _fits(kind, data):
                return Said(entry, n, step, node, kind, data)
        case _:
            pass
    raise ValueError("no live event: its form is unknown")


def _fits(kind: str, data: Any) -> bool:
    """Tell whether the data has what the fold of live events reads."""
    match kind, data:
        case "text", {"text": str()}:
            return True
        case "reset", {"text": str()}:
            return True
        case "step_started", {"step": str(), "attempt": int()}:
            return True
        case _:
            return kind not in ("text", "reset", "step_started")
