"""What pods and workers tell the registry and ask it, spread over time: a burst of it holds up every token."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from tests.properties.virtual import VirtualLoop

from ropewalk.chat.pod import due
from ropewalk.chat.whereabouts import Whereabouts
from ropewalk.contracts.session_registry import Connection
from ropewalk.messaging.memory import MemorySessionRegistry

_SESSIONS = [f"s{number}" for number in range(100)]
_CONNECTIONS = [Connection(session, "pod-1", f"c-{session}") for session in _SESSIONS]
_FRESH_SECONDS = 0.4


class CountingRegistry(MemorySessionRegistry):
    """Notes how many sessions it was asked for at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    async def pods_of(self, session_ids: Sequence[str]) -> list[frozenset[str]]:
        self.asked.append(len(session_ids))
        return await super().pods_of(session_ids)


def on_virtual_time(scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario)


def test_a_session_that_is_expected_is_asked_for_at_once_and_one_time() -> None:
    async def scenario() -> None:
        registry = CountingRegistry()
        await registry.announce(_CONNECTIONS[:1], ttl_seconds=30.0)
        whereabouts = Whereabouts(registry)
        began = asyncio.get_running_loop().time()
        whereabouts.expect("s0")
        whereabouts.expect("s0")
        assert await asyncio.gather(whereabouts.of("s0"), whereabouts.of("s0")) == [{"pod-1"}] * 2
        assert asyncio.get_running_loop().time() == began
        assert registry.asked == [1]

    on_virtual_time(scenario())


def test_sessions_that_begin_together_are_not_asked_for_together_again() -> None:
    async def scenario() -> None:
        registry = CountingRegistry()
        await registry.announce(_CONNECTIONS, ttl_seconds=30.0)
        whereabouts = Whereabouts(registry, fresh_seconds=_FRESH_SECONDS)
        await asyncio.gather(*map(whereabouts.of, _SESSIONS))
        registry.asked.clear()
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 3 * _FRESH_SECONDS:
            assert await asyncio.gather(*map(whereabouts.of, _SESSIONS)) == [{"pod-1"}] * len(_SESSIONS)
            await asyncio.sleep(0.005)
        assert sum(registry.asked) > len(_SESSIONS)  # all were asked for again
        assert max(registry.asked) < len(_SESSIONS) / 2  # never most of them at once
        assert len(registry.asked) < sum(registry.asked) / 2  # nor each by itself

    on_virtual_time(scenario())


def test_a_session_that_moved_is_found_at_its_new_pod() -> None:
    async def scenario() -> None:
        registry = CountingRegistry()
        whereabouts = Whereabouts(registry, fresh_seconds=0.05)
        assert await whereabouts.of("s0") == frozenset()
        await registry.announce(_CONNECTIONS[:1], ttl_seconds=30.0)
        async with asyncio.timeout(5):
            while await whereabouts.of("s0") != {"pod-1"}:
                await asyncio.sleep(0.005)

    on_virtual_time(scenario())


@pytest.mark.parametrize("first", [0, 7])
def test_each_connection_is_announced_once_in_a_third_of_its_life_and_not_all_at_once(first: int) -> None:
    parts = [due(_CONNECTIONS, tick, ttl_seconds=30.0) for tick in range(first, first + 20)]  # ten seconds
    assert sorted(one for part in parts for one in part) == sorted(_CONNECTIONS)
    assert max(map(len, parts)) < len(_CONNECTIONS) / 3


def test_connections_with_a_short_life_are_announced_at_every_look() -> None:
    assert due(_CONNECTIONS, 3, ttl_seconds=1.0) == _CONNECTIONS
