"""What becomes of messages whose writer died: somebody else ends them, once; nobody asks twice."""

import asyncio
import json
from typing import Any

from tests.chat import app

from ropewalk.chat.answering import Answering
from ropewalk.chat.closing import Closing
from ropewalk.chat.desk import ChatDesk
from ropewalk.chat.outlet import Told, Ways
from ropewalk.chat.requests import ChatContext, WorkflowRequest, read_request
from ropewalk.chat.sweeping import Sweep
from ropewalk.chat.whereabouts import Whereabouts
from ropewalk.chat_parts import memory_parts
from ropewalk.core.facts import Reset
from ropewalk.runtime import open_queued_store
from ropewalk.server.owned import Caller
from ropewalk.server.runs import RunService
from ropewalk.workers import Worker


class Service:
    """A desk, and whatever of the rest a test wants."""

    def __init__(self, *graphs: Any) -> None:
        self.store = open_queued_store("memory:")
        for graph in graphs:
            graph.use_store(self.store)
        self.graphs = graphs
        self.parts = memory_parts()
        self.service = RunService(graphs, for_workers=True)
        self.desk = ChatDesk(self.service, self.parts.registry)
        whereabouts = Whereabouts(self.parts.registry)
        self.ways = Ways(log=self.parts.log, bus=self.parts.bus, whereabouts=whereabouts, told=Told())
        self.closing = Closing(self.service, self.ways)

    async def send(self, message: str, message_id: str = "m-1", **context: Any) -> str:
        request = WorkflowRequest(
            message_id=message_id,
            session_id="s",
            user_id="ann",
            message=message,
            context=ChatContext.model_validate(context),
        )
        return (await self.desk.send(Caller(), request)).message_id

    async def work(self, message_id: str, *, silent: bool = False) -> str:
        """Let a worker drive the message until it stops; with ``silent`` it tells nobody."""
        answering = Answering(self.desk, self.ways, None)
        on_drive = None if silent else answering.on_drive
        async with Worker(self.graphs, opening=answering.opening, on_drive=on_drive):
            async with asyncio.timeout(10):
                while (status := (await self.store.look(message_id)).status) == "RUNNING":
                    await asyncio.sleep(0.01)
        await answering.close()
        return status

    async def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in (await self.parts.log.read("s", after=0)).chunks]


def test_a_run_that_ended_untold_is_told_once_whoever_looks_and_how_often() -> None:
    async def main() -> None:
        service = Service(app.chat)
        message_id = await service.send("hello world")
        assert await service.closing.close(message_id) is False  # it runs
        await service.work(message_id, silent=True)
        assert all(await asyncio.gather(*[service.closing.close(message_id) for _ in range(3)]))
        told = await service.chunks()
        assert "".join(one["chunk"] for one in told) == "1: hello world"
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
        log: Any = service.parts.log
        log._logs.clear()  # as a Redis that lost everything
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
