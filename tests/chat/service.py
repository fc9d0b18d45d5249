"""The chat without pods: a desk over memory parts, whoever works, and whoever ends messages."""

import asyncio
import json
from typing import Any

from ropewalk.chat.answering import Answering
from ropewalk.chat.closing import Closing
from ropewalk.chat.desk import ChatDesk
from ropewalk.chat.outlet import Told, Ways
from ropewalk.chat.requests import ChatContext, WorkflowRequest
from ropewalk.chat.whereabouts import Whereabouts
from ropewalk.chat_parts import memory_parts
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
        self.caller = Caller(owner="ann")

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

    def lose_the_log(self) -> None:
        """Do what a Redis does that loses everything."""
        log: Any = self.parts.log
        log._logs.clear()

    async def text(self) -> str:
        """Return what a client makes of the chunks of one message."""
        text = ""
        for one in await self.chunks():
            text = one["reset"]["text"] if "reset" in one else text + one["chunk"]
        return text
