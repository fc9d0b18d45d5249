"""Requests are counted for all servers together, by Redis; while it is away each server counts for itself."""

import asyncio
import contextlib
import secrets
from typing import Any

import pytest

from ropewalk.doors import limiter_of
from ropewalk.errors import LimitReached, PartUnknown
from ropewalk.settings import DoorSettings, chosen_doors


async def refused(limiter: Any, asker: str, times: int) -> int:
    """Ask so often; return how often it was refused."""
    found = 0
    for _ in range(times):
        with contextlib.suppress(LimitReached):
            await limiter.ask(asker)
            continue
        found += 1
    return found


def test_two_servers_have_one_count_for_each_user(redis_url: str) -> None:
    async def main() -> None:
        servers = [limiter_of(DoorSettings(requests_per_second=0.5, limits=redis_url)) for _ in range(2)]
        ann, bob = (f"{name}-{secrets.token_hex(4)}\r\n*" for name in ("ann", "bob"))
        first = await refused(servers[0], ann, 1)
        assert first + await refused(servers[1], ann, 9) == 9  # half a request a second: a burst of one
        assert await refused(servers[1], bob, 1) == 0
        for server in servers:
            await server.close()

    asyncio.run(main())


def test_while_redis_is_away_each_server_counts_for_itself(own_redis: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        limiter = limiter_of(DoorSettings(requests_per_second=0.5, limits=own_redis.url))
        assert await refused(limiter, "ann", 2) == 1
        own_redis.stop()
        assert await refused(limiter, "ann", 3) == 2
        own_redis.start()
        assert await refused(limiter, "ann", 1) in (0, 1)
        await limiter.close()

    asyncio.run(main())
    assert [record.levelname for record in caplog.records if "each process for itself" in record.message] == ["WARNING"]


def test_the_environment_names_where_requests_are_counted() -> None:
    chosen = chosen_doors(DoorSettings(), host="127.0.0.1", environ={"ROPEWALK_LIMITS": "redis://cache"})
    assert chosen.limits == "redis://cache"
    with pytest.raises(PartUnknown, match="redis://localhost"):
        limiter_of(DoorSettings(limits="http://cache"))
