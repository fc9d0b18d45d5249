"""`/metrics`: what Prometheus reads of a server that did something."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.server.graphs import plan, quick, talk
from tests.server.serving import Served, until
from tests.server.talking import handyman, look_up, mailer

from ropewalk import END, START, LLMMessage, ScriptedModel, ScriptedReply, ToolCall, ToolGraph, ToolState, Usage
from ropewalk.server.measuring import Measuring
from ropewalk.server.metrics import Metrics, watch


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


def priced(name: str = "priced") -> ToolGraph[Any]:
    """A tool loop whose model tells what it used and what that cost."""
    used = Usage(input_tokens=7, output_tokens=3, cached_tokens=2, cost=0.25)
    unknown = Usage(input_tokens=1, output_tokens=1, cost=None)
    calls = [ToolCall("look_up", {"name": "Ann"}), ToolCall("look_up", {"name": "Nobody"}), ToolCall("no_such", {})]
    script = [ScriptedReply(tool_calls=calls, usage=used), ScriptedReply(text="Done.", usage=unknown)]
    graph: ToolGraph[Any] = ToolGraph(name)
    graph.add_tool_node("agent", [look_up], ScriptedModel(script, name="scripted-2"))
    return graph.add_edge(START, "agent").add_edge("agent", END)


def asked(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def answered(served: Served, graph: str, text: str, *values: Any) -> None:
    """Run a tool loop to its end, answering whatever it asks."""
    run_id = served.start(graph, asked(text))
    for value in values:
        pause = served.wait(run_id, "PAUSED")["pauses"][0]["id"]
        said = served.client.post(f"/runs/{run_id}/answers/{pause}", json={"value": value})
        assert said.status_code == 202, said.text
        until(lambda pause=pause: pause not in [one["id"] for one in served.look(run_id)["pauses"]])
    served.wait(run_id, "DONE")


def test_what_models_and_tools_of_real_loops_do_is_counted() -> None:
    with Served(priced(), mailer(), handyman()) as served:
        answered(served, "priced", "go")
        answered(served, "mailer", "write", True, "Bob")
        answered(served, "mailer", "write", {"approve": False, "reason": "no"})
        answered(served, "handyman", "weigh feather", {"approve": True})
        answered(served, "handyman", "transfer 7", {"happened": True, "result": "moved"})
        answered(served, "handyman", "transfer 8", {"approve": False})
        found = told(served)
    assert found["ropewalk_llm_requests_total", "scripted-2", "scripted", "tool_calls"] == 1
    assert found["ropewalk_llm_requests_total", "scripted-2", "scripted", "stop"] == 1
    assert found["ropewalk_llm_tokens_total", "scripted-2", "scripted", "input"] == 8
    assert found["ropewalk_llm_tokens_total", "scripted-2", "scripted", "output"] == 4
    assert found["ropewalk_llm_tokens_total", "scripted-2", "scripted", "cached"] == 2
    assert found["ropewalk_llm_cost_usd_total", "scripted-2", "scripted"] == 0.25
    assert found["ropewalk_tool_calls_total", "ok", "look_up"] == 1
    assert found["ropewalk_tool_calls_total", "error", "look_up"] == 1
    assert found["ropewalk_tool_calls_total", "refused", "no_such"] == 1
    assert found["ropewalk_tool_calls_total", "ok", "send_letter"] == 1
    assert found["ropewalk_tool_calls_total", "rejected", "send_letter"] == 1
    assert found["ropewalk_tool_duration_seconds_count", "send_letter"] == 1, "what did not run took no time"
    assert ("ropewalk_tool_duration_seconds_count", "no_such") not in found
    assert found["ropewalk_tool_calls_total", "unknown", "transfer"] == 1
    assert found["ropewalk_tool_unknown_outcome_total", "transfer"] == 1
    assert found["ropewalk_pauses_total", "mailer", "approval"] == 2
    assert found["ropewalk_pauses_total", "mailer", "question"] == 1
    assert found["ropewalk_approvals_total", "approved", "mailer"] == 1
    assert found["ropewalk_approvals_total", "rejected", "mailer"] == 1
    assert found["ropewalk_approvals_total", "happened", "handyman"] == 1
    assert found["ropewalk_approval_wait_seconds_count", "mailer"] == 3


def test_names_that_models_make_up_are_few_labels() -> None:
    calls = [ToolCall(f"made_up_{i}", {}) for i in range(300)]
    graph: ToolGraph[Any] = ToolGraph("dreamer")
    graph.add_tool_node("agent", [], ScriptedModel([calls, "Done."]))
    metrics = Metrics("1")
    watch([graph.add_edge(START, "agent").add_edge("agent", END)], metrics)
    graph.run_sync(ToolState(messages=[LLMMessage(role="user", content="go")]))
    found = samples(metrics.text().decode())
    assert found["ropewalk_tool_calls_total", "refused", "other"] == 100
    assert sum(key[0] == "ropewalk_tool_calls_total" for key in found) == 201


def test_what_is_timed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from ropewalk.server import measuring as module

    monkeypatch.setattr(module, "_TIMED", 10)
    measuring = Measuring(Metrics("1"))
    for i in range(100):
        measuring.began("g", f"r{i}", "s#1", "s")
    assert measuring.timed == 10
