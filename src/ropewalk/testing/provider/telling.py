"""How an answer reaches the wire: which bytes, in which writes, and where it breaks off."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from ropewalk.testing.provider.cues import Asked, Break, Full, Refuse, Say
from ropewalk.testing.provider.pieces import json_bytes

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
BROKEN_JSON = b'data: {"this is": no JSON\n\n'
End = Literal["whole", "reset", "close", "stall"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """What is written in answer to one request."""

    writes: list[bytes]
    end: End = "whole"
    """What follows: the connection is kept, torn down, closed, or left silent."""
    delay_seconds: float = 0.0
    """Before each write."""
    apart: bool = False
    """Whether each write goes out by itself, not with the next ones."""
    gone: Callable[[], None] = field(default=lambda: None)
    """Called if the client leaves before the end."""

    @classmethod
    def of(cls, api: Any, cue: Full, asked: Asked, *, gone: Callable[[Asked], None]) -> Self:
        match cue:
            case Refuse():
                speech = refused(api, cue)
            case Say():
                speech = _streamed(api, cue, asked) if asked.body.get("stream") else _whole(api, cue, asked)
            case Break():
                speech = _broken(api, cue, asked)
        return replace(speech, gone=lambda: gone(asked))  # pyright: ignore[reportReturnType]


def told(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Speech:
    """Return a JSON answer."""
    return Speech(writes=[_head(status, headers) + _sized(json_bytes(body))])


def refused(api: Any, refuse: Refuse, *, param: str | None = None) -> Speech:
    return told(refuse.status, api.error_body(refuse, param), refuse.headers)


def _whole(api: Any, say: Say, asked: Asked) -> Speech:
    return replace(told(200, api.whole(say, asked)), delay_seconds=say.delay_seconds)


def _streamed(api: Any, say: Say, asked: Asked) -> Speech:
    frames = api.stream(say, asked)
    if say.split_bytes:
        frames = (bytes([byte]) for frame in frames for byte in frame)
    apart = say.split_bytes or say.delay_seconds > 0
    chunks = [_chunk(frame) for frame in frames]
    writes = [_stream_head(), *chunks, b"0\r\n\r\n"] if apart else [_stream_head() + b"".join(chunks) + b"0\r\n\r\n"]
    return Speech(writes=writes, delay_seconds=say.delay_seconds, apart=apart)


def _broken(api: Any, broken: Break, asked: Asked) -> Speech:
    if broken.after is None:
        return _before_the_first_byte(broken)
    if asked.body.get("stream"):
        return _broken_stream(api, broken, asked)
    body = json_bytes(api.whole(broken.say, asked))
    half = body[: len(body) // 2]
    match broken.kind:
        case "bad_json":
            return Speech(writes=[_head(200) + _sized(half)])
        case "error_event":
            refuse = Refuse(status=500, message="The server had an error while processing your request")
            return refused(api, refuse)
        case "reset" | "eof" | "stall":
            end: Mapping[str, End] = {"reset": "reset", "eof": "close", "stall": "stall"}
            writes = [_head(200) + b"content-length: %d\r\n\r\n" % len(body) + half]
            return Speech(writes=writes, end=end[broken.kind], apart=True)


def _broken_stream(api: Any, broken: Break, asked: Asked) -> Speech:
    frames: Iterator[bytes] = api.stream(broken.say, asked)
    begun = [_chunk(frame) for _, frame in zip(range(broken.after or 0), frames, strict=False)]
    head = _stream_head()
    match broken.kind:
        case "reset":
            return Speech(writes=[head, *begun], end="reset", apart=True)
        case "stall":
            return Speech(writes=[head, *begun], end="stall", apart=True)
        case "eof":
            return Speech(writes=[head, *begun, b"0\r\n\r\n"], apart=True)
        case "error_event":
            error = api.error_frame("The server had an error while processing your request")
            return Speech(writes=[head, *begun, _chunk(error), b"0\r\n\r\n"], apart=True)
        case "bad_json":
            rest = [_chunk(frame) for frame in frames]
            name = b"event: content_block_delta\n" if asked.api == "messages" else b""
            return Speech(writes=[head, *begun, _chunk(name + BROKEN_JSON), *rest, b"0\r\n\r\n"], apart=True)


def _before_the_first_byte(broken: Break) -> Speech:
    ends: Mapping[str, End] = {"reset": "reset", "stall": "stall"}
    return Speech(writes=[], end=ends.get(broken.kind, "close"))


def _head(status: int, headers: Mapping[str, str] | None = None) -> bytes:
    given = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    reason = REASONS.get(status, "Error")
    return (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\nx-request-id: req_local\r\n{given}".encode()
    )


def _stream_head() -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-request-id: req_local\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )


def _sized(body: bytes) -> bytes:
    return b"content-length: %d\r\n\r\n%s" % (len(body), body)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
