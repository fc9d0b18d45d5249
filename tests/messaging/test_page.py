"""The code of docs/messaging.md runs, against a server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers.valkey import RedisServer

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "messaging.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_code_block_runs(number: int, own_redis: RedisServer, tmp_path: Path) -> None:
    file = tmp_path / "messaging.py"
    file.write_text(BLOCKS[number], encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(file)],
        env=os.environ | {"REDIS_URL": own_redis.url, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout
