"""How many runs may be under way: driven by this process in all, and of each user.

1. Who comes is counted before the store is asked how many of the user's runs are RUNNING: whoever is not in the store
   by then is among those that have come, so the two together are never too few, and nobody waits for another.
2. Where they are too many, because some are counted twice or there is no room indeed, one after the other enters, as
   soon as those that came before are in the store: then the count is exact.
3. Who has seen the store before it came (`Seen`) adds those that went in since: they may not be in what it saw.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from weakref import WeakValueDictionary

from ropewalk.contracts import RunStore
from ropewalk.errors import LimitReached

_RUNNING = ("RUNNING",)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLimits:
    """How much is taken on."""

    runs_per_user: int = 100
    """RUNNING at a time, of one user."""
    runs: int = 10_000
    """Driven at a time by this process."""


class _Entrance:
    """Where the runs of one user come in."""

    def __init__(self) -> None:
        self.coming = 0
        """How many have come that may not be in the store yet."""
        self.gone_in = 0
        """How many have come and gone, ever: those that were admitted are in the store."""
        self.one_by_one = asyncio.Lock()
        self.empty = asyncio.Event()
        self.empty.set()

    @contextlib.contextmanager
    def come(self) -> Generator[int]:
        """Be counted among those that come; gives how many there are with this one."""
        self.coming += 1
        self.empty.clear()
        try:
            yield self.coming
        finally:
            self.coming -= 1
            self.gone_in += 1
            if not self.coming:
                self.empty.set()


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How far it has come with the runs of one user."""

    entrance: _Entrance
    gone_in: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """How many runs of a user the store had RUNNING, when it was asked after ``mark``."""

    mark: Mark
    running: int

    @property
    def at_most(self) -> int:
        """How many are RUNNING now at most, but for those who come this moment."""
        return self.running + self.mark.entrance.gone_in - self.mark.gone_in


class Room:
    """Lets runs in as long as there is room for them."""

    def __init__(self, store: RunStore, driven: Callable[[], int]) -> None:
        """``driven`` tells how many runs this process drives."""
        self._store = store
        self._driven = driven
        self._entrances: WeakValueDictionary[str, _Entrance] = WeakValueDictionary()

    def check(self, limits: RunLimits) -> None:
        """Raise `LimitReached` when this process drives as many runs as it may."""
        if self._driven() >= limits.runs:
            raise LimitReached("running runs", limits.runs, setting="the limit of runs")

    def mark(self, owner: str) -> Mark:
        """Return what the store is asked behind, by those who count with what they see there."""
        entrance = self._entrance(owner)
        return Mark(entrance=entrance, gone_in=entrance.gone_in)

    @contextlib.asynccontextmanager
    async def for_one_of(self, owner: str, limits: RunLimits, seen: Seen | None = None) -> AsyncGenerator[None]:
        """Let one more run of ``owner`` in; ``seen`` spares asking the store, where there is room by it. Raises
        `LimitReached`.
        """
        most = limits.runs_per_user
        entrance = self._entrance(owner)
        if not entrance.one_by_one.locked():
            with entrance.come() as coming:
                running = await self._running(owner, most) if seen is None else seen.at_most
                if running + coming <= most:
                    yield
                    return
        async with entrance.one_by_one:
            await entrance.empty.wait()
            if await self._running(owner, most) >= most:
                raise LimitReached("running runs of one user", most, setting="the limit of runs per user")
            try:
                yield
            finally:
                entrance.gone_in += 1

    def _entrance(self, owner: str) -> _Entrance:
        entrance = self._entrances.get(owner)
        if entrance is None:
            entrance = self._entrances[owner] = _Entrance()
        return entrance

    async def _running(self, owner: str, most: int) -> int:
        return len(await self._store.runs(owner=owner, statuses=_RUNNING, limit=most))
