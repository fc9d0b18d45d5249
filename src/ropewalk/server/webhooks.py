"""Tells addresses on the web that a run paused or ended: signed, at least once, tried again for hours.

A delivery is a run itself, of a graph of one node: it is durable before it begins, its retries survive a restart, its
log tells how it went. Its id is made of the run, the entry and the address: it exists once, whoever notices.

1. Who drives a run notices that it stopped, right behind the commit. For runs that workers drive the log is looked at.
2. A process that dies between the commit and the delivery's admission is made up for: at the start, and from time to
   time, all runs that were touched lately are looked at.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

from pydantic_core import to_json

from ropewalk.contracts import RunRecord
from ropewalk.core.context import Context
from ropewalk.core.facts import RunStarted, RunStopped, read_entry
from ropewalk.core.feed import Logged
from ropewalk.core.graph import Graph
from ropewalk.core.plan import END, START
from ropewalk.core.retry import Retry
from ropewalk.core.state import GraphState
from ropewalk.errors import InputInvalid, Problem, RopewalkError, RunExists, RunNotFound
from ropewalk.server.owned import ANYBODY
from ropewalk.server.posting import NotDelivered, PostRefused, address_of, post, secret_of, signature
from ropewalk.server.runs import Request, RunService
from ropewalk.server.views import pause_data

log = logging.getLogger("ropewalk")

GRAPH = "ropewalk.webhooks"
RETRY = Retry(attempts=12, backoff=5.0, factor=3.0, max_backoff=3_600.0, on=(OSError,))
_POST_SECONDS = 15.0
_KINDS = {"PAUSED": "run_paused", "DONE": "run_done", "FAILED": "run_failed", "CANCELLED": "run_cancelled"}
_LATELY_SECONDS = 3 * 86_400.0
_SCANS_SECONDS = 600.0
_LOOKS_SECONDS = (0.25, 30.0)
_KEPT = 100_000
_GONE = 410


class Delivery(GraphState):
    """One message to one address."""

    run_id: str
    url: str
    body: str
    outcome: str = ""


class Webhooks:
    """The deliveries of one server."""

    def __init__(
        self,
        service: RunService,
        *,
        secrets: Iterable[str],
        urls: Iterable[str] = (),
        allowed_hosts: Collection[str] = (),
        for_workers: bool = False,
    ) -> None:
        """``urls`` are told of every run; a run may name one more. Raises ValueError for secrets and addresses."""
        self._service = service
        self._secrets = [secret_of(secret) for secret in secrets]
        self._urls = [*urls]
        self._hosts = frozenset(allowed_hosts)
        for url in self._urls:
            self._checked(url)
        self.graph = self._drawn()
        self.deliveries = RunService([self.graph], for_workers=for_workers)
        self._for_workers = for_workers
        self._plain: dict[str, None] = {}
        """Runs that began here and that nobody wants to be told of."""
        self._looks: dict[str, tuple[int, float, float]] = {}
        """Runs that workers drive: the entry that was seen last, when it was new, when to look again."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.scans = 0
        """How often all runs were looked at."""
        service.check_webhook = self.check
        for graph in service.graphs.values():
            graph.watch(self)

    def check(self, url: str) -> None:
        """Raise `InputInvalid` for an address that a run cannot name."""
        if not self._secrets:
            why = "this server has no secret to sign with: ROPEWALK_WEBHOOK_SECRETS"
            raise InputInvalid("", [Problem("webhook", why)])
        try:
            address_of(url, self._hosts)
        except PostRefused as error:
            raise InputInvalid("", [Problem("webhook", str(error))]) from None

    def _checked(self, url: str) -> None:
        if not self._secrets:
            raise ValueError("Webhooks are signed, and there is no secret: set ROPEWALK_WEBHOOK_SECRETS.")
        try:
            address_of(url, self._hosts)
        except PostRefused as error:
            raise ValueError(f"A webhook cannot go to {url.partition('?')[0]}: {error}.") from None

    # -- delivering ---------------------------------------------------------------------------------------------------

    def _drawn(self) -> Graph[Any]:
        graph = Graph(Delivery, name=GRAPH, store=self._service.store, execution_timeout=None)

        @graph.node(retry=RETRY)
        def deliver(state: Delivery, ctx: Context) -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
            return {"outcome": self._post(state, ctx.run_id)}

        return graph.add_edge(START, "deliver").add_edge("deliver", END).compile()

    def _post(self, state: Delivery, message_id: str) -> str:
        """Post a message; return how that went. Errors do not tell the address: it may hold a secret."""
        now, body = int(time.time()), state.body.encode()
        headers = {"webhook-id": message_id, "webhook-timestamp": str(now), "user-agent": "ropewalk"}
        headers["webhook-signature"] = signature(self._secrets, message_id, now, body)
        status = post(address_of(state.url, self._hosts), body, headers, seconds=_POST_SECONDS)
        if status == _GONE:
            return "gone: nobody listens there any more"
        if not 200 <= status < 300:
            raise NotDelivered(f"The other side answered {status}.")
        return f"delivered: {status}"

    async def _tell(self, run_id: str) -> None:
        """Admit the deliveries of where a run stands, unless they were admitted before."""
        with suppress(RunNotFound):
            record = await self._service.store.look(run_id)
            if record.status in _KINDS:
                for url in await self._wanted(record):
                    await self._admit(record, url)

    async def _wanted(self, record: RunRecord) -> list[str]:
        first = await self._service.store.read(record.run_id, after=record.fork_at, limit=1)
        own = read_entry(*first[0]).data.get("webhook") if first else None
        return [*dict.fromkeys([*self._urls, *([own] if isinstance(own, str) and self._secrets else [])])]

    async def _admit(self, record: RunRecord, url: str) -> None:
        named = to_json([record.run_id, record.last, url])
        delivery_id = f"hook_{hashlib.sha256(named).hexdigest()[:32]}"
        body = await self._message(record, delivery_id)
        given = {"run_id": record.run_id, "url": url, "body": body}
        with suppress(RunExists):
            await self.deliveries.start(ANYBODY, GRAPH, Request(input=given, run_id=delivery_id))

    async def _message(self, record: RunRecord, delivery_id: str) -> str:
        """Return what is told: that and how the run stopped, and what it asks; not its state."""
        standing = await self._service.run_of(record).look()
        told: dict[str, Any] = {"type": _KINDS[record.status], "id": delivery_id, "run_id": record.run_id}
        told |= {"graph": record.graph, "status": record.status, "session": record.session, "entry": record.last}
        told["at"] = record.updated
        if record.status == "PAUSED":
            told["pauses"] = [pause_data(pause) for pause in standing.pauses]
        if record.status == "FAILED":
            told["error"] = {"code": standing.code, "node": standing.node}
        return to_json(told).decode()

    # -- noticing -----------------------------------------------------------------------------------------------------

    def began(self, graph: str, run_id: str, step: str, node: str) -> None:
        """Steps are nobody's business."""

    def appended(self, seconds: float, *, failed: bool) -> None:
        """Nor is the store."""

    def logged(self, graph: str, run_id: str, batch: Sequence[Logged]) -> None:
        """Notice that a run began or stopped."""
        for number, at, fact in batch:
            if isinstance(fact, RunStarted):
                if not self._urls and fact.webhook is None:
                    self._plain[run_id] = None
                    if len(self._plain) > _KEPT:
                        del self._plain[next(iter(self._plain))]
                elif self._for_workers:
                    self._looks[run_id] = (number, at, 0.0)
            elif isinstance(fact, RunStopped) and run_id not in self._plain:
                self._spawn(self._tell(run_id))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(_told_apart(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def start(self) -> None:
        """Go on with deliveries that were under way, and make up for what nobody noticed."""
        if not self._for_workers:
            await self.deliveries.driving.take_over()
        self._spawn(self._scan_for_ever())
        if self._for_workers:
            self._spawn(self._look_for_ever())

    async def close(self) -> None:
        """Stop; what is under way goes on at the next start."""
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.deliveries.close(grace_seconds=1.0)

    async def _scan_for_ever(self) -> None:
        while True:
            with suppress(RopewalkError):
                await self._scan()
                self.scans += 1
            await asyncio.sleep(_SCANS_SECONDS)

    async def _scan(self) -> None:
        """Look at every run that was touched lately."""
        after: str | None = None
        since = time.time() - _LATELY_SECONDS
        while True:
            page = await self._service.store.runs(after=after, limit=500)
            for record in page:
                if record.graph in self._service.graphs and record.updated >= since:
                    await self._look_at(record)
            if len(page) < 500:
                return
            after = page[-1].run_id

    async def _look_at(self, record: RunRecord) -> None:
        if record.run_id in self._plain:
            return
        if record.status in _KINDS:
            await self._tell(record.run_id)
        if self._for_workers and record.status in ("RUNNING", "PAUSED") and await self._wanted(record):
            self._looks.setdefault(record.run_id, (record.last, record.updated, 0.0))

    async def _look_for_ever(self) -> None:
        """Look at runs that workers drive: often at first, then after a tenth of the time for which nothing came."""
        shortest, longest = _LOOKS_SECONDS
        while True:
            await asyncio.sleep(shortest)
            now = time.time()
            for run_id, (seen, since, due) in [*self._looks.items()]:
                if due > now:
                    continue
                with suppress(RopewalkError):
                    fresh = await self._looked(run_id, seen)
                    if fresh is None:
                        del self._looks[run_id]
                        continue
                    since = now if fresh != seen else since  # noqa: PLW2901  its silence begins anew
                    seen = fresh  # noqa: PLW2901
                self._looks[run_id] = (seen, since, now + min(longest, max(shortest, (now - since) / 10)))

    async def _looked(self, run_id: str, seen: int) -> int | None:
        """Return the run's newest entry; None when there is nothing more to be told of it."""
        try:
            record = await self._service.store.look(run_id)
        except RunNotFound:
            return None
        if record.last != seen and record.status in _KINDS:
            await self._tell(run_id)
        return None if record.status in ("DONE", "CANCELLED") else record.last


async def _told_apart(work: Any) -> None:
    """Let trouble with telling be told in the log, and nowhere else."""
    try:
        await work
    except RopewalkError as error:
        log.warning("somebody was not told that a run stopped, and will be later: %s", error)
