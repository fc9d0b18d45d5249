"""Chunks as the stream tells them, and cursors."""

import json
from typing import Any

import pytest

from ropewalk.chat import chunks
from ropewalk.chat.chunks import Chunk, Ending, Head, placed, read_chunk
from ropewalk.chat.frames import Cursor, frame_of, parse_cursor

HEAD = Head(session_id="s", message_id="m", correlation_id="c")


def read(body: bytes) -> Chunk:
    chunk = read_chunk(body)
    assert chunk is not None
    return chunk


def told(data: bytes) -> list[tuple[str, str | None, Any]]:
    events: list[tuple[str, str | None, Any]] = []
    for block in data.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((lines["event"], lines.get("id"), json.loads(lines["data"])))
    return events


def test_a_chunk_is_the_contracts_json_with_its_place() -> None:
    body = placed(chunks.content(HEAD, 3, "Grüße\n\nan alle"), "abc", 17)
    chunk = read(body)
    assert chunk.place == ("abc", 17)
    assert {k: v for k, v in chunk.told.items() if k != "timestamp"} == {
        "session_id": "s", "message_id": "m", "chunk_id": 3, "chunk": "Grüße\n\nan alle", "chunk_type": "content",
        "is_final": False, "correlation_id": "c", "log": "abc", "at": 17,
    }  # fmt: skip
    assert told(frame_of("abc", 17, chunk).data) == [("chunk", "abc.17", chunk.told)]


def test_the_last_chunk_is_two_events_and_a_client_cut_off_between_them_can_tell() -> None:
    ending = Ending(reason="stop", model="demo-gpt", tokens_used=42)
    chunk = read(chunks.last(HEAD, 5, "!", ending))
    assert chunk.metadata == {"model": "demo-gpt", "tokens_used": 42, "finish_reason": "stop"}
    frame = frame_of("abc", 9, chunk)
    first, second = told(frame.data)
    assert first[:2] == ("chunk", "abc.9.0")
    assert second == ("message_complete", "abc.9", {"message_id": "m", "token_count": 42})
    assert parse_cursor("abc.9.0") == Cursor("abc", 9, True)
    assert told(frame.tail) == [second]
    assert frame.ends == "m"


def test_resets_errors_and_cancellations_are_events_of_their_own() -> None:
    reset = frame_of("abc", 1, read(chunks.reset(HEAD, 1, "so far")))
    assert told(reset.data) == [("reset", "abc.1", {"message_id": "m", "text": "so far"})]
    failed = read(chunks.last(HEAD, 2, "", Ending(reason="error", code="poisoned", words="It failed.")))
    assert told(frame_of("abc", 2, failed).data) == [
        ("error", "abc.2", {"message_id": "m", "error": {"code": "poisoned", "message": "It failed."}})
    ]
    cancelled = read(chunks.last(HEAD, 2, "", Ending(reason="cancelled")))
    assert told(frame_of("abc", 2, cancelled).data) == [("cancelled", "abc.2", {"message_id": "m"})]


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b'{"session_id": "s"}', b'{"session_id": 1, "message_id": "m", "chunk_id": 0}',
     b'{"session_id": "s", "message_id": "m", "chunk_id": -1}',
     b'{"session_id": "s", "message_id": "m", "chunk_id": true}'],
)  # fmt: skip
def test_what_is_no_chunk_is_none(body: bytes) -> None:
    assert read_chunk(body) is None


def test_a_strangers_chunk_has_no_place_and_may_leave_much_out() -> None:
    chunk = read(b'{"session_id": "s", "message_id": "m", "chunk_id": 0, "chunk": "hi", "is_final": true}')
    assert (chunk.place, chunk.kind, chunk.ending, chunk.metadata) == (None, "content", "stop", {})


@pytest.mark.parametrize(
    "given", ["", "abc", "abc.", ".1", "abc.1.1", "abc.-1", "a b.1", "abc.1\n", "abc.99999999999999999"]
)
def test_a_cursor_that_no_pod_told_is_none(given: str) -> None:
    assert parse_cursor(given) is None


def test_a_cursor_is_read_as_it_was_told() -> None:
    for cursor in (Cursor("a1", 0), Cursor("a1", 12), Cursor("a1", 12, True)):
        assert parse_cursor(str(cursor)) == cursor
