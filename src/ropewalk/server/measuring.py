"""What is counted of runs, as numbers only: a `Watch` that turns what is committed into measurements. No names of runs.

It keeps when runs and steps in flight began and when open questions were asked; of too many the oldest are not timed.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from pydantic_core import from_json

from ropewalk.core.facts import Answered, Paused, Reset, RunStarted, RunStopped, StepFailed, StepFinished, StepRecorded
from ropewalk.core.feed import Logged

_TIMED = 100_000
_LABELS_KEPT = 200
OTHER = "other"
_STATUSES = {"run_done": "DONE", "run_failed": "FAILED", "run_cancelled": "CANCELLED"}
_RAN = ("ok", "error")
"""How a tool call ends that was timed: it ran here."""
_TOKENS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cached_tokens": "cached",
    "cache_write_tokens": "cache_write",
    "reasoning_tokens": "reasoning",
}


class Sink(Protocol):
    """Where measurements go, by the series' name and its labels."""

    def count(self, series: str, *labels: str, by: float = 1) -> None: ...

    def observe(self, series: str, value: float, *labels: str) -> None: ...


class Labels:
    """Keeps the values of a label few, whoever makes them up: the first ones are kept, the rest is ``other``."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, value: Any) -> str:
        text = str(value)[:100] or OTHER
        if text not in self._known:
            if len(self._known) >= _LABELS_KEPT:
                return OTHER
            self._known.add(text)
        return text


class Since:
    """When things began that have not ended: the newest ones, as many as are kept."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    def begin(self, name: str, at: float) -> None:
        self._at[name] = at
        if len(self._at) > _TIMED:
            del self._at[next(iter(self._at))]

    def end(self, name: str, now: float) -> float | None:
        """Return for how long it lasted; None for what was not timed."""
        at = self._at.pop(name, None)
        return None if at is None else max(0.0, now - at)

    def __len__(self) -> int:
        return len(self._at)


class Measuring:
    """The watch."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._runs, self._steps, self._questions = Since(), Since(), Since()
        self._tool, self._model, self._code = Labels(), Labels(), Labels()

    @property
    def timed(self) -> int:
        """How many things in flight are remembered."""
        return len(self._runs) + len(self._steps) + len(self._questions)

    def began(self, graph: str, run_id: str, step: str, node: str) -> None:
        self._steps.begin(f"{run_id}/{step}", time.monotonic())

    def appended(self, seconds: float, *, failed: bool) -> None:
        if failed:
            self._sink.count("store_errors_total")
        else:
            self._sink.observe("checkpoint_write_seconds", seconds)

    def logged(self, graph: str, run_id: str, batch: Sequence[Logged]) -> None:
        for _, at, fact in batch:
            match fact:
                case StepFinished(step=step, node=node):
                    self._step(graph, run_id, step, node, "finished")
                case StepFailed(step=step, node=node):
                    self._step(graph, run_id, step, node, "failed")
                    if fact.retry_at is not None:
                        self._sink.count("node_retries_total", graph, node)
                case StepRecorded():
                    self._recorded(fact)
                case _:
                    self._of_the_run(graph, run_id, at, fact)

    def _of_the_run(self, graph: str, run_id: str, at: float, fact: Any) -> None:
        match fact:
            case RunStarted():
                self._runs.begin(run_id, at)
                self._sink.count("runs_started_total", graph)
            case Paused():
                self._questions.begin(fact.pause, at)
                self._sink.count("pauses_total", graph, fact.kind)
                self._steps.end(f"{run_id}/{fact.step}", 0.0)
            case Answered():
                self._answered(graph, fact, at)
            case Reset(reason="taken_over"):
                self._sink.count("recovered_runs_total", graph)
            case RunStopped(kind=kind) if kind in _STATUSES:
                self._sink.count("runs_finished_total", graph, _STATUSES[kind])
                if kind == "run_failed":
                    self._sink.count("run_failures_total", graph, self._code(fact.code or "failed"))
                seconds = self._runs.end(run_id, at)
                if seconds is not None:
                    self._sink.observe("run_duration_seconds", seconds, graph, _STATUSES[kind])
            case _:
                pass

    def _step(self, graph: str, run_id: str, step: str, node: str, status: str) -> None:
        seconds = self._steps.end(f"{run_id}/{step}", time.monotonic())
        if seconds is not None:
            self._sink.observe("node_duration_seconds", seconds, graph, node, status)

    def _answered(self, graph: str, fact: Answered, at: float) -> None:
        seconds = self._questions.end(fact.pause, at)
        self._sink.count("approvals_total", graph, _decision(from_json(bytes(fact.value))))
        if seconds is not None:
            self._sink.observe("approval_wait_seconds", seconds, graph)

    # -- what steps record: models and tools --------------------------------------------------------------------------

    def _recorded(self, fact: StepRecorded) -> None:
        usage = fact.usage
        if fact.kind == "tool_result":
            told = _object(fact.value)
            tool, status = self._tool(told.get("tool")), self._code(told.get("status", "ok"))
            self._sink.count("tool_calls_total", tool, status)
            if status == "unknown":
                self._sink.count("tool_unknown_outcome_total", tool)
            if status in _RAN and isinstance(told.get("seconds"), int | float):
                self._sink.observe("tool_duration_seconds", told["seconds"], tool)
        elif usage and usage.get("model_calls"):
            self._model_used(_object(fact.value), usage)

    def _model_used(self, told: Mapping[str, Any], usage: Mapping[str, Any]) -> None:
        names = (self._model(told.get("provider", OTHER)), self._model(told.get("model", OTHER)))
        self._sink.count("llm_requests_total", *names, self._code(told.get("finish", "stop")))
        for name, kind in _TOKENS.items():
            if usage.get(name):
                self._sink.count("llm_tokens_total", *names, kind, by=usage[name])
        if usage.get("cost"):
            self._sink.count("llm_cost_usd_total", *names, by=usage["cost"])


def _object(raw: bytes) -> dict[str, Any]:
    value = from_json(bytes(raw))
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _decision(value: Any) -> str:
    """Return what an answer decides: approved, rejected, expired, happened; answered for what is no decision."""
    if isinstance(value, dict):
        told = cast("dict[str, Any]", value)
        for word in ("expired", "happened"):
            if told.get(word) is True:
                return word
        value = told.get("approve")
    return "answered" if not isinstance(value, bool) else "approved" if value else "rejected"
