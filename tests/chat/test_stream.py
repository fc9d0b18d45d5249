"""A client's stream gives up a client that takes nothing, and no other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.properties.virtual import VirtualLoop

from ropewalk.chat import stream
from ropewalk.chat.stream import ChatStream
from ropewalk.chat.viewer import TOO_SLOW, Viewer


def followed(
    takes: float, monkeypatch: pytest.MonkeyPatch, pieces: int = 20, stuck_seconds: float | None = None
) -> tuple[Viewer, list[bytes]]:
    """Follow for some pieces with a client that takes one in ``takes`` seconds; return its viewer, and what it took."""
    monkeypatch.setattr(stream, "_STUCK_SECONDS", 0.1 if stuck_seconds is None else 3600)
    taken: list[bytes] = []
    viewers: list[Viewer] = []

    @contextlib.asynccontextmanager
    async def connecting() -> AsyncIterator[Viewer]:
        viewers.append(Viewer("s", "ann", "c1"))
        yield viewers[0]

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(takes)
            taken.append(message["body"])

    async def main() -> None:
        response: Any = ChatStream(None, connecting(), stuck_seconds=stuck_seconds)  # type: ignore[reportArgumentType]
        following = asyncio.create_task(response({}, asyncio.Event().wait, send))
        for number in range(pieces):
            await asyncio.sleep(0.03)
            viewers[0].tell(b"%d" % number)
        viewers[0].end("closing")
        async with asyncio.timeout(5):
            await following

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    return viewers[0], taken


def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, taken = followed(3600, monkeypatch)
    assert (viewer.why, taken) == (TOO_SLOW, [])


def test_one_that_takes_nothing_does_not_keep_a_pod_from_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, taken = followed(3600, monkeypatch, pieces=2)
    assert (viewer.why, taken) == ("closing", [])


@pytest.mark.parametrize("takes", [0.0, 0.07])
def test_one_that_takes_what_it_is_sent_goes_on(takes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, taken = followed(takes, monkeypatch)
    assert viewer.why == "closing"
    assert b"18" in b"".join(taken)


def test_how_long_a_client_may_take_nothing_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, taken = followed(3600, monkeypatch, stuck_seconds=0.1)
    assert (viewer.why, taken) == (TOO_SLOW, [])
