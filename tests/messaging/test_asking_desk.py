"""Scripts that are asked at the same time: one round trip, an answer for each, and trouble for whom it belongs to."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.servers.valkey import RedisServer

from ropewalk.errors import BusUnavailable
from ropewalk.messaging.redis.asking_desk import AskingDesk
from ropewalk.messaging.redis.async_client import AsyncRedisClient
from ropewalk.messaging.redis.config import RedisConfig
from ropewalk.messaging.redis.session_registry import RedisSessionRegistry
from ropewalk.messaging.redis.talk import Run, script

Body = Callable[[AsyncRedisClient, AskingDesk], Awaitable[None]]


def run(url: str, body: Body, **settings: Any) -> None:
    async def go() -> None:
        async with AsyncRedisClient(RedisConfig(url, **settings)) as client, asyncio.timeout(20):
            desk = AskingDesk(client, "What is tested")
            try:
                await body(client, desk)
            finally:
                await desk.close()

    asyncio.run(go())


def claim(number: int, owner: str = "me", key: str = "test-desk") -> Run:
    return Run(script("session_claim"), (f"{key}:{number}",), (owner, 60_000))


def test_a_thousand_callers_need_one_connection(redis_url: str) -> None:
    async def body(client: AsyncRedisClient, desk: AskingDesk) -> None:
        mine = await asyncio.gather(*[desk.ask(claim(number)) for number in range(1000)])
        others = await asyncio.gather(*[desk.ask(claim(number, "you")) for number in range(1000)])
        assert [*map(bool, mine)] == [True] * 1000
        assert [*map(bool, others)] == [False] * 1000
        registry = RedisSessionRegistry(client)
        claims = [registry.claim(f"test-desk-{number}", "me", ttl_seconds=60) for number in range(1000)]
        assert all(await asyncio.gather(*claims))
        await registry.close()

    run(redis_url, body, max_connections=1)


def test_a_server_that_has_lost_its_scripts_is_asked_together_again(own_redis: RedisServer) -> None:
    async def body(client: AsyncRedisClient, desk: AskingDesk) -> None:
        async def reads() -> int:
            told = (await client.execute("INFO", "stats")).decode()
            return int(told.split("total_reads_processed:")[1].split()[0])

        await client.execute("SCRIPT", "FLUSH")
        before = await reads()
        told = await asyncio.gather(*[desk.ask(claim(number)) for number in range(150)])
        assert [*map(bool, told)] == [True] * 150
        assert await reads() - before < 30

    run(own_redis.url, body)


def test_trouble_is_told_to_whom_it_belongs(redis_url: str) -> None:
    async def body(client: AsyncRedisClient, desk: AskingDesk) -> None:
        await client.execute("DEL", "test-desk-wrong:1")
        await client.execute("LPUSH", "test-desk-wrong:1", "no text")
        asked = [claim(2, key="test-desk-well"), claim(1, key="test-desk-wrong"), claim(3, key="test-desk-well")]
        told = await asyncio.gather(*map(desk.ask, asked), return_exceptions=True)
        assert isinstance(told[1], BusUnavailable)
        assert "What is tested" in str(told[1])
        assert [bool(told[0]), bool(told[2])] == [True, True]
        with pytest.raises(BusUnavailable):
            await desk.ask(asked[1])

    run(redis_url, body)


def test_a_caller_that_gives_up_takes_no_answer_from_the_others(redis_url: str) -> None:
    async def body(client: AsyncRedisClient, desk: AskingDesk) -> None:
        asked = [asyncio.ensure_future(desk.ask(claim(number, f"u{number}", "test-desk-left"))) for number in range(9)]
        asked[4].cancel()
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in told] == [number == 4 for number in range(9)]
        assert await client.get("test-desk-left:5") == "u5"

    run(redis_url, body)
