"""Head and body of an answer are one write; nothing waits longer than a turn of the loop, nothing changes places."""

import asyncio

from ropewalk.server.joined import JoiningTransport


class Wire(asyncio.Transport):
    """Keeps what is written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed_behind: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed_behind = len(self.writes)

    def is_closing(self) -> bool:
        return self.closed_behind is not None


HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_head_and_its_body_are_one_write() -> None:
    async def scenario() -> list[bytes]:
        wire = Wire()
        joining = JoiningTransport(wire)
        joining.write(HEAD)
        joining.write(b"first")
        joining.write(b"second")
        await turns()
        return wire.writes

    assert asyncio.run(scenario()) == [HEAD + b"first", b"second"]


def test_a_head_without_a_body_does_not_wait_for_one() -> None:
    async def scenario() -> list[bytes]:
        wire = Wire()
        joining = JoiningTransport(wire)
        joining.write(HEAD)
        await turns()
        assert wire.writes == [HEAD]
        joining.write(b"later")
        return wire.writes

    assert asyncio.run(scenario()) == [HEAD, b"later"]


def test_several_answers_in_one_turn_keep_their_order() -> None:
    async def scenario() -> bytes:
        wire = Wire()
        joining = JoiningTransport(wire)
        for piece in (HEAD, b"one", HEAD, HEAD, b"three", b"HTTP/1.1 in a body", b"end"):
            joining.write(piece)
        await turns()
        return b"".join(wire.writes)

    assert asyncio.run(scenario()) == HEAD + b"one" + HEAD + HEAD + b"three" + b"HTTP/1.1 in a body" + b"end"


def test_what_waits_is_written_before_the_end() -> None:
    async def scenario() -> None:
        wire = Wire()
        joining = JoiningTransport(wire)
        joining.write(HEAD)
        joining.close()
        assert (wire.writes, wire.closed_behind, joining.is_closing()) == ([HEAD], 1, True)
        await turns()
        assert wire.writes == [HEAD]

    asyncio.run(scenario())
