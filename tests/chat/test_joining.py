"""Clients that come to a session at its pod: what each is given, whatever comes in between."""

import asyncio
import json
from typing import Any, cast

from ropewalk.chat import chunks
from ropewalk.chat.chunks import Ending, Head
from ropewalk.chat.desk import ChatDesk
from ropewalk.chat.frames import Cursor
from ropewalk.chat.joining import Joining, PodCounts
from ropewalk.chat.place import Place
from ropewalk.chat.viewer import Viewer
from ropewalk.messaging.memory import MemoryChunkLog

HEAD = Head(session_id="s", message_id="m", correlation_id="c")


class Room:
    """One session at one pod, over a log in memory; nothing is published, so that all must be read."""

    def __init__(self) -> None:
        self.log = MemoryChunkLog()
        self.counts = PodCounts()
        self.place = Place("s", self.log, on_gap=lambda: None)
        self.joining = Joining(cast("ChatDesk", None), self.log, self.counts)
        self.chunks = 0

    async def open(self) -> None:
        await self.log.open("s", "m", fence=1)

    async def say(self, text: str, *, final: bool = False) -> None:
        ending = Ending(reason="stop", model="m", tokens_used=1)
        body = chunks.last(HEAD, self.chunks, text, ending) if final else chunks.content(HEAD, self.chunks, text)
        await self.log.append("s", "m", [body], fence=1, chunk_id=self.chunks, final=final)
        self.chunks += 1

    async def join(self, cursor: Cursor | None = None) -> Viewer:
        viewer = Viewer("s", "ann", "c")
        self.place.viewers.add(viewer)
        await self.joining.join(self.place, viewer, cursor)
        return viewer

    async def settle(self) -> None:
        while self.place.is_catching:
            await asyncio.sleep(0)


async def given(viewer: Viewer) -> list[tuple[str, Any]]:
    """Return what a client is to be sent: events and their data."""
    async with asyncio.timeout(2):
        taken = await viewer.take()
    assert taken is not None
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in taken[0].decode().split("\n\n")[:-1]]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


def texts(events: list[tuple[str, Any]]) -> list[str]:
    return [data["chunk"] for name, data in events if name == "chunk"]


def test_who_came_before_there_was_a_log_is_given_its_beginning_though_another_one_has_read_on() -> None:
    async def main() -> None:
        room = Room()
        first = await room.join()
        await room.settle()
        await room.open()
        await room.say("one ")
        await room.say("two ")
        second = await room.join()
        await room.settle()
        assert texts(await given(first)) == texts(await given(second)) == ["one ", "two "]

    asyncio.run(main())


def test_a_client_is_given_what_is_behind_its_cursor_and_live_what_comes() -> None:
    async def main() -> None:
        room = Room()
        await room.open()
        for text in ("one ", "two ", "three "):
            await room.say(text)
        name = (await room.log.read("s", after=0)).log or ""
        viewer = await room.join(Cursor(name, 2))
        assert texts(await given(viewer)) == ["three "]
        await room.say("four", final=True)
        room.place.catch_up()
        events = await given(viewer)
        assert (texts(events), events[-1][0]) == (["four"], "message_complete")
        halfway = await room.join(Cursor(name, 4, True))
        assert [event for event, _ in await given(halfway)] == ["connected", "message_complete"]
        done = await room.join(Cursor(name, 4))
        assert [event for event, _ in await given(done)] == ["connected"]
        assert room.counts.resumed == 3

    asyncio.run(main())


def test_a_log_that_begins_anew_is_told_from_its_beginning() -> None:
    async def main() -> None:
        room = Room()
        await room.open()
        await room.say("one ")
        viewer = await room.join()
        assert texts(await given(viewer)) == ["one "]
        lost, room.log = room.log, MemoryChunkLog()
        room.place._chunks = room.log  # pyright: ignore[reportPrivateUsage]  the same place, as after a lost Redis
        assert lost is not room.log
        room.chunks = 0
        await room.open()
        await room.say("anew ")
        room.place.catch_up()
        await room.settle()
        assert texts(await given(viewer)) == ["anew "]

    asyncio.run(main())


def test_a_message_that_waits_for_a_person_is_not_looked_for() -> None:
    async def main() -> None:
        room = Room()
        await room.open()
        await room.say("one ")
        viewer = await room.join()
        assert [*room.place.open] == ["m"]
        body = chunks.question(HEAD, room.chunks, "May I?", [{"id": "p", "kind": "question"}])
        await room.log.append("s", "m", [body], fence=1, chunk_id=room.chunks, final=False)
        room.place.catch_up()
        await room.settle()
        assert texts(await given(viewer)) == ["one ", "May I?"]
        assert room.place.open == {}
        await room.join()
        assert room.place.open == {}

    asyncio.run(main())
