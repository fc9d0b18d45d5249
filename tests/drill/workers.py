"""`python -m tests.drill --workers`: many runs, few workers, and something happens to one of them every second or two.

1. A private PostgreSQL server; the runs are submitted; the workers start, each with a line of its own to the database.
2. Every 1 to 2 seconds one worker is killed, frozen past its lease and thawed, cut off, or its line holds everything
   back and delivers it late. The server is restarted once in order and killed once.
3. When all runs have ended the workers are told to drain. Then the logs are judged, and the table of effects.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from tests.drill import labour
from tests.drill.crew import Crew, Fault
from tests.servers.postgres import PostgresServer

from ropewalk.events import Entry
from ropewalk.runtime import read_log
from ropewalk.stores.postgres import PostgresRunStore

_PATIENCE_SECONDS = 90.0
"""How long no run may end before the drill gives up."""
_DRAIN_SECONDS = 30.0
_SETTINGS = {"max_connections": "300"}


class Size(NamedTuple):
    workers: int
    runs: int
    concurrency: int
    lease: float
    pace: float


@dataclass(kw_only=True)
class Findings:
    """What is wrong, by kind; and what happened."""

    seed: int
    size: Size
    faults: list[Fault] = field(default_factory=list[Fault])
    lost: list[str] = field(default_factory=list[str])
    repeated: list[str] = field(default_factory=list[str])
    unexplained: list[str] = field(default_factory=list[str])
    zombies: list[str] = field(default_factory=list[str])
    drains: list[str] = field(default_factory=list[str])
    surprises: list[str] = field(default_factory=list[str])
    """What a worker wrote that nobody had foreseen: a traceback."""
    takeovers: int = 0
    extra: int = 0
    """Effects that were had again, each explained by something that happened to who had it before."""
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        wrong = (self.lost, self.repeated, self.unexplained, self.zombies, self.drains, self.surprises)
        return not any(wrong)

    def __str__(self) -> str:
        told = Counter(fault.kind for fault in self.faults)
        happened = " ".join(f"{kind}={count}" for kind, count in sorted(told.items()))
        runs = self.size.runs
        return (
            f"drill: workers={self.size.workers} runs={runs} steps={runs * labour.STEPS} {happened} "
            f"takeovers={self.takeovers} again={self.extra} lost={len(self.lost)} repeats={len(self.repeated)} "
            f"unexplained={len(self.unexplained)} zombies={len(self.zombies)} bad_drains={len(self.drains)} "
            f"surprises={len(self.surprises)} "
            f"seed={self.seed} seconds={self.seconds:.0f}"
        )


def drilled(size: Size, seed: int) -> Findings:
    """Hold the drill and judge it."""
    findings = Findings(seed=seed, size=size)
    began = time.monotonic()
    with PostgresServer(_SETTINGS) as server, tempfile.TemporaryDirectory(prefix="ropewalk-drill-") as folder:
        asyncio.run(_held(findings, server, Path(folder)))
        findings.seconds = time.monotonic() - began
        asyncio.run(_judged(findings, server.url))
    for kind in ("lost", "repeated", "unexplained", "zombies", "drains", "surprises"):
        for line in getattr(findings, kind)[:10]:
            print(f"{kind}: {line}", file=sys.stderr)
    return findings


async def _held(findings: Findings, server: PostgresServer, folder: Path) -> None:
    size, dice = findings.size, random.Random(findings.seed)
    store = PostgresRunStore(server.url)
    graph = labour.drawn()
    graph.use_store(store)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(labour.TABLE)
    await asyncio.gather(*[graph.submit(labour.Labour(done=[]), run_id=f"run-{n}") for n in range(size.runs)])
    crew = Crew(
        server.url,
        workers=size.workers,
        concurrency=size.concurrency,
        lease=size.lease,
        environment={"DRILL_WITNESS": server.url, "DRILL_PACE": str(size.pace)},
        folder=folder,
    )
    try:
        await _troubled(findings, crew, server, dice)
        codes = await asyncio.to_thread(crew.dismiss, _DRAIN_SECONDS)
        findings.drains += [f"a worker that was told to drain exited with {code}" for code in codes if code != 0]
        findings.lost += [f"stranded: {run_id}" for run_id in await store.queue().stranded()]
    finally:
        crew.close()
        findings.faults += crew.faults
        findings.drains += crew.deaths
        findings.surprises += _surprises(folder)
        await store.close()


async def _troubled(findings: Findings, crew: Crew, server: PostgresServer, dice: random.Random) -> None:
    """Strike until every run has ended; the server goes away when a third, and when two thirds have."""
    outages = {findings.size.runs * 2 // 3: server.restart, findings.size.runs // 3: lambda: _killed(server)}
    left, ended_at, next_strike = findings.size.runs, time.monotonic(), time.monotonic() + 1
    while left:
        await asyncio.sleep(0.2)
        crew.tend()
        now = time.monotonic()
        if now > next_strike:
            crew.strike(dice)
            next_strike = now + dice.uniform(1, 2)
        due = [at for at in outages if left <= at]
        for at in due:
            fault = Fault(kind="restarted", pid=0, began=time.time())
            await asyncio.to_thread(outages.pop(at))
            fault.ended = time.time()
            findings.faults.append(fault)
        still = await asyncio.to_thread(_unfinished, server.url)
        if still < left:
            left, ended_at = still, now
        elif now - ended_at > _PATIENCE_SECONDS:
            findings.lost.append(f"no run has ended for {_PATIENCE_SECONDS:.0f} s, {left} have not")
            return


def _surprises(folder: Path) -> list[str]:
    logs = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("worker_*.log"))]
    return [f"a worker wrote {log[log.index('Traceback') :][:3000]}" for log in logs if "Traceback" in log]


def _killed(server: PostgresServer) -> None:
    server.kill()
    server.start()


def _unfinished(url: str) -> int:
    query = "SELECT count(*) FROM ropewalk.run WHERE status NOT IN ('DONE', 'FAILED', 'CANCELLED')"
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


async def _judged(findings: Findings, url: str) -> None:
    store = PostgresRunStore(url)
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT key, pid, at FROM effect ORDER BY at").fetchall()
    effects: dict[str, list[tuple[int, float]]] = {}
    for key, pid, at in rows:
        effects.setdefault(key, []).append((pid, at))
    for number in range(findings.size.runs):
        run_id = f"run-{number}"
        record = await store.look(run_id)
        entries = await read_log(store, run_id)
        if record.status != "DONE":
            findings.lost.append(f"{run_id} is {record.status}: {entries[-1].data}")
        if [entry.number for entry in entries] != [*range(1, record.last + 1)]:
            findings.lost.append(f"{run_id} has a gap in its log")
        _judge_log(findings, run_id, record.epoch, entries)
        for node in range(labour.STEPS):
            key = f"{run_id}/work_{node}#1"
            _judge_effect(findings, key, effects.get(key, []), entries)
    await store.close()


def _judge_log(findings: Findings, run_id: str, epoch: int, entries: list[Entry]) -> None:
    """Look for steps that are missing or twice, and for entries of somebody who was no longer the owner."""
    finished = Counter(entry.data["step"] for entry in entries if entry.type == "step_finished")
    recorded = Counter(entry.data["step"] for entry in entries if entry.type == "step_recorded")
    steps = [f"work_{number}#1" for number in range(labour.STEPS)]
    findings.lost += [f"{run_id}: {step} is not in the log" for step in steps if not finished[step]]
    findings.repeated += [
        f"{run_id}: {step} is in the log {count} times"
        for step, count in (*finished.items(), *recorded.items())
        if count > 1 or step not in steps
    ]
    resets = [entry.data for entry in entries if entry.type == "reset"]
    findings.takeovers += sum(reset["reason"] == "taken_over" for reset in resets)
    epochs = [reset["epoch"] for reset in resets]
    if epochs != sorted(set(epochs)) or max(epochs, default=0) > epoch:
        findings.zombies.append(f"{run_id}: its owners' epochs are {epochs}, and the run's is {epoch}")
    for started, owned in groupby(entries, key=_stretches()):
        writers = {pid for entry in owned for pid in _writers(entry)}
        if len(writers) > 1:
            findings.zombies.append(f"{run_id}: processes {sorted(writers)} wrote after entry {started}, with no reset")


def _stretches() -> Any:
    """Return a key for `groupby`: the number of the reset that an entry comes after."""
    since = 0

    def key(entry: Entry) -> int:
        nonlocal since
        since = entry.number if entry.type == "reset" else since
        return since

    return key


def _writers(entry: Entry) -> list[int]:
    """Return which processes say that they made the entry."""
    if entry.type == "step_recorded":
        return [entry.data["value"]]
    if entry.type == "step_finished":
        return [int(entry.data["writes"][0][2].split()[-1])]
    return []


def _judge_effect(findings: Findings, key: str, had: list[tuple[int, float]], entries: list[Entry]) -> None:
    """Every execution but the last must have been hit by something of its own, and a reset must have followed it."""
    step = key.rpartition("/")[2]
    if not had:
        findings.lost.append(f"{key}: its effect was never had")
        return
    findings.extra += len(had) - 1
    before = 0
    for entry in entries:
        if entry.type == "step_recorded" and entry.data["step"] == step:
            break
        before = 0 if entry.type == "step_finished" else before + (entry.type == "reset")
    if len(had) - 1 > before:
        findings.unexplained.append(f"{key}: its effect was had {len(had)} times, with {before} resets")
    used: set[tuple[int, int]] = set()
    for (pid, at), (_, again) in pairwise(had):
        hits = [
            (place, pid)
            for place, fault in enumerate(findings.faults)
            if fault.pid in (pid, 0) and fault.began <= again and at <= fault.ended + findings.size.lease
        ]
        unused = next((hit for hit in hits if hit not in used), None)
        if unused is None:
            findings.unexplained.append(f"{key}: nothing happened to process {pid}, and its effect was had again")
        else:
            used.add(unused)
