"""`/metrics`: what Prometheus reads of a server that did something."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic_core import to_json
from tests.server.graphs import plan, quick, talk
from tests.server.serving import Served, until

from ropewalk.codec import RawJson
from ropewalk.core.facts import Answered, Paused, StepRecorded
from ropewalk.core.feed import Logged
from ropewalk.server.measuring import Measuring
from ropewalk.server.metrics import Metrics


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(talk(), plan(), quick()) as running:
        yield running


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return name and label values (ordered by the labels' names) -> value."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[(sample.name, *[sample.labels[name] for name in sorted(sample.labels)])] = sample.value
    return found


def told(served: Served) -> dict[tuple[str, ...], float]:
    answer = served.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return samples(answer.text)


def test_runs_steps_questions_and_requests_are_counted(served: Served) -> None:
    for _ in range(3):
        served.wait(served.start("quick"), "DONE")
    run_id = served.start("talk")
    pause = served.wait(run_id, "PAUSED")["pauses"][0]["id"]
    served.client.post(f"/runs/{run_id}/answers/{pause}", json={"value": True})
    served.wait(run_id, "DONE")
    failing = served.start("plan", {"fails": True})
    served.wait(failing, "PAUSED")
    served.client.post(f"/runs/{failing}/resume")
    served.wait(failing, "FAILED")
    found = told(served)
    assert found["ropewalk_runs_started_total", "quick"] == 3
    assert found["ropewalk_runs_finished_total", "quick", "DONE"] == 3
    assert found["ropewalk_runs_finished_total", "plan", "FAILED"] == 1
    assert found["ropewalk_run_failures_total", "node_failed", "plan"] == 1
    assert found["ropewalk_run_duration_seconds_count", "quick", "DONE"] == 3
    assert found["ropewalk_node_duration_seconds_count", "quick", "add", "finished"] == 3
    assert found["ropewalk_node_duration_seconds_count", "plan", "travel", "failed"] == 1
    assert found["ropewalk_pauses_total", "talk", "question"] == 1
    assert found["ropewalk_approvals_total", "approved", "talk"] == 1
    assert found["ropewalk_approval_wait_seconds_count", "talk"] == 1
    assert found["ropewalk_checkpoint_write_seconds_count",] > 5
    assert found["ropewalk_http_request_duration_seconds_count", "POST", "/graphs/{graph}/runs", "2xx"] == 5
    assert any(key[0] == "ropewalk_build_info" for key in found)


def test_what_waits_is_told_and_who_follows(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropewalk.server.metrics._LOOKS_SECONDS", 0.02)
    run_id = served.start("talk", {"words": 400, "pause_seconds": 0.005})
    stream = served.following(run_id)
    next(stream)
    found = told(served)
    assert found["ropewalk_stream_subscribers",] == 1
    assert found["ropewalk_runs_active", "talk"] == 1
    stream.close()
    served.client.post(f"/runs/{run_id}/cancel")
    until(lambda: told(served)["ropewalk_stream_subscribers",] == 0)
    waiting = served.start("talk")
    served.wait(waiting, "PAUSED")
    until(lambda: told(served)["ropewalk_runs_waiting",] >= 1)


def test_no_label_tells_of_a_run_or_a_user() -> None:
    with Served(quick(), api_keys=("ann-the-user:key-of-ann",)) as served:
        assert served.client.get("/metrics").status_code == 401
        run_id = served.start("quick", as_="key-of-ann")
        served.wait(run_id, "DONE", as_="key-of-ann")
        text = served.client.get("/metrics", headers={"authorization": "Bearer key-of-ann"}).text
        assert 'ropewalk_runs_started_total{graph="quick"} 1.0' in text
        assert run_id not in text
        assert "ann-the-user" not in text


def test_paths_that_nobody_serves_are_one_label(served: Served) -> None:
    for i in range(5):
        served.client.get(f"/nobody/{i}")
    found = told(served)
    assert found["ropewalk_http_request_duration_seconds_count", "GET", "other", "4xx"] >= 5
    assert not any("nobody" in part for key in found for part in key)


def recorded(kind: str, value: Any, **usage: float | None) -> Any:
    return StepRecorded("s#1", "s", kind, 1, RawJson(to_json(value)), kind, usage or None)


REPLY = {"provider": "p", "model": "m", "finish": "stop"}


def test_models_and_tools_are_counted_by_few_labels() -> None:
    metrics = Metrics("1")
    measuring = Measuring(metrics)
    facts: list[Any] = [
        recorded("model_replied", REPLY, model_calls=1, input_tokens=7, cost=0.5),
        recorded("model_replied", REPLY, model_calls=1, input_tokens=3, cost=None),
        recorded("tool_finished", {"tool": "add", "status": "ok", "seconds": 0.2}),
        recorded("tool_finished", {"tool": "add", "status": "unknown"}),
        recorded("step_recorded", {"tool": "none"}),
        Paused("p_1", "approval", "s", "s#1", RawJson(b"{}")),
        Answered("p_1", "s", RawJson(b'{"approve": false, "reason": "no"}')),
    ]
    facts += [recorded("tool_finished", {"tool": f"made up {i}", "status": "ok"}) for i in range(300)]
    measuring.logged("g", "r1", [Logged(number, float(number), fact) for number, fact in enumerate(facts, 1)])
    found = samples(metrics.text().decode())
    assert found["ropewalk_llm_requests_total", "m", "p", "stop"] == 2
    assert found["ropewalk_llm_tokens_total", "m", "p", "input"] == 10
    assert found["ropewalk_llm_cost_usd_total", "m", "p"] == 0.5
    assert found["ropewalk_tool_calls_total", "ok", "add"] == 1
    assert found["ropewalk_tool_unknown_outcome_total", "add"] == 1
    assert found["ropewalk_tool_duration_seconds_sum", "add"] == 0.2
    assert found["ropewalk_approvals_total", "rejected", "g"] == 1
    assert found["ropewalk_tool_calls_total", "ok", "other"] == 101
    assert sum(key[0] == "ropewalk_tool_calls_total" for key in found) == 202


def test_what_is_timed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from ropewalk.server import measuring as module

    monkeypatch.setattr(module, "_TIMED", 10)
    measuring = Measuring(Metrics("1"))
    for i in range(100):
        measuring.began("g", f"r{i}", "s#1", "s")
    assert measuring.timed == 10
