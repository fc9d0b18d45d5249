"""Starts runs when their schedules say so, each tick once, however many servers keep the same schedule.

1. A tick's run id is made of the schedule's name and the tick: ``nightly@2026-11-21T03:00:00Z``. Who admits it first
   has started it; the store refuses all others. There is no leader, and nothing else is kept.
2. A tick that nobody was alive for is made up for by the next server that starts, unless it is later than the schedule
   allows. So is one that found the store away or the server full.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from ropewalk.errors import InvalidId, LimitReached, RopewalkError, RunExists, StoreUnavailable
from ropewalk.ids import checked_run_id
from ropewalk.server.owned import Caller
from ropewalk.server.runs import Request, RunService

log = logging.getLogger("ropewalk")

_LONGEST_SLEEP = 30.0
"""Clocks are set, and machines sleep: the time is looked at again after so many seconds."""
_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When runs of a graph start, and with what."""

    name: str
    graph: str
    cron: str
    """Minute, hour, day of the month, month, day of the week; six fields begin with seconds."""
    input: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timezone: str = "UTC"
    owner: str | None = None
    """Whose runs they are, where callers have names."""
    late_seconds: float = 300.0
    """How late a run may still start."""

    def ticks(self, after: float) -> Iterator[float]:
        """Yield the times behind ``after``, in seconds since the epoch."""
        for tick in CronSim(self.cron, datetime.fromtimestamp(after, ZoneInfo(self.timezone))):
            yield tick.timestamp()

    def run_id(self, tick: float) -> str:
        return f"{self.name}@{datetime.fromtimestamp(tick, UTC):%Y-%m-%dT%H:%M:%S}Z"


def checked(schedule: Schedule) -> Schedule:
    """Return the schedule. Raises ValueError for one that cannot be kept."""
    what = f"Schedule {schedule.name!r} of graph {schedule.graph!r}"
    try:
        checked_run_id(schedule.run_id(0.0))
    except InvalidId as error:
        raise ValueError(f"{what}: {error}") from error
    try:
        ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{what} is in the time zone {schedule.timezone!r}, which is none that this machine knows. "
            "Write one as 'Europe/Berlin'; where the machine knows none, install tzdata."
        ) from error
    try:
        next(schedule.ticks(time.time()))
    except (CronSimError, StopIteration) as error:
        why = str(error) or "it never comes"
        raise ValueError(
            f"{what} cannot be read, {schedule.cron!r}: {why}. Write minute, hour, day of the month, month and day of "
            "the week: '30 3 * * mon-fri'."
        ) from error
    if schedule.late_seconds <= 0:
        raise ValueError(f"{what}: late_seconds is above 0, or no run would ever start.")
    return schedule


class Scheduler:
    """Keeps schedules, as long as it is open."""

    def __init__(
        self, service: RunService, schedules: Iterable[Schedule], *, clock: Callable[[], float] = time.time
    ) -> None:
        """Raises ValueError for schedules of one name, and for what does not fit its graph."""
        self.schedules = [checked(schedule) for schedule in schedules]
        self._service = service
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        names: set[str] = set()
        for schedule in self.schedules:
            if schedule.name in names:
                raise ValueError(f"Two schedules are named {schedule.name!r}, and a run is named after its schedule.")
            names.add(schedule.name)
            service.inputs(schedule.graph).state_of(schedule.input)

    def start(self) -> None:
        """Keep the schedules from now on; must be called inside a running loop."""
        for schedule in self.schedules:
            task = asyncio.create_task(self._keep(schedule), name=f"ropewalk: schedule {schedule.name}")
            self._tasks.append(task)

    async def close(self) -> None:
        """Start nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _keep(self, schedule: Schedule) -> None:
        position = self._clock() - schedule.late_seconds
        while True:
            tick = next(schedule.ticks(position))
            wait = tick - self._clock()
            if wait > 0:
                await asyncio.sleep(min(wait, _LONGEST_SLEEP))
                continue
            position = tick
            await self._fire(schedule, tick)

    async def _fire(self, schedule: Schedule, tick: float) -> None:
        run_id = schedule.run_id(tick)
        while self._clock() - tick <= schedule.late_seconds:
            try:
                request = Request(input=schedule.input, run_id=run_id)
                await self._service.start(Caller(owner=schedule.owner), schedule.graph, request)
                log.info("schedule %s started run %s", schedule.name, run_id)
                return
            except RunExists:
                await self._check_ours(schedule, run_id)
                return
            except (StoreUnavailable, LimitReached) as trouble:
                log.warning("schedule %s waits with run %s: %s", schedule.name, run_id, trouble)
                await asyncio.sleep(_AGAIN_SECONDS)
            except RopewalkError as error:
                log.error("schedule %s could not start run %s: %s", schedule.name, run_id, error)
                return
        log.error("schedule %s: run %s was not started in time", schedule.name, run_id)

    async def _check_ours(self, schedule: Schedule, run_id: str) -> None:
        """Say so when it was not another server that started the run, but another schedule of the same name."""
        with contextlib.suppress(RopewalkError):
            record = await self._service.store.look(run_id)
            graph = self._service.graph(schedule.graph).name
            if record.graph != graph:
                log.error(
                    "schedule %s: run %s is one of graph %s, not of %s; rename one of the schedules",
                    schedule.name, run_id, record.graph, graph,
                )  # fmt: skip
