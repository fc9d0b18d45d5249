"""Runs that start by the clock: one for each tick, whoever keeps the schedule."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.server.graphs import quick
from tests.server.serving import Served, child, until

from ropewalk.errors import StoreUnavailable
from ropewalk.runtime import open_store
from ropewalk.server.runs import RunService
from ropewalk.server.schedules import Schedule, Scheduler
from ropewalk.stores.memory import MemoryRunStore

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp()
EVERY_MINUTE = Schedule(name="often", graph="quick", cron="* * * * *", input={"n": 5})


class Clock:
    """A clock that goes a minute with each tenth of a second, from noon."""

    def __init__(self, start: float = NOON) -> None:
        self._start = start
        self._began = time.monotonic()

    def __call__(self) -> float:
        return self._start + (time.monotonic() - self._began) * 600


def service(store: Any = None) -> RunService:
    graph = quick()
    graph.use_store(store or MemoryRunStore())
    return RunService([graph])


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.005)


async def started(of: RunService) -> list[str]:
    return sorted(record.run_id for record in await of.store.runs(limit=500))


def test_ticks_are_told_in_the_schedules_own_time_zone_across_its_summer_time() -> None:
    schedule = Schedule(name="n", graph="g", cron="30 3 * * *", timezone="Europe/Berlin")
    ticks = schedule.ticks(datetime(2026, 10, 24, 0, tzinfo=UTC).timestamp())
    assert [schedule.run_id(next(ticks)) for _ in range(2)] == ["n@2026-10-24T01:30:00Z", "n@2026-10-25T02:30:00Z"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"cron": "61 * * * *"}, "Bad minute"),
        ({"cron": "often"}, "Wrong number of fields"),
        ({"timezone": "Europe/Atlantis"}, "Europe/Atlantis"),
        ({"name": "no spaces please"}, "cannot be a run id"),
        ({"late_seconds": 0}, "late_seconds"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused_where_it_is_declared(wrong: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"name": "n", "cron": "* * * * *"} | wrong
    with pytest.raises(ValueError, match=re.escape(told)):
        quick().add_schedule(given.pop("name"), given.pop("cron"), **given)


def test_what_does_not_fit_the_graph_is_refused_before_anything_is_served() -> None:
    graph = quick().add_schedule("a", "* * * * *", input={"m": 1})
    graph.use_store("memory:")
    with pytest.raises(ValueError, match="no such field"):
        Scheduler(RunService([graph]), graph.schedules)
    twice = [EVERY_MINUTE, EVERY_MINUTE]
    with pytest.raises(ValueError, match="Two schedules"):
        Scheduler(service(), twice)


def test_each_tick_starts_one_run_though_two_schedulers_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropewalk.server.schedules._LONGEST_SLEEP", 0.01)
    schedule = replace(EVERY_MINUTE, late_seconds=1_800)

    async def main() -> None:
        url = f"sqlite:///{tmp_path}/runs.db"
        one, two = service(open_store(url)), service(open_store(url))
        clock = Clock()
        schedulers = [Scheduler(of, [schedule], clock=clock) for of in (one, two)]
        for scheduler in schedulers:
            scheduler.start()

        async def enough() -> bool:
            return len(await started(one)) >= 40

        await eventually(enough)
        for scheduler in schedulers:
            await scheduler.close()
        found = await started(one)
        minutes = [datetime.fromisoformat(run_id.partition("@")[2]).timestamp() for run_id in found]
        assert {later - earlier for earlier, later in pairwise(minutes)} == {60.0}
        for of in (one, two):
            await of.close()
        records = await one.store.runs(limit=500)
        entries = [entry for record in records for entry in await one.store.read(record.run_id, limit=1)]
        assert all(b'"n":5' in body for _, body in entries)
        for of in (one, two):
            await of.store.close()

    asyncio.run(main())


def test_a_tick_that_nobody_was_alive_for_is_made_up_for_within_its_time() -> None:
    async def main() -> None:
        of = service()
        late = NOON + 3 * 60 + 30
        hourly = Schedule(name="hourly", graph="quick", cron="0 * * * *", late_seconds=300)
        rare = Schedule(name="rare", graph="quick", cron="0 * * * *", late_seconds=60)
        scheduler = Scheduler(of, [hourly, rare], clock=lambda: late)
        scheduler.start()

        async def made_up() -> bool:
            return await started(of) == ["hourly@2026-11-21T12:00:00Z"]

        await eventually(made_up)
        await asyncio.sleep(0.05)
        assert await made_up()
        await scheduler.close()
        await of.close()

    asyncio.run(main())


class AwayAtFirst(MemoryRunStore):
    """A store that cannot admit anything the first two times."""

    refused = 0

    async def create(self, run: Any, bodies: Any) -> int:
        if self.refused < 2:
            self.refused += 1
            raise StoreUnavailable("The store is away.")
        return await super().create(run, bodies)


def test_a_tick_that_found_the_store_away_starts_its_run_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropewalk.server.schedules._AGAIN_SECONDS", 0.01)

    async def main() -> None:
        of = service(AwayAtFirst())
        scheduler = Scheduler(of, [EVERY_MINUTE], clock=lambda: NOON + 1)
        scheduler.start()

        async def there() -> bool:
            return "often@2026-11-21T12:00:00Z" in await started(of)

        await eventually(there)
        await scheduler.close()
        await of.close()

    asyncio.run(main())


def test_runs_of_a_schedule_belong_to_whom_it_says() -> None:
    graph = quick().add_schedule("secondly", "* * * * * *", owner="ann", late_seconds=2)
    with Served(graph, api_keys=("ann:key-of-ann", "bob:key-of-bob")) as served:

        def runs(key: str) -> list[str]:
            listed = served.client.get("/runs", headers={"authorization": f"Bearer {key}"}).json()["items"]
            return [one["run_id"] for one in listed]

        until(lambda: len(runs("key-of-ann")) >= 2)
        assert runs("key-of-bob") == []


FLOW = """
from ropewalk import Graph, GraphState, START, END

class Count(GraphState):
    n: int = 0

graph = Graph(Count, name="count")
graph.add_node(lambda state: {"n": state.n + 1}, name="add")
graph.add_edge(START, "add").add_edge("add", END)
graph.add_schedule("secondly", "* * * * * *", late_seconds=2)
"""


def test_the_command_keeps_what_stands_beside_the_graph(tmp_path: Path) -> None:
    import httpx

    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    with child("flow.py", cwd=tmp_path) as (_, ready):

        def done() -> bool:
            items = httpx.get(f"{ready['url']}/runs?status=DONE").json()["items"]
            return any(one["run_id"].startswith("secondly@") for one in items)

        until(done)
