"""Which pods hold connections of the sessions that this process speaks to: known for a second, asked for beside."""

import asyncio
import contextlib
import random
from typing import NamedTuple

from ropewalk.contracts.session_registry import SessionRegistry
from ropewalk.errors.chat import BusUnavailable

FRESH_SECONDS = 1.0
_KEPT = 50_000
_GATHERED = 20
"""So many times in that second it is asked at most, for all who gathered meanwhile."""


class _Known(NamedTuple):
    pods: frozenset[str]
    until: float
    """By the loop's clock; those asked for together are asked for again apart: not all sessions in one burst."""


class Whereabouts:
    """Answers at once with what was known a moment ago; who is asked for first waits for the registry."""

    def __init__(self, registry: SessionRegistry, *, fresh_seconds: float = FRESH_SECONDS) -> None:
        self._registry = registry
        self._fresh = fresh_seconds
        self._known: dict[str, _Known] = {}
        self._firsts: dict[str, asyncio.Task[None]] = {}
        self._asked: set[str] = set()
        self._asking: asyncio.Task[None] | None = None

    def expect(self, session_id: str) -> None:
        """Ask beside for a session that will be spoken to in a moment, unless it is known well enough."""
        known = self._known.get(session_id)
        if known is None:
            self._first(session_id)
        elif asyncio.get_running_loop().time() > known.until:
            self._refresh(session_id)

    async def of(self, session_id: str) -> frozenset[str]:
        """Return the pods of a session; none where nobody is connected, or nobody knows."""
        known = self._known.get(session_id)
        if known is None:
            await asyncio.shield(self._first(session_id))
            known = self._known.get(session_id)
            return frozenset() if known is None else known.pods
        if asyncio.get_running_loop().time() > known.until:
            self._refresh(session_id)
        return known.pods

    def _first(self, session_id: str) -> "asyncio.Task[None]":
        """Ask at once for a session that is not known, one time for all who want to know."""
        task = self._firsts.get(session_id)
        if task is None:
            task = asyncio.create_task(self._ask([session_id]), name=f"ropewalk: where {session_id} is")
            self._firsts[session_id] = task
            task.add_done_callback(lambda _: self._firsts.pop(session_id, None))
        return task

    def _refresh(self, session_id: str) -> None:
        """Ask again beside: for all sessions together whose time is over."""
        self._asked.add(session_id)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_on(), name="ropewalk: where sessions are")

    async def _ask_on(self) -> None:
        while self._asked:
            await asyncio.sleep(self._fresh / _GATHERED)
            asked, self._asked = [*self._asked], set()
            await self._ask(asked)

    async def _ask(self, session_ids: list[str]) -> None:
        with contextlib.suppress(BusUnavailable):  # what was known stands; the chunks are in the log all the same
            found = await self._registry.pods_of(session_ids)
            if len(self._known) > _KEPT:
                self._known.clear()
            now = asyncio.get_running_loop().time()
            for session_id, pods in zip(session_ids, found, strict=True):
                self._known[session_id] = _Known(pods, now + self._fresh * random.uniform(0.5, 1.0))
