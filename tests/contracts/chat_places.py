"""Where the parts of the chat service are tested: in memory, and at the real servers; told in one way for all."""

import asyncio
import inspect
import os
import secrets
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ropewalk

SOURCE = str(Path(ropewalk.__file__).parents[1])


def unique(what: str = "s") -> str:
    return f"test-{what}-{secrets.token_hex(6)}"


async def until(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """Wait for a condition, which may be async; return what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)


def run(body: Callable[[], Awaitable[None]], seconds: float = 15) -> None:
    async def go() -> None:
        async with asyncio.timeout(seconds):
            await body()

    asyncio.run(go())


def process(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program of its own, whose standard output is read line by line."""
    command = [sys.executable, "-W", "error", "-u", "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": SOURCE}, text=True, stdout=subprocess.PIPE)
