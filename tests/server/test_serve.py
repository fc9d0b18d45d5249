"""`ropewalk serve` as a process: what it says, what it refuses, and what is left when it is killed."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.server.serving import bearer, blocks, child, clean_environment, until

FLOW = """
import asyncio
from ropewalk import END, START, Context, Graph, GraphState, History

class Trip(GraphState):
    log: History[str]
    seconds: float = 0.0

trip = Graph(Trip, name="trip")

@trip.node
async def go(state: Trip, ctx: Context) -> dict:
    await asyncio.sleep(state.seconds if ctx.attempt == 1 else 0)
    return {"log": f"went, attempt {ctx.attempt}"}

trip.add_edge(START, "go").add_edge("go", END)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    return tmp_path


def test_it_says_where_it_serves_and_does(folder: Path) -> None:
    with child("flow.py:trip", cwd=folder) as (process, told):
        assert told["type"] == "serving"
        assert (told["graphs"], told["auth"]) == (["trip"], "none")
        until(lambda: httpx.get(told["url"] + "/health").status_code == 200)
        run_id = httpx.post(f"{told['url']}/graphs/trip/runs", json={"input": {}}).json()["run_id"]
        with httpx.stream("GET", f"{told['url']}/runs/{run_id}/events", timeout=20) as answer:
            assert [*blocks(answer)][-1].type == "run_done"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert (folder / ".ropewalk" / "runs.db").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "some-host"])
def test_off_loopback_it_does_not_start_before_somebody_says_who_may_use_it(folder: Path, host: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "ropewalk.cli", "serve", "flow.py", "--host", host, "--port", "0", "--json"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ran.returncode == 2
    told = json.loads(ran.stdout)
    assert told["code"] == "setting_invalid"
    assert "ROPEWALK_AUTH=none" in told["message"]


def test_off_loopback_with_keys_it_asks_for_them(folder: Path) -> None:
    with child("flow.py", "--host", "0.0.0.0", cwd=folder, ROPEWALK_API_KEYS="ann:ann-key-0001") as (_, told):
        url = told["url"].replace("0.0.0.0", "127.0.0.1")
        assert told["auth"] == "keys"
        until(lambda: httpx.get(url + "/health").status_code == 200)
        assert httpx.get(url + "/graphs").status_code == 401
        assert httpx.get(url + "/graphs", headers=bearer("ann-key-0001")).status_code == 200


def test_off_loopback_without_auth_when_that_is_said(folder: Path) -> None:
    with child("flow.py", "--host", "0.0.0.0", cwd=folder, ROPEWALK_AUTH="none") as (_, told):
        url = told["url"].replace("0.0.0.0", "127.0.0.1")
        until(lambda: httpx.get(url + "/graphs").status_code == 200)
        assert httpx.get(url + "/graphs", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.slow
def test_what_a_killed_server_left_goes_on_when_it_comes_back(folder: Path) -> None:
    """Promises 1 and 3, through the door: 202 was sent, so the run ends, though its server died in the middle."""
    with child("flow.py", cwd=folder) as (process, told):
        until(lambda: httpx.get(told["url"] + "/health").status_code == 200)
        key = {"Idempotency-Key": "one"}
        started = httpx.post(f"{told['url']}/graphs/trip/runs", json={"input": {"seconds": 60}}, headers=key).json()
        run_id = started["run_id"]
        until(lambda: httpx.get(f"{told['url']}/runs/{run_id}").json()["status"] == "RUNNING")
        process.kill()
        process.wait()
    with child("flow.py", cwd=folder) as (_, told):
        url = f"{told['url']}/runs/{run_id}"
        until(lambda: httpx.get(url).json()["status"] == "DONE")
        assert httpx.get(url).json()["state"]["log"] == ["went, attempt 2"]
        again = httpx.post(f"{told['url']}/graphs/trip/runs", json={"input": {"seconds": 60}}, headers=key).json()
        assert again == {"run_id": run_id, "status": "DONE"}


def test_a_port_that_is_taken_is_told(folder: Path) -> None:
    with child("flow.py", cwd=folder) as (_, told):
        port = told["url"].rpartition(":")[2]
        ran = subprocess.run(
            [sys.executable, "-m", "ropewalk.cli", "serve", "flow.py", "--port", port],
            cwd=folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ran.returncode == 1
    assert "cannot be bound" in ran.stderr
    assert "--port 0" in ran.stderr
