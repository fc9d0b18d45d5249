"""The people of the chat's drill: each has a session, tabs that are cut and go on elsewhere, and says things.

What a person got an answer for is in `sent`: the judge asks for nothing else.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.chat.tab import Tab, Told
from tests.drill.chat_graph import Asked

PATIENCE_SECONDS = 15.0
_CUT_SECONDS = 6.0
"""After so long on average a tab is cut off."""
_TAKEN, _AGAIN = 202, (429, 502, 503)
_CANCELLED = (202, 404, 409)


@dataclass(kw_only=True, slots=True)
class Sent:
    """A message that was accepted."""

    asked: Asked
    key: str
    began: float
    message_id: str = ""
    accepted: float = 0.0
    tries: int = 0
    cancelled: bool = False
    """Its person tried to stop it: it may be."""


class Followed(Tab):
    """A tab that knows when it was first told anything."""

    def __init__(self, session_id: str, user_id: str) -> None:
        super().__init__(session_id, user_id)
        self.since = 0.0
        self.times: list[float] = []

    def take(self, told: Told) -> None:
        self.since = self.since or time.time()
        self.times.append(time.time())
        super().take(told)


@dataclass(kw_only=True)
class Clients:
    """Clients of the pods, shared by all people."""

    urls: Callable[[], list[str]]
    kept: dict[str, httpx.AsyncClient] = field(default_factory=dict[str, httpx.AsyncClient])

    def any(self, dice: random.Random) -> httpx.AsyncClient:
        """Return a client of any pod."""
        url = dice.choice(self.urls())
        if url not in self.kept:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
            timeout = httpx.Timeout(10, connect=5)
            self.kept[url] = httpx.AsyncClient(base_url=url, limits=limits, timeout=timeout, trust_env=False)
        return self.kept[url]

    async def close(self) -> None:
        for client in self.kept.values():
            await client.aclose()


class Person:
    """One session, and what happens in it."""

    def __init__(self, number: int, seed: int, clients: Clients, gap: float) -> None:
        self.session_id, self.user_id = f"s{number}", f"u{number}"
        self.sent: list[Sent] = []
        self.tabs: list[Followed] = []
        self.surprises: list[str] = []
        self.doubled: list[str] = []
        self.cuts = 0
        self.repeats = 0
        """POSTs that were sent again."""
        self.is_calm = False
        """Nothing is cut any more."""
        self._dice = random.Random(f"{seed}/{number}")
        self._clients = clients
        self._gap = gap
        self._following: list[asyncio.Task[None]] = []

    async def live(self, seconds: float) -> None:
        """Come, speak, go on speaking until the time is over, and wait for what was sent to be taken."""
        dice, until = self._dice, time.monotonic() + seconds
        self._open(dice.uniform(0, 3))
        if dice.random() < 0.4:
            self._open(dice.uniform(3, seconds))
        await asyncio.sleep(dice.uniform(0, 3))
        saying: set[asyncio.Task[None]] = set()
        number = 0
        while time.monotonic() < until:
            for _ in range(dice.choice((1, 1, 1, 2, 4))):
                saying.add(asyncio.create_task(self._say(number)))
                number += 1
            await asyncio.sleep(dice.uniform(0.3, 1.7) * self._gap)
        await asyncio.gather(*saying)

    def _open(self, later: float) -> None:
        tab = Followed(self.session_id, self.user_id)
        self.tabs.append(tab)
        self._following.append(asyncio.create_task(self._follow(tab, later)))

    async def _follow(self, tab: Followed, later: float) -> None:
        await asyncio.sleep(later)
        while True:
            seconds = self._dice.expovariate(1 / _CUT_SECONDS)
            following = asyncio.create_task(tab.follow(self._clients.any(self._dice)))
            try:
                await asyncio.wait({following}, timeout=seconds)
                while self.is_calm and not following.done():
                    await asyncio.wait({following}, timeout=PATIENCE_SECONDS * 3)
                self.cuts += not following.done()
            finally:
                following.cancel()
                with contextlib.suppress(httpx.HTTPError, AssertionError, asyncio.CancelledError):
                    await following
            await asyncio.sleep(self._dice.choice((0.0, 0.05, 1.0)))

    async def _say(self, number: int) -> None:
        dice = random.Random(f"{self.session_id}/{number}/{self._dice.random()}")
        asked = Asked(f"{self.session_id}-m{number}", dice.choice((0, 3, 10, 25)), dice.choice((0.0, 0.01, 0.05)))
        body: dict[str, Any] = {"session_id": self.session_id, "user_id": self.user_id, "message": asked.text}
        if dice.random() < 0.25:
            body["context"] = {"graph": "tools"}
        sent = Sent(asked=asked, key=f"k{number}", began=time.time())
        self.sent.append(sent)
        copies = 2 if dice.random() < 0.1 else 1
        ids = await asyncio.gather(*[self._post(sent, body, dice) for _ in range(copies)])
        sent.message_id, sent.accepted = ids[0], time.time()
        if dice.random() < 0.06:
            sent.cancelled = True
            await asyncio.sleep(dice.uniform(0, 1))
            await self._cancel(sent, dice)
        if dice.random() < 0.15:
            await asyncio.sleep(dice.uniform(0, 2))
            ids.append(await self._post(sent, body, dice))
            self.repeats += 1
        if len({*ids}) > 1:
            self.doubled.append(f"{asked.name} was taken as {ids}")

    async def _post(self, sent: Sent, body: dict[str, Any], dice: random.Random) -> str:
        """Send a message until somebody has taken it; now and then the connection is cut before the answer comes."""
        while True:
            sent.tries += 1
            seconds = dice.uniform(0.005, 0.1) if dice.random() < 0.15 else PATIENCE_SECONDS
            try:
                headers = {"idempotency-key": sent.key}
                posting = self._clients.any(dice).post("/api/chat", json=body, headers=headers)
                answer = await asyncio.wait_for(posting, seconds)
            except (httpx.HTTPError, TimeoutError):
                self.repeats += 1
            else:
                if answer.status_code == _TAKEN:
                    return answer.json()["message_id"]
                if answer.status_code not in _AGAIN:
                    self.surprises.append(f"POST of {sent.asked.name}: {answer.status_code} {answer.text}")
            await asyncio.sleep(0.2)

    async def _cancel(self, sent: Sent, dice: random.Random) -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                answer = await self._clients.any(dice).post(f"/api/chat/{sent.message_id}/cancel")
                if answer.status_code in _CANCELLED:
                    return
                if answer.status_code not in _AGAIN:
                    self.surprises.append(f"cancel of {sent.asked.name}: {answer.status_code} {answer.text}")
            await asyncio.sleep(0.2)

    def due(self, tab: Followed) -> list[Sent]:
        """Return what the tab must have: what was sent when it was there, or before anybody of the session was."""
        first = tab is self.tabs[0]
        return [sent for sent in self.sent if sent.message_id and (first or sent.began > tab.since > 0)]

    def open_at(self, tab: Followed) -> list[Sent]:
        """Return what the tab has no end of, and must have."""
        answers = tab.answers
        return [s for s in self.due(tab) if s.message_id not in answers or answers[s.message_id].status == "open"]

    async def leave(self) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
