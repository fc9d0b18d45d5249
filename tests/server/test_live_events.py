"""Runs that a worker drives elsewhere: what they say reaches who follows them here, over a bus in memory.

The server and the worker have graphs, stores and folds of their own; they share the database and the bus.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.server.graphs import story, talk

from ropewalk import (
    END,
    START,
    Context,
    Graph,
    GraphState,
    History,
    LLMMessage,
    ScriptedModel,
    Token,
    ToolCall,
    ToolContext,
    ToolGraph,
    ToolState,
    tool,
)
from ropewalk.events import parse_event_id
from ropewalk.messaging.memory import MemoryLiveEvents
from ropewalk.runtime import open_store
from ropewalk.server.channel import Frame
from ropewalk.server.following import Reader
from ropewalk.server.owned import Caller
from ropewalk.server.runs import Request, RunService
from ropewalk.workers import Worker
from ropewalk.workers.broadcasting import Broadcasting

ME = Caller()


class Sides(GraphState):
    log: History[str]


GATES: dict[str, asyncio.Event] = {}


def sides() -> Graph[Sides]:
    """Two nodes say words side by side, each up to its gates."""
    graph = Graph(Sides, name="sides")

    async def tell(ctx: Context) -> dict[str, Any]:
        for part in ("1", "2"):
            for number in range(3):
                ctx.emit(Token(f"{ctx.node}{part}.{number} "))
            await GATES.setdefault(ctx.node + part, asyncio.Event()).wait()
        return {"log": ctx.node}

    for name in "ab":
        graph.add_node(tell, name=name).add_edge(START, name).add_edge(name, END)
    return graph


@pytest.fixture(autouse=True)
def _gates() -> None:
    GATES.clear()


class Bus(MemoryLiveEvents):
    """Tells who listens, and how much was said; its drivers' way to it can be interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.said = 0
        self._is_interrupted = False
        self._on_doubt: list[Callable[[], None]] = []

    def say(self, run_id: str, bodies: list[bytes]) -> None:
        self.said += 1
        if not self._is_interrupted:
            super().say(run_id, bodies)

    async def heed(self, *, on_nobody: Callable[[str], None], on_doubt: Callable[[], None]) -> None:
        await super().heed(on_nobody=on_nobody, on_doubt=on_doubt)
        self._on_doubt.append(on_doubt)

    def interrupt(self) -> None:
        self._is_interrupted = True

    def resume(self) -> None:
        self._is_interrupted = False
        for on_doubt in self._on_doubt:
            on_doubt()

    def is_followed(self, run_id: str) -> bool:
        return run_id in self._readers


@asynccontextmanager
async def working(draw: Callable[[], Graph[Any]], url: str, live: MemoryLiveEvents) -> AsyncIterator[Worker]:
    store, graph, told = open_store(url), draw(), Broadcasting(live)
    graph.use_store(store)
    await told.start()
    try:
        async with Worker(graph, lease=5, grace=1, on_drive=told.on_drive) as worker:
            yield worker
    finally:
        await told.close()
        await store.close()


@asynccontextmanager
async def serving(draw: Callable[[], Graph[Any]], url: str, live: Any) -> AsyncIterator[RunService]:
    store, graph = open_store(url), draw()
    graph.use_store(store)
    service = RunService([graph], for_workers=True, live=live)
    try:
        yield service
    finally:
        await service.close()
        await store.close()


async def begun(service: RunService, **input: Any) -> str:
    (name,) = service.graphs
    return (await service.start(ME, name, Request(input=input))).run_id


async def taken(reader: Reader, until: Callable[[list[Frame]], bool] = lambda _: False) -> list[Frame]:
    """Return what a reader gets, to the end or until that is enough."""
    frames = [*reader.opening]
    async with asyncio.timeout(15):
        while not until(frames) and (said := await reader.take()) is not None:
            frames += said.frames
    await reader.close()
    return frames


async def followed(service: RunService, run_id: str, after: str | None = None, **until: Any) -> list[Frame]:
    return await taken(await service.follow(ME, run_id, after), **until)


def ids(frames: list[Frame]) -> list[str]:
    return [frame.event.id for frame in frames]


def text(frames: list[Frame]) -> str:
    return "".join(frame.event.data["text"] for frame in frames if frame.type == "text")


def test_the_tokens_of_a_run_that_a_worker_drives_reach_who_follows_it(postgres_url: str) -> None:
    async def go() -> None:
        live = Bus()
        async with serving(story, postgres_url, live) as service:
            run_id = await begun(service, words=20, pause_seconds=0.005)
            reader = asyncio.create_task(followed(service, run_id))
            await until(lambda: live.is_followed(run_id))
            async with working(story, postgres_url, live):
                frames = await reader
            assert text(frames) == "".join(f"{node}{n} " for node in ("one", "two", "three") for n in range(20))
            places = [parse_event_id(one) for one in ids(frames)]
            assert places == sorted(set(places))
            order = [frame.type for frame in frames]
            assert order == ["run_started", *(["step_started", *["text"] * 20, "step_finished"] * 3), "run_done"]

    asyncio.run(go())


def test_of_a_run_that_nobody_follows_one_word_is_said_until_somebody_comes(postgres_url: str) -> None:
    async def go() -> None:
        live = Bus()
        async with serving(sides, postgres_url, live) as service, working(sides, postgres_url, live):
            run_id = await begun(service)
            await until(lambda: {"a1", "b1"} <= {*GATES})
            GATES["a1"].set()
            await until(lambda: "a2" in GATES)
            assert live.said == 1
            reader = asyncio.create_task(followed(service, run_id))
            await until(lambda: live.is_followed(run_id))
            for gate in ("a2", "b1", "b2"):
                GATES.setdefault(gate, asyncio.Event()).set()
            assert sorted(text(await reader).split()) == sorted(
                f"{x}{n}.{m}" for x in "ab" for n in "12" for m in range(3)
            )
            assert live.said > 1

    asyncio.run(go())


def test_what_was_said_while_the_driver_s_way_was_interrupted_is_told_again(postgres_url: str) -> None:
    async def go() -> None:
        live = Bus()
        async with serving(sides, postgres_url, live) as service, working(sides, postgres_url, live):
            run_id = await begun(service)
            reader = asyncio.create_task(followed(service, run_id))
            await until(lambda: live.is_followed(run_id) and {"a1", "b1"} <= {*GATES})
            live.interrupt()
            GATES["a1"].set()
            await until(lambda: "a2" in GATES)
            await asyncio.sleep(0.05)  # more than a breath: it is said, to nobody
            live.resume()
            for gate in ("a2", "b1", "b2"):
                GATES.setdefault(gate, asyncio.Event()).set()
            words = text(await reader).split()
            assert sorted(words) == sorted(f"{x}{n}.{m}" for x in "ab" for n in "12" for m in range(3))

    asyncio.run(go())


def test_a_stream_that_is_cut_at_any_event_joins_to_the_same_bytes(postgres_url: str) -> None:
    async def go() -> None:
        live = Bus()
        async with serving(story, postgres_url, live) as service, working(story, postgres_url, live):
            run_id = await begun(service, words=7, pause_seconds=0.005)
            whole = await followed(service, run_id)
            assert len(whole) == 1 + 3 * 9 + 1
            for at, last in enumerate(ids(whole)[:-1]):
                rest = await followed(service, run_id, last)
                assert [one.sse for one in whole[: at + 1] + rest] == [one.sse for one in whole], f"cut behind {last}"

    asyncio.run(go())


def test_a_stream_that_is_cut_all_the_time_joins_to_the_same_bytes(postgres_url: str) -> None:
    async def go() -> None:
        live = Bus()
        async with serving(story, postgres_url, live) as service, working(story, postgres_url, live):
            run_id = await begun(service, words=40, pause_seconds=0.003)
            whole = asyncio.create_task(followed(service, run_id))
            joined: list[Frame] = []
            cuts = 0
            while not joined or joined[-1].type != "run_done":
                cursor = ids(joined)[-1] if joined else None
                joined += await followed(service, run_id, cursor, until=lambda frames: len(frames) >= 3)
                cuts += 1
            assert [one.sse for one in joined] == [one.sse for one in await whole]
            assert cuts > 20

    asyncio.run(go())


def test_two_servers_and_one_that_comes_late_give_the_same(postgres_url: str) -> None:
    """What steps in flight have said is asked of the driver, whatever was committed since they began."""

    async def go() -> None:
        live = Bus()
        async with serving(sides, postgres_url, live) as service, working(sides, postgres_url, live):
            run_id = await begun(service)
            first = asyncio.create_task(followed(service, run_id))
            for gate in ("a1", "a2"):
                await until(lambda gate=gate: gate in GATES)
                GATES[gate].set()
            await until(lambda: "b1" in GATES)
            await finished(service, run_id, 2)
            GATES["b1"].set()
            await until(lambda: "b2" in GATES)
            async with serving(sides, postgres_url, live) as other:
                late = asyncio.create_task(followed(other, run_id))
                again = asyncio.create_task(followed(other, run_id, "1.4"))
                await until(lambda: [one.cursor > (2, 0) for one in other.following.readers] == [True, True])
                GATES["b2"].set()
                whole = await first
                assert [one.event.node for one in await late if one.type == "text"] == ["b"] * 6
                assert text(await late) == "b1.0 b1.1 b1.2 b2.0 b2.1 b2.2 "
                said_by_b = [one for one in whole if one.event.node in ("b", None) or "." not in one.event.id]
                assert ids(await late) == ids(said_by_b)
                assert ids(await again) == [one for one in ids(said_by_b) if parse_event_id(one) > (1, 4)]

    asyncio.run(go())


def test_a_cursor_that_another_server_gave_is_gone_on_from(postgres_url: str) -> None:
    """This one has not heard of the event yet; it is no cursor that nobody knows."""

    async def go() -> None:
        live = Bus()
        async with serving(sides, postgres_url, live) as service, working(sides, postgres_url, live):
            run_id = await begun(service)
            head = await followed(service, run_id, until=lambda frames: text(frames).count("b1") == 3)
            async with serving(sides, postgres_url, live) as other:
                rest = asyncio.create_task(followed(other, run_id, ids(head)[-1]))
                await until(lambda: bool(other.following.readers))
                for gate in ("a1", "b1", "a2", "b2"):
                    await until(lambda gate=gate: gate in GATES)
                    GATES[gate].set()
                joined = head + await rest
                assert [one.sse for one in joined] == [one.sse for one in await followed(service, run_id)]
                assert "snapshot" not in {one.type for one in joined}

    asyncio.run(go())


def asking() -> Graph[Any]:
    """An agent with one tool: three replies of a model, streamed."""

    @tool("Look up")
    async def look_up(word: str, ctx: ToolContext) -> str:
        ctx.emit("half way")
        return f"{word}: a thing"

    script = [["I look it up. ", ToolCall("look_up", {"word": "rope"}, "a")], "A rope is a thing."]
    graph = ToolGraph("asking")
    graph.add_tool_node("guide", [look_up], ScriptedModel(script))
    return graph


def test_an_agent_is_heard_as_it_is_beside_its_driver(postgres_url: str) -> None:
    async def go() -> None:
        live = Bus()
        here = asking()
        run = here.start(ToolState(messages=[LLMMessage(role="user", content="What is a rope?")]))
        beside = [(event.id, event.type, event.node) async for event in run.events()]
        async with serving(asking, postgres_url, live) as service:
            run_id = await begun(service, messages=[{"role": "user", "content": "What is a rope?"}])
            reader = asyncio.create_task(followed(service, run_id))
            await until(lambda: live.is_followed(run_id))
            async with working(asking, postgres_url, live):
                frames = await reader
        assert [(one.event.id, one.type, one.event.node) for one in frames] == beside
        assert {"tool_progress", "text", "model_replied"} <= {one.type for one in frames}
        assert text(frames) == "I look it up. A rope is a thing."

    asyncio.run(go())


def asks_first() -> Graph[Sides]:
    """Asks, then says words, up to a gate."""
    graph = Graph(Sides, name="asks_first")

    @graph.node
    async def ask(ctx: Context) -> dict[str, Any]:
        return {"log": await ctx.ask("?")}

    @graph.node
    async def tell(ctx: Context) -> dict[str, Any]:
        for number in range(3):
            ctx.emit(Token(f"{number} "))
        await GATES.setdefault("told", asyncio.Event()).wait()
        return {"log": "told"}

    return graph.add_edge(START, "ask").add_edge("ask", "tell").add_edge("tell", END)


def test_a_run_that_another_server_let_go_on_is_heard_here(postgres_url: str) -> None:
    async def go() -> None:
        live = Bus()
        async with serving(asks_first, postgres_url, live) as service, working(asks_first, postgres_url, live):
            run_id = await begun(service)
            reader = asyncio.create_task(taken(await service.follow(ME, run_id, through=True)))
            await until_status(service, run_id, "PAUSED")
            async with serving(asks_first, postgres_url, live) as other:
                (pause,) = (await other.look(ME, run_id))["pauses"]
                await other.answer(ME, run_id, pause["id"], "yes")
            await until(lambda: "told" in GATES)
            (channel,) = service.following._channels.values()
            await until(lambda: [frame.type for frame in channel.frames].count("text") == 3)
            GATES["told"].set()
            assert text(await reader) == "0 1 2 "

    asyncio.run(go())


class Away:
    """A bus that nobody can reach."""

    dropped = 0

    @asynccontextmanager
    async def follow(self, run_id: str, after: tuple[int, int]) -> AsyncIterator[Any]:
        async def nothing() -> AsyncIterator[list[bytes]]:
            await asyncio.Event().wait()
            yield []

        yield nothing()


def test_without_the_bus_there_are_the_entries(postgres_url: str) -> None:
    async def go() -> None:
        async with (
            serving(story, postgres_url, Away()) as service,
            working(story, postgres_url, MemoryLiveEvents()),
        ):
            run_id = await begun(service, words=5)
            frames = await followed(service, run_id)
            assert ids(frames) == ["1", "2", "3", "4", "5"]
            assert frames[1].event.data["text"] == "one0 one1 one2 one3 one4 "

    asyncio.run(go())


def test_a_run_that_goes_on_after_an_answer_is_heard_again(postgres_url: str) -> None:
    async def go() -> None:
        live = Bus()
        async with serving(talk, postgres_url, live) as service:
            run_id = await begun(service, words=3)
            reader = asyncio.create_task(taken(await service.follow(ME, run_id, through=True)))
            await until(lambda: live.is_followed(run_id))
            async with working(talk, postgres_url, live):
                await until_status(service, run_id, "PAUSED")
                (pause,) = (await service.look(ME, run_id))["pauses"]
                await service.answer(ME, run_id, pause["id"], True)
                frames = await reader
            assert text(frames) == "ropes0 ropes1 ropes2 "
            assert [one.type for one in frames][-4:] == ["answered", "step_started", "step_finished", "run_done"]

    asyncio.run(go())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def until_status(service: RunService, run_id: str, status: str) -> None:
    async with asyncio.timeout(10):
        while (await service.store.look(run_id)).status != status:
            await asyncio.sleep(0.005)


async def finished(service: RunService, run_id: str, last: int) -> None:
    async with asyncio.timeout(10):
        while (await service.store.look(run_id)).last < last:
            await asyncio.sleep(0.005)
