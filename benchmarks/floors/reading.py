"""Bare reading: open the file, fetch a run's bodies, decode each as JSON."""

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from benchmarks.measure import Clock, Costs

_SCHEMA = """
CREATE TABLE entry (run_id TEXT, number INTEGER, body BLOB, PRIMARY KEY (run_id, number)) WITHOUT ROWID
"""


def log(entries: int, body_bytes: int = 200) -> Callable[[], Costs]:
    path = Path(tempfile.mkdtemp()) / "log.db"
    body = json.dumps({"type": "step_finished", "writes": {"said": "x" * (body_bytes - 50)}}).encode()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_SCHEMA)
        rows = [(number, body) for number in range(entries)]
        connection.executemany("INSERT INTO entry VALUES ('run', ?, ?)", rows)

    def repeat() -> Costs:
        with Clock(1) as clock, closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT number, body FROM entry WHERE run_id = 'run' ORDER BY number")
            for _, stored in rows:
                json.loads(stored)
        return {"first_step": clock.wall, **clock.costs}

    return repeat
