"""A chunk log does what a small model of it does, whatever is asked in whatever order: in memory and on Redis."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from tests.contracts.chat_places import unique
from tests.servers.fixtures import delete_keys

from ropewalk.errors.chat import ChunkRefused, MessageOver
from ropewalk.messaging.memory import MemoryChunkLog
from ropewalk.messaging.redis import AsyncRedisClient, RedisChunkLog

KEPT = 12
STEP = 1
"""How often messages are forgotten: a tenth of it."""
MESSAGES = st.sampled_from(["a", "b", "c"])
FENCES = st.integers(0, 3)


@dataclass
class Told:
    fence: int
    touched: int
    at: list[int] = field(default_factory=list)
    """The place of each chunk."""
    last: int = 0
    """With which chunk the last append began."""
    over: bool = False
    seen: bool = False


class Model:
    """Everything that was ever appended; what is trimmed is left out when it is read."""

    def __init__(self) -> None:
        self.all: list[bytes] = []
        self.told: dict[str, Told] = {}

    @property
    def oldest(self) -> int:
        return max(1, len(self.all) - KEPT + 1)

    def open(self, message: str, fence: int) -> int | type[Exception]:
        one = self.told.setdefault(message, Told(fence, len(self.all)))
        if one.over or one.fence > fence:
            return MessageOver if one.over else ChunkRefused
        one.seen = one.seen and one.fence == fence
        one.fence, one.touched = fence, len(self.all)
        return len(one.at)

    def append(self, message: str, bodies: list[bytes], fence: int, chunk_id: int, final: bool) -> tuple[int, ...]:
        """Return first, chunks, refused, skipped."""
        if chunk_id == 0:
            self.told.setdefault(message, Told(fence, len(self.all)))
        one = self.told.get(message)
        if one is None or fence > one.fence:
            return 0, len(one.at) if one else 0, 0, 0
        end, have = chunk_id + len(bodies), len(one.at)
        if fence < one.fence or chunk_id > have or (one.over and end > have):
            return 0, have, 1, 0
        new = bodies[have - chunk_id :]
        if new:
            one.last = have
            before = len(self.all)
            self.all += new
            one.at += range(before + 1, len(self.all) + 1)
            one.touched = len(self.all)
        one.over = one.over or (final and end == len(one.at))
        repeats_last = bool(bodies) and end == len(one.at) and chunk_id <= one.last
        answer = (one.at[one.last], len(one.at), 0, one.last - chunk_id) if repeats_last else None
        answer = answer or (0, len(one.at), 0, min(len(bodies), have - chunk_id))
        if new and len(self.all) > KEPT and before // STEP < len(self.all) // STEP:
            self.told = {name: kept for name, kept in self.told.items() if kept.touched >= self.oldest}
        return answer

    def unseen_from(self) -> int:
        open_ones = [one.at[0] for one in self.told.values() if one.at and not (one.over and one.seen)]
        return max(self.oldest, min(open_ones, default=len(self.all) + 1))


class Machine(RuleBasedStateMachine):
    url: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.session = unique("model")
        self.model = Model()
        self.number = 0
        self.client = AsyncRedisClient(self.url) if self.url else None
        self.log: Any = RedisChunkLog(self.client, kept=KEPT) if self.client else MemoryChunkLog(kept=KEPT)
        self.life = self.ask(self.log.append(self.session, "z", [], fence=0, chunk_id=1, final=False)).log

    def ask(self, asked: Any) -> Any:
        return self.runner.run(asked)

    def teardown(self) -> None:
        if self.client:
            self.ask(self.client.close())
        self.runner.close()

    @rule(message=MESSAGES, fence=FENCES)
    def open(self, message: str, fence: int) -> None:
        expected = self.model.open(message, fence)
        if isinstance(expected, type):
            with pytest.raises(expected):
                self.ask(self.log.open(self.session, message, fence=fence))
        else:
            opened = self.ask(self.log.open(self.session, message, fence=fence))
            assert (opened.chunks, opened.log) == (expected, self.life)

    @rule(message=MESSAGES, fence=FENCES, off=st.integers(-2, 1), count=st.integers(0, 5), final=st.booleans())
    def append(self, message: str, fence: int, off: int, count: int, final: bool) -> None:
        """Near the next chunk mostly: before it, at it, behind it."""
        known = self.model.told.get(message)
        fence = known.fence if known and fence else fence
        chunk_id = max(0, (len(known.at) if known else 0) + off)
        bodies = [b"%d" % (self.number + n) for n in range(count)]
        self.number += count
        for _ in range(2 if off == 0 and count else 1):  # the second time as one whose answer was lost
            expected = self.model.append(message, bodies, fence, chunk_id, final and off == 0)
            told = self.ask(
                self.log.append(self.session, message, bodies, fence=fence, chunk_id=chunk_id, final=final and off == 0)
            )
            assert (told.first, told.chunks, int(told.refused), told.skipped, told.log) == (*expected, self.life)

    @rule(messages=st.lists(MESSAGES, max_size=2))
    def seen(self, messages: list[str]) -> None:
        self.ask(self.log.seen(self.session, messages))
        for message in messages:
            if message in self.model.told:
                self.model.told[message].seen = True

    @rule(after=st.integers(0, 30), limit=st.integers(0, 20))
    def read(self, after: int, limit: int) -> None:
        page = self.ask(self.log.read(self.session, after=after, limit=limit))
        self.agrees(page, max(after + 1, self.model.oldest), limit)

    @rule(limit=st.integers(0, 20))
    def unseen(self, limit: int) -> None:
        self.agrees(self.ask(self.log.unseen(self.session, limit=limit)), self.model.unseen_from(), limit)

    @invariant()
    def all_of_it_is_there(self) -> None:
        self.agrees(self.ask(self.log.read(self.session, after=0)), self.model.oldest, 1000)

    def agrees(self, page: Any, begin: int, limit: int) -> None:
        model = self.model
        assert (page.log, page.newest) == (self.life, len(model.all))
        assert page.oldest == model.oldest
        expected = [(at, model.all[at - 1]) for at in range(begin, min(len(model.all), begin + limit - 1) + 1)]
        assert [(chunk.at, chunk.body) for chunk in page.chunks] == expected


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_it_does_what_the_model_does(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("redis_url") if kind == "redis" else ""
    machine = type("OfKind", (Machine,), {"url": url})
    many = settings(
        max_examples=100 if kind == "memory" else 40,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(machine, settings=many)
    if url:
        delete_keys(url, "chat:log:{test-model")
