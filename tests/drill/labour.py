"""What the workers of the drill drive: runs of twenty steps, each with one effect that is counted in a table.

A row of `effect` is one execution of the effect, however often its insert had to be sent: `execution` tells them apart.
"""

import asyncio
import os
import secrets
import time
from contextlib import suppress

import psycopg

from ropewalk import END, START, Context, Graph, GraphState, History

STEPS = 20
TABLE = """
CREATE TABLE effect (execution text PRIMARY KEY, key text NOT NULL, pid int NOT NULL, attempt int NOT NULL,
                     at float8 NOT NULL)
"""
_COUNT = "INSERT INTO effect VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
_PATIENCE_SECONDS = 60.0


class Labour(GraphState):
    done: History[str]
    """Step and process id, in the order of the commits."""


class Witness:
    """Counts effects in a database of its own, and goes on counting when that was away for a while."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection | None = None
        self._turn = asyncio.Lock()

    async def count(self, key: str, attempt: int) -> int:
        """Have the effect; return who had it."""
        row = (secrets.token_hex(8), key, os.getpid(), attempt, time.time())
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                async with self._turn:
                    await (await self._connected()).execute(_COUNT, row)
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)  # the server is on its way back
            else:
                return os.getpid()

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=5)
        return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                await self._connection.close()


def drawn() -> Graph[Labour]:
    """A chain of steps: `DRILL_PACE` is how long one takes, `DRILL_WITNESS` where its effect is counted."""
    pace = float(os.environ.get("DRILL_PACE", "0"))
    witness: Witness | None = None
    graph = Graph(Labour, name="labour")

    async def work(ctx: Context) -> dict[str, str]:
        nonlocal witness
        if witness is None:
            witness = Witness(os.environ["DRILL_WITNESS"])
        await asyncio.sleep(pace / 2)
        pid = await ctx.step("effect", witness.count, ctx.idempotency_key, ctx.attempt)
        await asyncio.sleep(pace / 2)
        return {"done": f"{ctx.node} {pid} {os.getpid()}"}

    names = [f"work_{number}" for number in range(STEPS)]
    for name in names:
        graph.add_node(work, name=name)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph


graph = drawn()
