"""The events of the contract's stream, as bytes: what a chunk of the log is told as. Pure.

The id of an event is ``{log}.{place}``. The last chunk of a message is two events, ``chunk`` and ``message_complete``:
the first of them has ``.0`` behind its place, so that a client which was cut off between them gets the other one.
"""

import re
from typing import Any, NamedTuple

from pydantic_core import to_json

from ropewalk.chat.chunks import CANCELLED, FAILED, Chunk

_CURSOR = re.compile(r"([A-Za-z0-9]{1,40})\.([0-9]{1,15})(\.0)?")


class Cursor(NamedTuple):
    """Where a client is."""

    log: str
    at: int
    halfway: bool = False
    """It has the last chunk of a message, and has not been told that it is complete."""

    def __str__(self) -> str:
        return f"{self.log}.{self.at}" + (".0" if self.halfway else "")


class Frame(NamedTuple):
    """A chunk as the stream tells it."""

    at: int
    head: bytes
    """The event before the one that ends a message; else empty."""
    tail: bytes
    ends: str | None = None
    """The message that is over."""

    @property
    def data(self) -> bytes:
        return self.head + self.tail


def parse_cursor(given: str | None) -> Cursor | None:
    """Return where a client says that it is; None for what no pod has told it."""
    found = _CURSOR.fullmatch(given or "")
    return Cursor(found[1], int(found[2]), found[3] is not None) if found else None


def frame_of(log: str, at: int, chunk: Chunk) -> Frame:
    """Return what a chunk is told as."""
    place = f"{log}.{at}"
    message_id = chunk.message_id
    text = chunk.reset_text
    if text is not None:
        return Frame(at, b"", event("reset", {"message_id": message_id, "text": text}, place))
    if not chunk.is_final:
        return Frame(at, b"", raw_event("chunk", chunk.body, place))
    if chunk.kind == "error" or chunk.ending == FAILED:
        error: Any = chunk.told.get("error") or {"code": "error", "message": ""}
        return Frame(at, b"", event("error", {"message_id": message_id, "error": error}, place), message_id)
    if chunk.ending == CANCELLED:
        return Frame(at, b"", event("cancelled", {"message_id": message_id}, place), message_id)
    complete = event("message_complete", {"message_id": message_id, "token_count": _count(chunk)}, place)
    return Frame(at, raw_event("chunk", chunk.body, f"{place}.0"), complete, message_id)


def _count(chunk: Chunk) -> int:
    found = chunk.metadata.get("tokens_used")
    return found if isinstance(found, int) else 0


def event(name: str, data: Any, place: str | None = None) -> bytes:
    """Return one event; JSON escapes line breaks, so nothing in it can break the framing."""
    return raw_event(name, to_json(data), place)


def raw_event(name: str, json: bytes, place: str | None) -> bytes:
    line = b"" if place is None else b"id: %b\n" % place.encode()
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), line, json)
