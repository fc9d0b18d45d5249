"""A clock for CPU and wall time, and the memory and the bytes that a repetition costs."""

import resource
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

Costs = dict[str, float]
"""Metric -> cost. ``cpu`` and ``wall`` are seconds per unit of work."""


class Clock:
    """Measure what stands inside its ``with`` block, for the whole process: threads count too."""

    def __init__(self, units: int) -> None:
        self.units = units
        self.wall = 0.0
        self.cpu = 0.0

    def __enter__(self) -> "Clock":
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    @property
    def costs(self) -> Costs:
        """Seconds per unit."""
        return {"wall": self.wall / self.units, "cpu": self.cpu / self.units}


def resident_bytes() -> int:
    """Memory this process holds now; where /proc is missing, the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()


def stored_bytes(path: Path) -> Costs:
    """What a SQLite file holds: ``logical``, the length of all values in it; ``file``, its own size."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = [name for (name,) in connection.execute(query).fetchall()]
        logical = sum(_table_bytes(connection, table) for table in tables)
    return {"logical": float(logical), "file": float(path.stat().st_size)}


def _table_bytes(connection: sqlite3.Connection, table: str) -> int:
    columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
    lengths = " + ".join(f'coalesce(length(CAST("{column}" AS BLOB)), 0)' for column in columns)
    (total,) = connection.execute(f'SELECT coalesce(sum({lengths}), 0) FROM "{table}"').fetchone()
    return int(total)
