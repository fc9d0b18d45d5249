"""`GET /metrics` for Prometheus: what this process did, and what waits in the store. Never a label by run or user."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from ropewalk.contracts import QueuesRuns, TellsOfRuns
from ropewalk.errors import StoreUnavailable
from ropewalk.server.counted import Counted
from ropewalk.server.measuring import OTHER, Measuring
from ropewalk.server.owned import Caller
from ropewalk.server.routes import Doorkeeper
from ropewalk.server.runs import RunService
from ropewalk.server.stream import Receive, Scope, Send
from ropewalk.server.told_chat import plain_answer

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MOST_COUNTED = 1_000
_LOOKS_SECONDS = 5.0
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_LONG = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800, 7_200)
_DAYS = (1, 10, 60, 600, 3_600, 14_400, 86_400, 604_800)
_COUNTERS: dict[str, tuple[str, list[str]]] = {
    "runs_started_total": ("Runs that began here", ["graph"]),
    "runs_finished_total": ("Runs that ended here", ["graph", "status"]),
    "run_failures_total": ("Runs that failed here, by the error's code", ["graph", "code"]),
    "recovered_runs_total": ("Runs taken over from an owner that died", ["graph"]),
    "node_retries_total": ("Attempts that failed and are tried again", ["graph", "node"]),
    "pauses_total": ("Questions, approvals and breakpoints", ["graph", "kind"]),
    "approvals_total": ("Answers: approved, rejected, expired, answered", ["graph", "decision"]),
    "store_errors_total": ("Appends that the store could not do", []),
    "llm_requests_total": ("Replies of models, by how they ended", ["provider", "model", "status"]),
    "llm_tokens_total": ("Tokens of models; cached and cache_write are input, reasoning is output",
                         ["provider", "model", "type"]),
    "llm_cost_usd_total": ("What models cost, as far as prices are known", ["provider", "model"]),
    "tool_calls_total": ("Tool calls, by how they ended", ["tool", "status"]),
    "tool_unknown_outcome_total": ("Tool calls nobody knows the end of", ["tool"]),
}  # fmt: skip
_HISTOGRAMS: dict[str, tuple[str, list[str], Sequence[float]]] = {
    "run_duration_seconds": ("From a run's beginning to its end, pauses included", ["graph", "status"], _LONG),
    "node_duration_seconds": ("Attempts at steps", ["graph", "node", "status"], _LONG),
    "checkpoint_write_seconds": ("Appends to the store", [], _SHORT),
    "approval_wait_seconds": ("From a question to its answer", ["graph"], _DAYS),
    "tool_duration_seconds": ("Tool calls", ["tool"], _LONG),
    "http_request_duration_seconds": ("Requests, until the answer begins", ["method", "route", "status"], _SHORT),
}
_GAUGES: dict[str, tuple[str, list[str]]] = {
    "runs_active": ("Runs that this process drives", ["graph"]),
    "runs_waiting": (f"Paused runs in the store; {_MOST_COUNTED} is that many or more", []),
    "queue_depth": (f"Runs that are due and no worker has; {_MOST_COUNTED} is that many or more", []),
    "queue_oldest_age_seconds": ("For how long the oldest of them has been due", []),
    "stream_subscribers": ("Open streams of runs", []),
}


class Metrics:
    """The series of one server, in a registry of their own."""

    def __init__(self, version: str, *, looks_at_the_store: bool = True) -> None:
        """What waits in the store is told by those who look there: a worker leaves that to servers."""
        self.registry = CollectorRegistry()
        self._counted = Counted(_COUNTERS, _HISTOGRAMS)
        self.registry.register(self._counted)
        self._gauges: dict[str, Any] = {}
        for name, (told, labels) in _GAUGES.items() if looks_at_the_store else ():
            self._gauges[name] = Gauge(f"ropewalk_{name}", told, labels, registry=self.registry)
        build = Gauge("ropewalk_build_info", "The version", ["version"], registry=self.registry)
        build.labels(version).set(1)

    def count(self, series: str, *labels: str, by: float = 1) -> None:
        self._counted.count(series, labels, by)

    def observe(self, series: str, value: float, *labels: str) -> None:
        self._counted.observe(series, value, labels)

    def set(self, series: str, value: float, *labels: str) -> None:
        gauge = self._gauges[series]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Take in how long a request took until its answer began, by the route's pattern."""
        told = method if method in _METHODS else OTHER
        self.observe("http_request_duration_seconds", seconds, told, route, f"{status // 100}xx")

    def text(self) -> bytes:
        """Return all series as Prometheus reads them."""
        return generate_latest(self.registry)


class Gauging:
    """Looks at what waits, at most every few seconds: whoever asks often is told the same again."""

    def __init__(self, metrics: Metrics, service: RunService) -> None:
        self._metrics = metrics
        self._service = service
        self._looked = -_LOOKS_SECONDS
        self._lock = asyncio.Lock()

    async def look(self) -> None:
        """Set the gauges."""
        service, metrics = self._service, self._metrics
        for name, graph in service.graphs.items():
            metrics.set("runs_active", graph.desk.driving, name)
        metrics.set("stream_subscribers", len(service.following.readers))
        async with self._lock:
            if time.monotonic() - self._looked >= _LOOKS_SECONDS:
                self._looked = time.monotonic()
                try:
                    await self._look_at_the_store()
                except StoreUnavailable:
                    metrics.count("store_errors_total")

    async def _look_at_the_store(self) -> None:
        store, metrics = self._service.store, self._metrics
        paused = await store.runs(statuses=("PAUSED",), limit=_MOST_COUNTED)
        metrics.set("runs_waiting", len(paused))
        queue = store.queue() if isinstance(store, QueuesRuns) else None
        if isinstance(queue, TellsOfRuns):
            due = await queue.overdue(for_seconds=0, limit=_MOST_COUNTED)
            metrics.set("queue_depth", len(due))
            metrics.set("queue_oldest_age_seconds", max([one.due_seconds or 0.0 for one in due], default=0.0))


class Timing:
    """ASGI middleware that times requests until their answers begin, by the route's pattern."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", OTHER)
                self._metrics.answered(scope["method"], route, message["status"], time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, sending)


_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PATCH", "PUT", "DELETE"})


def add_metrics(app: Any, router: APIRouter, service: RunService, keeper: Doorkeeper, *, version: str) -> Metrics:
    """Measure ``service``, time the requests of ``app``, and put ``/metrics`` on ``router``; return what is counted."""
    metrics = Metrics(version)
    watch(service.graphs.values(), metrics)
    gauging, who = Gauging(metrics, service), Depends(keeper.admit)
    app.add_middleware(Timing, metrics=metrics)

    @router.get(
        "/metrics",
        summary="Measurements for Prometheus",
        response_class=Response,
        responses=plain_answer("text/plain", 401, 429),
    )
    async def told(caller: Caller = who) -> Response:  # pyright: ignore[reportUnusedFunction]
        await gauging.look()
        return Response(metrics.text(), media_type=MEDIA_TYPE)

    return metrics


def watch(graphs: Iterable[Any], metrics: Metrics) -> None:
    """Let ``metrics`` count what these graphs' runs do here."""
    measuring = Measuring(metrics)
    for graph in graphs:
        graph.watch(measuring)
