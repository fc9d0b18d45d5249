"""What one import statement costs in a fresh interpreter; the same measure for everybody."""

import subprocess
import sys
from collections.abc import Callable

from benchmarks.measure import Costs

_CHILD = """
import sys, time
cpu, wall = time.process_time(), time.perf_counter()
{statement}
print(time.process_time() - cpu, time.perf_counter() - wall, len({sdks!r} & sys.modules.keys()))
"""
_SDKS = {"anthropic", "httpx", "httpx2", "mcp", "nats", "openai", "psycopg", "redis"}
"""What nobody should wait for who does not use it."""


def statement(statement: str) -> Callable[[], Costs]:
    """Run the statement in a child and return what it took there, the interpreter's own start not counted."""

    def repeat() -> Costs:
        child = subprocess.run(
            [sys.executable, "-c", _CHILD.format(statement=statement, sdks=_SDKS)],
            capture_output=True,
            text=True,
            check=False,
        )
        if child.returncode:
            raise ImportError(child.stderr.strip().splitlines()[-1])
        cpu, wall, sdks = child.stdout.split()[-3:]
        return {"cpu": float(cpu), "wall": float(wall), "sdks": float(sdks)}

    return repeat
