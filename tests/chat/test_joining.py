"""Clients that come to a session at its pod: what each is given, whatever comes in between."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from tests.chat import app
from tests.chat.service import Service

from ropewalk.chat import chunks, joining
from ropewalk.chat.chunks import Ending, Head
from ropewalk.chat.frames import Cursor
from ropewalk.chat.joining import Joining, PodCounts
from ropewalk.chat.place import Place
from ropewalk.chat.viewer import Viewer
from ropewalk.errors.chat import BusUnavailable
from ropewalk.server.owned import Caller

HEAD = Head(session_id="s", message_id="m", correlation_id="c")


class Room:
    """One session at one pod, over a log in memory; nothing is published, so that all must be read."""

    def __init__(self) -> None:
        self.service = Service(app.chat)
        self.log = self.service.parts.log
        self.counts = PodCounts()
        self.place = Place("s", self.log, on_gap=lambda: None, on_loss=self.begin_anew)
        self.joining = Joining(self.service.desk, self.log, self.counts, self.service.closing)
        self.chunks = 0
        self.tasks: list[asyncio.Task[None]] = []

    def begin_anew(self, place: Place, viewer: Viewer) -> None:
        self.tasks.append(asyncio.create_task(self.joining.begin_anew(place, viewer)))

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
        while self.place.is_catching or not all(task.done() for task in self.tasks):
            await asyncio.sleep(0)


async def given(viewer: Viewer, seconds: float = 2) -> list[tuple[str, Any]]:
    """Return what a client is to be sent: events and their data."""
    async with asyncio.timeout(seconds):
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


def test_a_client_stays_though_the_log_is_away_for_a_moment_before_it_is_told_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sent away without a cursor it would come back as one that has seen nothing, and miss what was said meanwhile."""

    async def main() -> None:
        room = Room()
        await room.open()
        await room.say("one ")
        await room.join()
        await room.settle()
        room.service.lose_the_log()
        read, trouble = room.log.read, [BusUnavailable("The chunk log", "here", "it is away")]

        async def away_once(*where: Any, **what: Any) -> Any:
            if trouble:
                raise trouble.pop()
            return await read(*where, **what)

        monkeypatch.setattr(room.log, "read", away_once)
        late = await room.join()
        assert (late.why, late.is_live, trouble) == (None, True, [])

    asyncio.run(main())


def test_a_client_stays_though_a_lost_log_begins_anew_while_it_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pod does not know yet that there is another log: the client has no cursor, and must not be sent away."""

    async def main() -> None:
        room = Room()
        await room.open()
        await room.say("one ")
        await room.join()
        await room.settle()
        room.service.lose_the_log()
        room.chunks = 0
        read, begun = room.log.read, [False]

        async def begins_first(*where: Any, **what: Any) -> Any:
            if not begun[0]:
                begun[0] = True
                await room.open()
                await room.say("anew ")
            return await read(*where, **what)

        monkeypatch.setattr(room.log, "read", begins_first)
        late = await room.join()
        await room.settle()
        assert (late.why, late.is_live) == (None, True)
        assert texts(await given(late)) == ["anew "]

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
        room.service.lose_the_log()
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


def joined(events: list[tuple[str, Any]], message_id: str) -> tuple[str, bool]:
    """Return a message's text as a client has it, and whether it is complete."""
    text, is_over = "", False
    for name, data in events:
        if data.get("message_id") == message_id:
            text = data["text"] if name == "reset" else text + data.get("chunk", "")
            is_over = name == "message_complete"
    return text, is_over


async def until_ended(room: Room, viewer: Viewer, message_id: str) -> list[tuple[str, Any]]:
    events: list[tuple[str, Any]] = []
    async with asyncio.timeout(5):
        while not joined(events, message_id)[1]:
            room.place.catch_up()
            with contextlib.suppress(TimeoutError):
                events += await given(viewer, 0.05)
    return events


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_client_is_told_all_that_was_lost_with_the_log_whether_it_stays_or_comes_back(
    comes_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first message it has a part; the second one nobody has told anybody; the third one begins the new log."""
    monkeypatch.setattr(joining, "_FRESH_SECONDS", 0.0)

    async def main() -> None:
        room = Room()
        send, work = room.service.send, room.service.work
        await room.open()
        await room.say("1: hel")
        viewer = await room.join()
        await given(viewer)
        cursor = Cursor((await room.log.read("s", after=0)).log or "", 1)
        await work(await send("hello"), silent=True)
        await work(await send("second", "m-2"), silent=True)
        room.service.lose_the_log()
        if comes_back:
            room.place.viewers.clear()
            room.place = Place("s", room.log, on_gap=lambda: None, on_loss=room.begin_anew)
        await work(await send("third", "m-3"))
        if comes_back:
            viewer = await room.join(cursor)
        events = await until_ended(room, viewer, "m-2")
        assert joined(events, "m-1") == ("1: hello", True)
        assert joined(events, "m-2") == ("3: second", True)
        assert joined(events, "m-3") == ("5: third", True)

    asyncio.run(main())


def test_a_message_that_was_cancelled_has_an_end_after_the_log_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_YOUNG_SECONDS", 0.0)

    async def main() -> None:
        room = Room()
        await room.service.desk.cancel(Caller(), await room.service.send("hello"))
        viewer = await room.join(Cursor("gone", 7))
        assert [name for name, _ in await given(viewer)] == ["connected", "reset", "cancelled"]

    asyncio.run(main())


def test_an_end_that_nobody_told_is_told_to_who_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_FRESH_SECONDS", 0.0)

    async def main() -> None:
        room = Room()
        await room.service.work(await room.service.send("first"))
        await room.service.work(await room.service.send("second", "m-2"), silent=True)
        page = await room.log.read("s", after=0)
        viewer = await room.join(Cursor(page.log or "", page.newest))
        assert joined(await until_ended(room, viewer, "m-2"), "m-2") == ("3: second", True)

    asyncio.run(main())


def test_a_new_client_is_not_told_the_rest_of_a_message_whose_beginning_it_is_not_told() -> None:
    async def main() -> None:
        room = Room()
        head = Head(session_id="s", message_id="n", correlation_id="c")
        await room.open()
        await room.say("one ")
        await room.log.open("s", "n", fence=1)
        await room.log.append("s", "n", [chunks.content(head, 0, "next ")], fence=1, chunk_id=0, final=False)
        await room.say("two", final=True)
        await room.log.seen("s", ["m"])
        events = await given(await room.join())
        assert joined(events, "m") == ("", False)
        assert joined(events, "n") == ("next ", False)

    asyncio.run(main())


def test_a_log_that_begins_while_a_client_is_told_of_the_lost_one_is_told_whole() -> None:
    async def main() -> None:
        room = Room()
        await room.join()  # there is no log: it is live
        desk, messages = room.service.desk, room.service.desk.messages

        async def slowly(*given: Any, **more: Any) -> Any:
            found = await messages(*given, **more)
            await room.open()
            await room.say("one ")
            room.place.catch_up()
            await room.settle()
            return found

        desk.messages = slowly
        viewer = await room.join(Cursor("gone", 7))
        await room.say("two")
        room.place.catch_up()
        await room.settle()
        assert texts(await given(viewer)) == ["one ", "two"]

    asyncio.run(main())
