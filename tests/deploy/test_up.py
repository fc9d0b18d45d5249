"""`./dev up`: what the compose file names runs on this machine, answers the seed's two requests, and ends in order."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from tests.deploy import shipped
from tests.servers.keeper import living
from tests.servers.server import free_ports
from tests.up.__main__ import MESSAGE

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]  # nine processes start, on what may be one busy CPU


@pytest.fixture(scope="module")
def up() -> Iterator[dict[str, Any]]:
    command = subprocess.Popen(
        [sys.executable, "-m", "tests.up", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    assert command.stderr is not None
    line = command.stdout.readline()
    assert line, command.stderr.read()
    told = json.loads(line)
    yield told | {"command": command}
    if command.poll() is None:
        command.send_signal(signal.SIGINT)
    command.communicate(timeout=40)


def read_events(url: str, heard: list[tuple[str, Any]], connected: threading.Event) -> None:
    """Read as curl -N does, until a message is complete."""
    with urlopen(f"{url}/api/sse?session_id=test&user_id=user1", timeout=20) as stream:
        kind = ""
        for line in stream:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                heard.append((kind, json.loads(value)))
                connected.set()
                if kind == "message_complete":
                    return


def test_the_seeds_two_requests(up: dict[str, Any]) -> None:
    heard: list[tuple[str, Any]] = []
    connected = threading.Event()
    reading = threading.Thread(target=read_events, args=(up["url"], heard, connected))
    reading.start()
    assert connected.wait(10)
    post = Request(f"{up['url']}/api/chat", json.dumps(MESSAGE).encode(), {"Content-Type": "application/json"})
    with urlopen(post, timeout=10) as answer:
        assert answer.status == 202
        accepted = json.loads(answer.read())
    reading.join(20)
    kinds = [kind for kind, _ in heard]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("connected", "message_complete", {"chunk"})
    chunks = [data for kind, data in heard if kind == "chunk"]
    assert [chunk["chunk_id"] for chunk in chunks] == list(range(len(chunks)))
    assert [chunk["chunk"] for chunk in chunks[:2]] == ["I received your ", "message: 'Hello, how "]
    assert heard[-1][1]["message_id"] == accepted["message_id"]


def test_everything_that_the_compose_file_names_is_there(up: dict[str, Any]) -> None:
    assert set(up["processes"]) == {
        *("postgres", "redis", "nats", "nginx", "pod-1", "pod-2", "pod-3", "workflow-1", "workflow-2")
    }
    assert up["url"] == up["processes"]["nginx"]["url"]
    for name in ("pod-1", "pod-2", "pod-3"):
        with urlopen(f"{up['processes'][name]['url']}/health", timeout=5) as answer:
            assert json.loads(answer.read())["pod_id"] == name


def test_what_the_autoscaler_follows_is_told_by_pods(up: dict[str, Any]) -> None:
    with urlopen(f"{up['processes']['pod-1']['url']}/metrics", timeout=5) as answer:
        told = answer.read().decode()
    (metric,) = [
        one["external"]["metric"]["name"]
        for scaler in shipped.manifests("HorizontalPodAutoscaler")
        for one in scaler["spec"]["metrics"]
        if one["type"] == "External"
    ]
    assert f"\n{metric} 0.0\n" in told


def checks() -> dict[str, list[str]]:
    """Return the health checks that ask what is ours, by the process that they are true of."""
    (of_the_image,) = [words for name, words in shipped.instructions("Dockerfile") if name == "HEALTHCHECK"]
    given = shipped.compose()["services"]
    return {
        "pod-1": json.loads(of_the_image.partition("CMD ")[2]),
        "pod-2": given["pod-2"]["healthcheck"]["test"][1:],
        "workflow-1": given["workflow"]["healthcheck"]["test"][1:],
    }


@pytest.mark.parametrize("name", checks())
def test_a_health_check_tells_the_living_from_the_dead(up: dict[str, Any], name: str) -> None:
    def status(port: int) -> int:
        python, option, code = checks()[name]
        assert (python, option) == ("python", "-c")
        here = re.sub(r"127\.0\.0\.1:(8080|9100)/", f"127.0.0.1:{port}/", code)
        environ = os.environ | {"SERVER_PORT": str(port)}
        return subprocess.run([sys.executable, "-c", here], env=environ, capture_output=True, check=False).returncode

    assert status(urlsplit(up["processes"][name]["url"]).port or 0) == 0
    assert status(next(free_ports())) != 0


def test_ctrl_c_ends_all_of_it(up: dict[str, Any]) -> None:
    pids = {one["pid"] for one in up["processes"].values()}
    assert pids <= set(living())
    os.kill(up["pid"], signal.SIGINT)
    output, errors = up["command"].communicate(timeout=40)
    assert (up["command"].returncode, output, errors) == (0, "", "")
    assert not pids & set(living())
