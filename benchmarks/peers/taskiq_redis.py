"""taskiq with taskiq-redis: a stream broker, acknowledged after execution, and its pub/sub broker."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from taskiq import AsyncBroker
from taskiq.receiver import Receiver
from taskiq_redis import PubSubBroker, RedisStreamBroker

from benchmarks.measure import Clock, Costs

Repetition = Callable[[], Awaitable[Costs]]
LISTENS_SECONDS = 0.5
"""What is published before the listener is there is lost, so it is waited for, and that is taken off."""
MESSAGE = {"task_id": "123", "type": "document_processing", "n": 1}


def add(url: str, messages: int, batch: int = 500) -> Repetition:
    async def repeat() -> Costs:
        broker = RedisStreamBroker(url, queue_name=secrets.token_hex(8), consumer_id="0")

        @broker.task
        async def work(message: dict[str, object]) -> None: ...

        await broker.startup()
        with Clock(messages) as clock:
            for _ in range(0, messages, batch):
                await asyncio.gather(*(work.kiq(MESSAGE) for _ in range(batch)))
        await broker.shutdown()
        return clock.costs

    return repeat


def process(url: str, messages: int, batch: int = 100) -> Repetition:
    async def repeat() -> Costs:
        broker = RedisStreamBroker(url, queue_name=secrets.token_hex(8), consumer_id="0", xread_count=batch)
        return await _received(broker, messages, batch, first=messages)

    return repeat


def pubsub(url: str, messages: int, batch: int = 100) -> Repetition:
    async def repeat() -> Costs:
        return await _received(PubSubBroker(url, queue_name=secrets.token_hex(8)), messages, batch, first=0)

    return repeat


async def _received(broker: AsyncBroker, messages: int, batch: int, *, first: int) -> Costs:
    """Time until all messages were executed: ``first`` of them wait already, the others are sent meanwhile."""
    left, all_done = messages, asyncio.Event()

    @broker.task
    async def work(message: dict[str, object]) -> None:
        nonlocal left
        left -= 1
        if not left:
            all_done.set()

    await broker.startup()
    for start in range(0, first, batch):
        await asyncio.gather(*(work.kiq(MESSAGE) for _ in range(start, start + batch)))
    receiver = Receiver(broker, max_async_tasks=batch)
    with Clock(messages) as clock:
        receiving = asyncio.create_task(_receive(broker, receiver))
        if not first:
            await asyncio.sleep(LISTENS_SECONDS)
            for _ in range(messages):
                await work.kiq(MESSAGE)
        await all_done.wait()
    receiving.cancel()
    await asyncio.wait([receiving], timeout=1)  # its blocking read may take no notice
    await broker.shutdown()
    waited = 0.0 if first else LISTENS_SECONDS
    return clock.costs | {"wall": (clock.wall - waited) / messages}


async def _receive(broker: AsyncBroker, receiver: Receiver) -> None:
    """What its worker does: listen, and let the receiver run and acknowledge each message in a task."""
    running: set[asyncio.Task[None]] = set()
    async for message in broker.listen():
        task = asyncio.create_task(receiver.callback(message))
        running.add(task)
        task.add_done_callback(running.discard)
