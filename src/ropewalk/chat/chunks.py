"""The chunks of a message: the contract's JSON, with what our own pods need beside it.

    content   a piece of the text
    system    with ``reset``: the text so far is void, ``reset.text`` stands for it; with ``pause``: the run asks
    error     the last one of a message that failed: ``error`` has code and message
    is_final  the last one, with ``metadata``: model, tokens_used, finish_reason (stop, length, error, cancelled)

Chunks of a message are numbered from 0 without gaps, whatever they are. One that is in its session's log has its place
there as well: ``log`` and ``at``, appended to the JSON when they are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from pydantic_core import from_json, to_json

from ropewalk.chat.requests import now_text

STOP, LENGTH, FAILED, CANCELLED = "stop", "length", "error", "cancelled"
WORDS = {FAILED: "The answer could not be completed.", CANCELLED: "The answer was cancelled."}
SAID_TO_FAIL = "answer_failed"
"""The code of a run whose answer somebody else has written, who said that it failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What all chunks of a message have in common."""

    session_id: str
    message_id: str
    correlation_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a message ends."""

    reason: str
    """stop, length, error, cancelled."""
    model: str = ""
    tokens_used: int = 0
    code: str | None = None
    """Of the error."""
    words: str = ""
    """What the user is told of it."""


def failure_of(told: Mapping[str, Any]) -> dict[str, str]:
    """Return what users are told of a failure, from the run's last entry: its words are for those who run the graph,
    but for what somebody else has written for users.
    """
    code = str(told.get("code") or "run_failed")
    said = told.get("message") if code == SAID_TO_FAIL else None
    return {"code": code, "message": str(said or WORDS[FAILED])}


def content(head: Head, chunk_id: int, text: str) -> bytes:
    return _chunk(head, chunk_id, text, "content")


def aside(head: Head, chunk_id: int, text: str, chunk: "Chunk") -> bytes:
    """Return what somebody else said beside the text, as a chunk of ours."""
    kind = chunk.kind if chunk.kind in ("metadata", "system") else "system"
    more: dict[str, Any] = {"metadata": chunk.metadata} if chunk.metadata else {}
    return _chunk(head, chunk_id, text, kind, **more)


def reset(head: Head, chunk_id: int, text: str) -> bytes:
    return _chunk(head, chunk_id, "", "system", reset={"text": text})


def question(head: Head, chunk_id: int, words: str, pauses: list[dict[str, Any]]) -> bytes:
    """Return the chunk that tells what a run waits for: in words, and for programs."""
    return _chunk(head, chunk_id, words, "system", pause=pauses)


def last(head: Head, chunk_id: int, text: str, ending: Ending) -> bytes:
    """Return the last chunk, with the rest of the text."""
    metadata = {"model": ending.model, "tokens_used": ending.tokens_used, "finish_reason": ending.reason}
    if ending.reason == FAILED:
        error = {"code": ending.code or "error", "message": ending.words}
        return _chunk(head, chunk_id, text, "error", final=True, metadata=metadata, error=error)
    kind = "content" if ending.reason in (STOP, LENGTH) else "system"
    return _chunk(head, chunk_id, text, kind, final=True, metadata=metadata)


def _chunk(head: Head, chunk_id: int, text: str, kind: str, *, final: bool = False, **more: Any) -> bytes:
    told = {
        "session_id": head.session_id,
        "message_id": head.message_id,
        "chunk_id": chunk_id,
        "chunk": text,
        "chunk_type": kind,
        "is_final": final,
        **more,
        "timestamp": now_text(),
        "correlation_id": head.correlation_id,
    }
    return to_json(told)


def placed(body: bytes, log: str, at: int) -> bytes:
    """Return a chunk with its place in its session's log."""
    return b'%b,"log":"%b","at":%d}' % (body[:-1], log.encode(), at)


class Chunk(NamedTuple):
    """A chunk that was read."""

    told: dict[str, Any]
    body: bytes

    @property
    def session_id(self) -> str:
        return self.told["session_id"]

    @property
    def message_id(self) -> str:
        return self.told["message_id"]

    @property
    def chunk_id(self) -> int:
        return self.told["chunk_id"]

    @property
    def text(self) -> str:
        found = self.told.get("chunk")
        return found if isinstance(found, str) else ""

    @property
    def kind(self) -> str:
        return str(self.told.get("chunk_type") or "content")

    @property
    def is_final(self) -> bool:
        return self.told.get("is_final") is True

    @property
    def is_failure(self) -> bool:
        return self.kind == "error" or (self.is_final and self.ending == FAILED)

    @property
    def failure(self) -> tuple[str, str]:
        """What a failure tells of itself: code, message; empty where it does not."""
        told: Any = self.told.get("error")
        found = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        code, words = found.get("code"), found.get("message")
        return (code if isinstance(code, str) else "", words if isinstance(words, str) else "")

    @property
    def is_asking(self) -> bool:
        """The run waits for a person: nothing more comes before it is answered."""
        return "pause" in self.told

    @property
    def reset_text(self) -> str | None:
        """What the text so far is replaced by; None: it is not."""
        found = self.told.get("reset")
        return str(found.get("text", "")) if isinstance(found, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]

    @property
    def ending(self) -> str:
        return str(self.metadata.get("finish_reason") or STOP)

    @property
    def metadata(self) -> dict[str, Any]:
        found = self.told.get("metadata")
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}

    @property
    def place(self) -> tuple[str, int] | None:
        """The life of the log and the place in it; None: it comes from somebody who keeps no log."""
        log, at = self.told.get("log"), self.told.get("at")
        return (log, at) if isinstance(log, str) and isinstance(at, int) else None


def read_chunk(body: bytes) -> Chunk | None:
    """Return the chunk in a body; None for what is none."""
    try:
        told = from_json(body)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    found = cast("dict[str, Any]", told)
    number = found.get("chunk_id")
    named = isinstance(found.get("session_id"), str) and isinstance(found.get("message_id"), str)
    if not named or not isinstance(number, int) or isinstance(number, bool) or number < 0:
        return None
    return Chunk(found, body)
