"""Starting a run over HTTP goes past the framework, and nobody can tell but by the clock."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.server.graphs import quick, talk
from tests.server.serving import JSON, Served

_PAGE = "https://app.example"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(talk(), quick(), allowed_origins=(_PAGE,), max_body_bytes=1_000) as running:
        yield running


def start(served: Served, path: str = "/graphs/quick/runs", **asked: Any) -> httpx.Response:
    return served.client.post(path, **({"json": {}} | asked))


def both(served: Served, **asked: Any) -> tuple[httpx.Response, httpx.Response]:
    """Send a request the short way and, because a page of an allowed origin may have sent it, the long one."""
    headers = asked.pop("headers", {})
    return start(served, headers=headers, **asked), start(served, headers={**headers, "origin": _PAGE}, **asked)


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (202, {}),
        (202, {"content": b""}),
        (400, {"content": b"{", "headers": JSON}),
        (400, {"headers": {"idempotency-key": ""}}),
        (400, {"headers": {"idempotency-key": "k" * 501}}),
        (404, {"path": "/graphs/nobody/runs"}),
        (404, {"path": "/graphs/a/b/runs"}),
        (400, {"path": f"/graphs/{'g' * 201}/runs"}),
        (413, {"content": b"x" * 1_001, "headers": JSON}),
        (415, {"content": b"{}", "headers": {"content-type": "text/plain"}}),
        (421, {"headers": {"host": "elsewhere.example"}}),
        (422, {"json": {"inptu": {}}}),
        (422, {"json": {"input": {"nobody": 1}}}),
        (422, {"json": {"run_id": "a b"}}),
        (422, {"json": {"webhook": "http://127.0.0.1/"}}),
    ],
)
def test_both_ways_answer_alike(served: Served, status: int, asked: dict[str, Any]) -> None:
    short, long = both(served, **asked)
    assert (short.status_code, long.status_code) == (status, status), (short.text, long.text)
    told = [answer.json() for answer in (short, long)]
    if status == 202:
        assert [answer.headers["location"] for answer in (short, long)] == [f"/runs/{one['run_id']}" for one in told]
        assert {one["status"] for one in told} == {"RUNNING"}
    else:
        assert told[0]["code"] == told[1]["code"]
    for name in ("content-type", "cache-control", "connection"):
        assert short.headers.get(name) == long.headers.get(name)
    assert "access-control-allow-origin" not in short.headers
    assert long.headers.get("access-control-allow-origin") == (_PAGE if status != 421 else None)


def test_the_same_key_is_the_same_run_on_both_ways(served: Served) -> None:
    short, long = both(served, headers={"idempotency-key": "once"})
    assert short.json()["run_id"] == long.json()["run_id"]
    assert [answer.headers.get("idempotent-replayed") for answer in (short, long)] == [None, "true"]
    again = start(served, headers={"idempotency-key": "once"})
    assert (again.json()["run_id"], again.headers["idempotent-replayed"]) == (short.json()["run_id"], "true")


def test_requests_are_counted_under_their_route_on_both_ways(served: Served) -> None:
    def counted(status: str) -> float:
        text = served.client.get("/metrics").text
        labels = {"method": "POST", "route": "/graphs/{graph}/runs", "status": status}
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "ropewalk_http_request_duration_seconds_count" and sample.labels == labels
        )

    before = counted("2xx"), counted("4xx")
    both(served)
    both(served, json={"run_id": "a b"})
    assert (counted("2xx"), counted("4xx")) == (before[0] + 2, before[1] + 2)


def test_what_nobody_expected_is_told_as_such_and_the_server_goes_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a secret")

    with monkeypatch.context() as patched:
        patched.setattr(served.doors.service, "start", broken)
        short = start(served)
    assert (short.status_code, short.json()["code"]) == (500, "internal")
    assert "secret" not in short.text
    assert httpx.post(f"{served.url}/graphs/quick/runs", json={}).status_code == 202
