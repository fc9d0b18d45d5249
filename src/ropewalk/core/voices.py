"""What one step in flight has said: the newest part as it was said, of what had to make room the text."""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from ropewalk.core.said import Said

LIVE_KEPT = 8192
"""Live events kept per step in flight; of those that were heard before their entry was read, in all."""
Cursor = tuple[int, int]


class Live(NamedTuple):
    entry: int
    n: int
    type: str
    data: Any


class Voice:
    """The live events of one step, in order."""

    __slots__ = ("dropped", "dropped_texts", "kept", "node", "texts")

    def __init__(self, node: str) -> None:
        self.node = node
        self.kept: deque[Live] = deque()
        self.texts: list[str] = []
        self.dropped: Cursor = (0, 0)
        """Id of the newest live event that had to make room."""
        self.dropped_texts = 0

    @property
    def newest(self) -> Cursor:
        return (self.kept[-1].entry, self.kept[-1].n) if self.kept else self.dropped

    def add(self, live: Live) -> None:
        if len(self.kept) >= LIVE_KEPT:
            self._make_room()
        self.kept.append(live)
        if live.type == "text":
            self.texts.append(live.data["text"])
        elif live.type == "reset":  # a model's answer begins anew, or what was before it is gone
            self.texts = [text] if (text := live.data.get("text")) else []
            self.dropped_texts = 0

    def _make_room(self) -> None:
        oldest = self.kept.popleft()
        self.dropped = (oldest.entry, oldest.n)
        if oldest.type == "reset":  # the texts begin with its own
            self.dropped_texts = 1 if oldest.data.get("text") else 0
        else:
            self.dropped_texts += oldest.type == "text"

    def behind(self, cursor: Cursor) -> Iterator[Live]:
        """Yield what is behind ``cursor``, newest first; a ``reset`` with the text stands for what is gone."""
        for live in reversed(self.kept):
            if (live.entry, live.n) <= cursor:
                break
            yield live
        if self.dropped > cursor:
            text = "".join(self.texts[: self.dropped_texts])
            yield Live(*self.dropped, "reset", {"text": text})

    def said(self, step: str, cursor: Cursor) -> Iterator[Said]:
        """Yield the same for another process."""
        for live in self.behind(cursor):
            yield Said(live.entry, live.n, step, self.node, live.type, live.data)
