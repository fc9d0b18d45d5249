"""Chat doors met by the clients that browsers use: the Vercel AI SDK and the AG-UI client, from npm, on node."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.server.serving import Served
from tests.server.talking import broken, clerk, echo, finder, handyman, mailer, mute

PACKAGES = ("ai@6.0.326", "@ag-ui/client@1.0.0")
SCRIPT = Path(__file__).with_suffix(".mjs")


class ClientsMissing(Exception):
    """There is no node, or the packages cannot be had."""


class Findings(NamedTuple):
    checks: int
    failed: str

    @property
    def is_good(self) -> bool:
        return not self.failed and self.checks > 0

    def __str__(self) -> str:
        packages = " ".join(PACKAGES)
        return f"{self.failed}drill: JavaScript clients ({packages}): checks={self.checks} failed={bool(self.failed)}"


def met() -> Findings:
    """Serve graphs, and let the clients talk to them. Raises `ClientsMissing`."""
    with tempfile.TemporaryDirectory() as folder:
        _install(Path(folder))
        slow, loops = echo(name="slow", seconds=0.15), (mailer(), finder(), handyman())
        with Served(echo(), slow, mute(), broken(), clerk(), *loops) as served:
            command = ["node", "clients.mjs", served.url]
            ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    last = (ran.stdout.strip().splitlines() or ["{}"])[-1]
    failed = ran.stderr if ran.returncode else ""
    return Findings(json.loads(last).get("checks", 0) if last.startswith("{") else 0, failed)


def _install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise ClientsMissing("It needs node 20 or newer, with npm.")
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    shutil.copy(SCRIPT, folder)
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if ran.returncode:
        raise ClientsMissing(f"npm could not bring {' and '.join(PACKAGES)}: {ran.stderr[-500:]}")
