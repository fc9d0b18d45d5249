"""Pods and workers in this process, over parts in memory: what a test can look into."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
from tests.chat.tab import Tab

from ropewalk import Graph
from ropewalk.chat_parts import ChatParts, memory_parts
from ropewalk.chat_service import ChatWorker, Gateway
from ropewalk.chat_settings import ChatSettings
from ropewalk.settings import DoorSettings


class Inside:
    """A chat service in one event loop."""

    def __init__(self, graphs: Sequence[Graph[Any]], parts: ChatParts | None = None, **settings: Any) -> None:
        self.graphs = graphs
        self.parts = parts or memory_parts()
        self.settings = settings
        self.tasks: list[asyncio.Task[Any]] = []
        self.stops: list[Any] = []
        self.pods: dict[str, Gateway] = {}
        self.urls: dict[str, str] = {}

    async def pod(self, name: str = "pod1", parts: ChatParts | None = None, **doors: Any) -> httpx.AsyncClient:
        """Start a pod; return a client of it."""
        settings = ChatSettings(pod_id=name, **self.settings)
        pod = Gateway(self.graphs, parts or self.parts, settings, DoorSettings(**doors))
        listening = pod.open_socket("127.0.0.1", 0)
        self.urls[name] = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.pods[name] = pod
        self.tasks.append(asyncio.create_task(pod.serve(listening)))
        self.stops.append(pod)
        client = httpx.AsyncClient(base_url=self.urls[name], timeout=20)
        self.stops.append(client)
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get("/health")).status_code == 200:
                        return client
                await asyncio.sleep(0.01)

    def worker(self, **options: Any) -> ChatWorker:
        """Start a worker."""
        worker = ChatWorker(self.graphs, self.parts, ChatSettings(**self.settings), **options)
        self.tasks.append(asyncio.create_task(worker.run()))
        self.stops.append(worker)
        return worker

    def tab(self, session_id: str, user_id: str = "ann", *, pod: str = "pod1") -> Tab:
        """Open a tab that follows its session at ``pod`` until the end of the test."""
        tab = Tab(session_id, user_id)
        self.tasks.append(asyncio.create_task(tab.keep_following(lambda: self.urls[pod])))
        return tab

    async def close(self) -> None:
        for task in self.tasks:
            if "keep_following" in repr(task.get_coro()):
                task.cancel()
        for one in reversed(self.stops):
            if isinstance(one, httpx.AsyncClient):
                await one.aclose()
            else:
                one.stop()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.parts.close()


@contextlib.asynccontextmanager
async def inside(
    graphs: Sequence[Graph[Any]], parts: ChatParts | None = None, **settings: Any
) -> AsyncIterator[Inside]:
    """Yield a chat service; end all of it."""
    made = Inside(graphs, parts, **settings)
    try:
        yield made
    finally:
        async with asyncio.timeout(20):
            await made.close()
