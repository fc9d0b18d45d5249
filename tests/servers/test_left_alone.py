"""Whatever happens to the tests, no server and no folder outlives them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.servers import keeper
from tests.servers.folders import Folder, sweep
from tests.servers.jetstream import NatsServer

ROOT = Path(__file__).resolve().parents[2]
STARTS_ALL = """
import json, os, threading
from pathlib import Path

def test_all(own_postgres, own_redis, own_nats):
    servers = (own_postgres, own_redis, own_nats)
    if FREEZE:
        for server in servers:
            server.freeze()
    about = {"pids": [pid for server in servers for pid in (server.pid, server._keeper.pid)]}
    about["folders"] = [str(server.folder.path) for server in servers]
    ready = Path(__file__).with_name("ready")
    ready.with_suffix(".new").write_text(json.dumps(about))
    ready.with_suffix(".new").rename(ready)
    threading.Event().wait()
"""


def wait_until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def inner_pytest(file: Path) -> "subprocess.Popen[str]":
    arguments = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments, "-p", "tests.servers.fixtures", str(file)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_server_and_no_folder_outlives_a_killed_pytest(tmp_path: Path, frozen: bool, number: int) -> None:
    file = tmp_path / "test_inner.py"
    file.write_text(STARTS_ALL.replace("FREEZE", str(frozen)), encoding="utf-8")
    with inner_pytest(file) as running:
        wait_until((tmp_path / "ready").exists)
        about = json.loads((tmp_path / "ready").read_text(encoding="utf-8"))
        family = {pid for parent in about["pids"] for pid in keeper.family(parent)}
        assert len(family) > 8  # PostgreSQL has children
        os.killpg(running.pid, number)
    wait_until(lambda: not family & keeper.living().keys())
    wait_until(lambda: not [folder for folder in about["folders"] if Path(folder).exists()])


def test_tests_that_need_no_server_start_none_and_need_no_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROPEWALK_TEST_SERVERS", str(tmp_path))
    file = tmp_path / "test_inner.py"
    file.write_text(
        "import sys\ndef test_it(): assert not {'psycopg', 'redis', 'nats'} & set(sys.modules)\n", encoding="utf-8"
    )
    with inner_pytest(file) as running:
        said, _ = running.communicate(timeout=15)
    assert "1 passed" in said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_server_dies_with_its_keeper(own_nats: NatsServer) -> None:
    assert own_nats._keeper is not None
    family = keeper.family(own_nats._keeper.pid)
    own_nats._keeper.kill()
    wait_until(lambda: not set(family) & keeper.living().keys())


def test_a_folder_of_a_dead_run_is_swept_and_one_in_use_is_not() -> None:
    script = "import os; from tests.servers.folders import Folder; print(Folder().path, flush=True); os.kill(0, 9)"
    in_use = Folder()
    try:
        dead = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        left = Path(dead.stdout.strip())
        assert left.is_dir()
        sweep()
        assert not left.exists()
        assert in_use.path.is_dir()
    finally:
        in_use.remove()
