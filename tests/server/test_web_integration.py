"""The seed's Web Integration snippet as written, served by uvicorn, driven by curl, a WebSocket and a browser page."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.serving import ROOT, clean_environment, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

SNIPPET = ROOT / "tests" / "compat" / "snippet_web_integration.py"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, SNIPPET, str(port)],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/hello").status_code == 200)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(15) is not None


def curl(*arguments: str) -> Any:
    ran = subprocess.run(["curl", "-sS", "--max-time", "15", *arguments], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout) if ran.stdout.startswith(("{", "[")) else ran.stdout


def test_the_snippet_differs_from_the_seed_in_what_it_says() -> None:
    text = SNIPPET.read_text(encoding="utf-8")
    for line in (
        'service = create_graph_service(graph1, storage, path_prefix="/graphs/workflow1")',
        'app.include_router(service.router, tags=["workflow1"])',
        "graph1 = Graph(state=state, checkpoint_storage=storage)",
    ):
        assert line in text


def test_curl_starts_a_run_and_follows_it(address: str) -> None:
    assert curl(f"{address}/hello") == {"message": "Hello World"}
    base = f"{address}/graphs/workflow1"
    (graph,) = curl(f"{base}/graphs")["items"]
    assert graph["nodes"] == ["add_hello", "add_world", "add_exclamation"]
    body = ("-H", "content-type: application/json", "-d", '{"input": {}}')
    started = curl("-X", "POST", f"{base}/graphs/{graph['name']}/runs", *body)
    told = curl("-N", f"{base}/runs/{started['run_id']}/events")
    assert told.count("event: step_finished\n") == 3
    assert told.rstrip().rsplit("\n\n", 1)[1].startswith("event: run_done\nid: 5\n")
    run = curl(f"{base}/runs/{started['run_id']}")
    assert run["state"] == {"messages": ["Hello", "World", "!"]}
    assert curl(f"{base}/graphs/{graph['name']}/picture").startswith("<svg")


def test_every_run_has_a_state_of_its_own(address: str) -> None:
    """What the seed's own service could not do: its clients all shared one run."""
    base = f"{address}/graphs/workflow1"
    body = ("-H", "content-type: application/json", "-d", "{}")
    runs = [curl("-X", "POST", f"{base}/runs", *body)["run_id"] for _ in range(5)]
    for run_id in runs:
        curl("-N", f"{base}/runs/{run_id}/events")
        assert curl(f"{base}/runs/{run_id}")["state"] == {"messages": ["Hello", "World", "!"]}


def test_the_seeds_own_routes_answer(address: str) -> None:
    base = f"{address}/graphs/workflow1"
    body = ("-H", "content-type: application/json", "-d", '{"chain_id": "my-chain", "timeout": 5}')
    started = curl("-X", "POST", f"{base}/start", *body)
    assert (started["chain_id"], started["status"]) == ("my-chain", "DONE")
    assert set(started) == {"chain_id", "status", "timestamp"}
    status = curl(f"{base}/status/my-chain")
    assert (status["status"], set(status)) == ("DONE", {"chain_id", "status", "last_update"})
    assert curl("-X", "POST", f"{base}/resume", *body)["status"] == "DONE"
    with connect(f"ws://{base}/ws/my-chain") as websocket:
        told = [json.loads(websocket.recv(timeout=10)) for _ in range(6)]
    assert [one["event_type"] for one in told[:-1]] == ["run_started", *["step_finished"] * 3, "run_done"]
    assert {one["type"] for one in told[:-1]} == {"node_event"}
    assert (told[-1]["type"], told[-1]["status"]) == ("status", "DONE")


def test_the_websocket_under_the_prefix(address: str) -> None:
    base = f"{address}/graphs/workflow1"
    body = ("-H", "content-type: application/json", "-d", "{}")
    run_id = curl("-X", "POST", f"{base}/runs", *body)["run_id"]
    with connect(f"ws://{base}/ws") as websocket:
        websocket.send(json.dumps({"type": "subscribe", "run_id": run_id}))
        types = [json.loads(websocket.recv(timeout=10))["type"] for _ in range(5)]
    assert types == ["run_started", *["step_finished"] * 3, "run_done"]


def test_the_app_s_own_cors_decides_about_pages_of_other_sites(address: str) -> None:
    """The seed allows every origin: such a page may send JSON; what needs no asking, and the WebSocket, stay closed."""
    base, page = f"http://{address}/graphs/workflow1", {"origin": "https://page.example"}
    started = httpx.post(f"{base}/runs", json={}, headers=page)
    assert started.status_code == 202
    assert started.headers["access-control-allow-origin"] in ("*", "https://page.example")
    run = f"{base}/runs/{started.json()['run_id']}"
    assert httpx.get(run, headers=page).status_code == 200
    assert httpx.post(f"{run}/resume", headers=page).json()["code"] == "origin_refused"
    assert httpx.post(f"{base}/runs", content=b"{}", headers=page | {"content-type": "text/plain"}).status_code == 403
    with pytest.raises(InvalidStatus):
        connect(f"ws://{address}/graphs/workflow1/ws", origin="https://page.example")


def test_a_page_in_a_browser_follows_a_run(tmp_path: Path) -> None:
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser here ({', '.join(BROWSERS)}); apt-get install chromium brings one")
    port = free_port()
    app = subprocess.Popen(
        [sys.executable, "-m", "tests.server.page_app", str(port)],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/hello").status_code == 200)
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        shown = subprocess.Popen(
            [browser, *flags, f"--user-data-dir={tmp_path}", f"http://127.0.0.1:{port}/page"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert app.stdout is not None
            seen = json.loads(app.stdout.readline())
        finally:
            shown.terminate()
            shown.wait(10)
    finally:
        app.terminate()
        app.communicate(timeout=15)
    for way in ("byStream", "bySocket"):  # what is live is told to those who are there in that moment
        seen[way] = [told for told in seen[way] if told[1] != "step_started"]
    assert seen == {
        "byStream": seen["bySocket"],
        "bySocket": [["1", "run_started"], *[[str(n), "step_finished"] for n in (2, 3, 4)], ["5", "run_done"]],
        "state": {"messages": ["Hello", "World", "!"]},
    }
