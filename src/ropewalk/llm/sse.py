"""Reads server-sent events out of bytes that arrive in any pieces."""

from collections.abc import Iterator


class EventReader:
    """Keeps what is not yet whole. All three APIs repeat an event's name in its data, so only the data is read."""

    def __init__(self) -> None:
        self._line = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the data of every event that this piece completes."""
        *lines, self._line = (self._line + piece).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r")
            if text.startswith(b"data:"):
                self._data.append(text[5:].removeprefix(b" "))
            elif not text and self._data:
                yield self._taken()

    def rest(self) -> Iterator[bytes]:
        """Yield the last event of a stream that ends without the blank line behind it."""
        yield from self.feed(b"\n")
        if self._data:
            yield self._taken()

    def _taken(self) -> bytes:
        data, self._data = b"\n".join(self._data), []
        return data
