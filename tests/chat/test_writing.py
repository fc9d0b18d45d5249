"""What becomes of messages whose writer died: somebody else ends them, once; nobody asks twice."""

import asyncio
from typing import Any

import pytest
from tests.chat import app
from tests.chat.service import Service

from ropewalk.chat import chunks
from ropewalk.chat.chunks import Ending, Head
from ropewalk.chat.outlet import Outlet
from ropewalk.chat.requests import read_request
from ropewalk.chat.sweeping import Sweep
from ropewalk.core.facts import Reset
from ropewalk.errors.chat import BusUnavailable, ChunkRefused
from ropewalk.server.owned import Caller


def test_a_run_that_ended_untold_is_told_once_whoever_looks_and_how_often() -> None:
    async def main() -> None:
        service = Service(app.chat)
        message_id = await service.send("hello world")
        assert await service.closing.close(message_id) is False  # it runs
        await service.work(message_id, silent=True)
        assert all(await asyncio.gather(*[service.closing.close(message_id) for _ in range(3)]))
        told = await service.chunks()
        assert await service.text() == "1: hello world"
        assert [one["is_final"] for one in told].count(True) == 1
        assert told[-1]["metadata"]["finish_reason"] == "stop"

    asyncio.run(main())


def test_an_end_that_was_told_is_not_told_again() -> None:
    async def main() -> None:
        service = Service(app.chat)
        message_id = await service.send("hello world")
        await service.work(message_id)
        told = await service.chunks()
        await service.closing.close(message_id)
        assert await service.chunks() == told

    asyncio.run(main())


def test_a_log_that_was_lost_in_the_middle_is_written_again_from_the_beginning() -> None:
    async def main() -> None:
        service = Service(app.chat)
        message_id = await service.send("slow one two three four five")
        working = asyncio.create_task(service.work(message_id))
        while len(await service.chunks()) < 3:
            await asyncio.sleep(0.005)
        service.lose_the_log()
        assert await working == "DONE"
        first, *rest = await service.chunks()
        assert first["reset"]["text"].startswith("1: slow one")
        assert first["chunk_id"] == 0
        assert first["reset"]["text"] + "".join(one["chunk"] for one in rest) == "1: slow one two three four five"

    asyncio.run(main())


def test_a_message_that_nobody_took_is_told_of_again_as_it_was_sent() -> None:
    async def main() -> None:
        service = Service(app.chat)
        sweep = Sweep(service.service, service.parts.requests, unheard_seconds=0.01)
        message_id = await service.send("hello", temperature=0.5, theme="dark")
        await asyncio.sleep(0.05)
        assert await sweep.sweep() == 1
        (delivery,) = await service.parts.requests.fetch(most=5, at_most_seconds=1)
        request = read_request(delivery.body)
        assert (request.message_id, request.session_id, request.user_id) == (message_id, "s", "ann")
        assert (request.message, request.context.told()) == ("hello", {"temperature": 0.5, "theme": "dark"})
        await service.work(message_id)
        assert await sweep.sweep() == 0

    asyncio.run(main())


def test_a_run_that_was_taken_and_left_before_it_began_gets_its_history_all_the_same() -> None:
    async def main() -> None:
        service = Service(app.chat)
        await service.work(await service.send("first"))
        message_id = await service.send("second", "m-2")
        engine = await app.chat.desk.fold(await service.store.claim(message_id))
        await engine.commit_whole([Reset("taken_over", engine.epoch, False)])
        await service.store.queue().adopt(message_id)
        await service.work(message_id)
        history = await service.desk.messages(Caller(), "s", "ann")
        assert [one["content"] for one in history["items"]] == ["first", "1: first", "second", "3: second"]

    asyncio.run(main())


def test_a_tool_loop_goes_on_with_a_conversation_in_which_tools_were_called() -> None:
    async def main() -> None:
        service = Service(app.finder, app.chat)
        await service.work(await service.send("first", graph="finder"))
        assert await service.work(await service.send("second", "m-2", graph="finder")) == "DONE"
        assert await service.work(await service.send("third", "m-3", graph="chat")) == "DONE"
        history = await service.desk.messages(Caller(), "s", "ann")
        said = [one["content"] for one in history["items"] if one["role"] == "assistant"]
        assert said == ["found first, asked 1", "found second, asked 2", "9: third"]

    asyncio.run(main())


def test_a_message_that_was_cancelled_before_it_began_costs_the_session_no_history() -> None:
    async def main() -> None:
        service = Service(app.chat)
        await service.work(await service.send("first"))
        await service.desk.cancel(Caller(), await service.send("second", "m-2"))
        await service.work(await service.send("third", "m-3"))
        history = await service.desk.messages(Caller(), "s", "ann")
        assert history["items"][-1]["content"] == "3: third"

    asyncio.run(main())


HEAD = Head(session_id="s", message_id="m", correlation_id="c")
ENDING = Ending(reason="stop")


def outlet(service: Service, whole: str = "one ") -> Outlet:
    """Return an outlet of the owner of the run of message ``m``."""
    return Outlet(HEAD, 1, service.ways, lambda: whole)


async def end(closes: Outlet, text: str) -> None:
    await closes.anew(text)
    await closes.say("", lambda head, number, rest: chunks.last(head, number, rest, ENDING), final=True)


def test_who_ends_a_message_and_who_writes_it_do_not_write_it_together() -> None:
    async def main() -> None:
        service = Service(app.chat)
        writer, closer = outlet(service), outlet(service)
        await writer.open()
        await writer.say("one ")
        await closer.take_over()
        with pytest.raises(ChunkRefused):
            await writer.say("two")
        await end(closer, "one two")
        assert (await service.text(), (await service.chunks())[-1]["is_final"]) == ("one two", True)

    asyncio.run(main())


def test_of_two_who_end_a_message_the_last_one_to_begin_does() -> None:
    async def main() -> None:
        service = Service(app.chat)
        closers = [outlet(service) for _ in range(20)]
        for closer in closers:
            await closer.take_over()
            await closer.anew("one ")
        for closer in closers[:-1]:
            with pytest.raises(ChunkRefused):
                await end(closer, "one two")
        await end(closers[-1], "one two")
        assert [one["is_final"] for one in await service.chunks()].count(True) == 1
        assert await service.text() == "one two"

    asyncio.run(main())


def test_a_first_chunk_opens_its_message_and_takes_no_further_round_trip() -> None:
    async def main() -> None:
        service = Service(app.chat)
        writer = outlet(service, "one two")
        for text in ("one ", "two"):
            await writer.say(text)
        await writer.say("", lambda head, number, rest: chunks.last(head, number, rest, ENDING), final=True)
        told = await service.chunks()
        assert [one["chunk_id"] for one in told] == [0, 1, 2]
        assert (await service.text(), told[-1]["is_final"]) == ("one two", True)

    asyncio.run(main())


def test_a_first_chunk_finds_that_somebody_has_written_before() -> None:
    async def main() -> None:
        service = Service(app.chat)
        earlier = outlet(service)
        await earlier.say("half of wh")
        later = Outlet(HEAD, 2, service.ways, lambda: "one two ")
        await later.say("two ")
        assert await service.text() == "one two "
        with pytest.raises(ChunkRefused):
            await earlier.say("at")
        with pytest.raises(ChunkRefused):
            await outlet(service).say("late")

    asyncio.run(main())


@pytest.mark.parametrize("arrived", [False, True])
def test_a_first_chunk_that_met_a_log_that_was_away_is_told_with_all_before_it(arrived: bool) -> None:
    """Clients were told of the message from the store meanwhile."""

    async def main() -> None:
        service = Service(app.chat)
        append, trouble = service.ways.log.append, [BusUnavailable("The chunk log", "here", "it is away")]

        async def away_once(*where: Any, **what: Any) -> Any:
            if not trouble:
                return await append(*where, **what)
            if arrived:
                await append(*where, **what)
            raise trouble.pop()

        service.ways.log.append = away_once  # type: ignore[method-assign]
        writer = outlet(service, "one ")
        await writer.say("one ")
        told = await service.chunks()
        assert [one["reset"]["text"] for one in told if "reset" in one] == ["one "]
        assert [one["chunk_id"] for one in told] == [*range(1 + arrived)]
        assert await service.text() == "one "

    asyncio.run(main())


@pytest.mark.parametrize("is_final", [False, True])
def test_a_message_whose_log_was_lost_before_its_first_chunk_begins_with_a_reset(is_final: bool) -> None:
    """Clients were told of it from the store meanwhile, or have a part of it from another writer."""

    async def main() -> None:
        service = Service(app.chat)
        writer = outlet(service)
        await writer.open()
        service.lose_the_log()
        if is_final:
            await writer.say("one ", lambda head, number, rest: chunks.last(head, number, rest, ENDING), final=True)
        else:
            await writer.say("one ")
        told = await service.chunks()
        assert [one["reset"]["text"] for one in told if "reset" in one] == ["one "]
        assert (await service.text(), told[-1]["is_final"]) == ("one ", is_final)

    asyncio.run(main())


def test_what_another_worker_had_told_of_a_log_that_is_gone_is_void() -> None:
    async def main() -> None:
        service = Service(app.chat)
        await service.work(await service.send("hello world"), silent=True)
        await service.closing.close("m-1")
        first, *_ = await service.chunks()
        assert first["reset"]["text"] == "1: hello world"

    asyncio.run(main())
