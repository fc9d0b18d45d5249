"""Many tasks, few consumers, and something happens to one of them, or to the server, about every second.

1. A private server with an append-only file; the tasks are added, among them some that fail and some that kill.
2. Consumers of every kind (one at a time, batches, async) are killed, frozen past their lease and thawed; the server is
   restarted in order or killed.
3. When nothing is pending, what each process wrote is judged: a task that was begun again must have been in the hand of
   a process to which something happened while it had it.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.drill.crew import Fault
from tests.drill.redis_crew import Effect, RedisCrew, effects
from tests.drill.redis_victim import GROUP
from tests.servers.valkey import RedisServer

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis import DeadLetter, RedisClient, RedisConfig, RedisStream

STREAM = "tasks"
KINDS = (("consume", "1", "1"), ("consume", "1", "20"), ("consume_async", "4", "4"), ("consume_async", "2", "20"))
"""How they consume: how many at once, and how many are taken in one round trip."""
_PATIENCE_SECONDS = 60.0
"""How long nothing may be finished before the drill gives up."""
_ACKNOWLEDGED_SECONDS = 0.5
"""How long after its end a task may wait for its acknowledgement, with the server there."""
_BACK_SECONDS = 3.0
"""How long after an outage a consumer may take to notice that it is over."""


class Size(NamedTuple):
    tasks: int
    consumers: int = 4
    lease: float = 1.5
    pace: float = 0.004
    strikes: int = 40
    restarts: int = 3
    every: float = 0.7
    """Seconds between two strikes, about."""
    odd: int = 2
    """How many tasks kill whoever does them, and how many raise."""


@dataclass(kw_only=True)
class Findings:
    """What is wrong, by kind; and what happened."""

    size: Size
    seed: int
    faults: list[Fault] = field(default_factory=list[Fault])
    lost: list[str] = field(default_factory=list[str])
    unexplained: list[str] = field(default_factory=list[str])
    letters: list[str] = field(default_factory=list[str])
    """Dead letters that should not be there, or are not."""
    again: int = 0
    """Tasks that were begun again, each explained."""
    poison: int = 0
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.unexplained or self.letters)

    def __str__(self) -> str:
        told = Counter(fault.kind for fault in self.faults)
        happened = " ".join(f"{kind}={count}" for kind, count in sorted(told.items()))
        return (
            f"drill: redis consumers={self.size.consumers} tasks={self.size.tasks} {happened} poison={self.poison} "
            f"lost={len(self.lost)} again={self.again} unexplained={len(self.unexplained)} "
            f"wrong_letters={len(self.letters)} seed={self.seed} seconds={self.seconds:.0f}"
        )


def consumed(size: Size, seed: int) -> Findings:
    """Hold the drill and judge it."""
    findings = Findings(size=size, seed=seed)
    dice, began = random.Random(seed), time.monotonic()
    odd = dice.sample(range(size.tasks), 2 * size.odd)
    poison, bad = set(odd[: size.odd]), set(odd[size.odd :])
    with (
        RedisServer() as server,
        tempfile.TemporaryDirectory(prefix="ropewalk-drill-") as folder,
        RedisClient(RedisConfig(server.url, socket_timeout=2)) as client,
    ):
        path, stream = Path(folder) / "effects", RedisStream(STREAM, client)
        for start in range(0, size.tasks, 500):
            numbers = range(start, min(size.tasks, start + 500))
            stream.add_many([{"n": n, "poison": n in poison, "bad": n in bad} for n in numbers])
        stream.create_consumer_group(GROUP)
        given = (server.url, STREAM, str(path), str(size.lease), str(size.pace))
        kinds = [KINDS[number % len(KINDS)] for number in range(size.consumers)]
        with RedisCrew([(kind, *given, *how) for kind, *how in kinds]) as crew:
            _troubled(findings, crew, server, stream, dice, path)
            findings.faults += crew.faults
        letters = stream.dead_letters()
        _judge(findings, effects(path), letters, poison, bad)
    findings.seconds = time.monotonic() - began
    for line in [*findings.lost[:10], *findings.unexplained[:10], *findings.letters[:10]]:
        print(f"seed {seed}: {line}", file=sys.stderr)
    return findings


def _troubled(
    findings: Findings, crew: RedisCrew, server: RedisServer, stream: RedisStream, dice: random.Random, path: Path
) -> None:
    """Strike until there were enough faults, and wait until all is finished."""
    size = findings.size
    restarts = sorted(dice.sample(range(size.strikes), min(size.restarts, size.strikes)))
    strikes, next_strike, wrote, wrote_at = 0, time.monotonic() + size.every, 0, time.monotonic()
    while True:
        time.sleep(0.05)
        crew.tend(size.lease * 2)
        now = time.monotonic()
        if strikes < size.strikes and now > next_strike:
            next_strike = now + size.every * dice.uniform(0.5, 1.5)
            if strikes in restarts:
                findings.faults.append(_outage(server, dice))
            else:
                crew.strike(dice, ("killed", "frozen"))
            strikes += 1
        if path.exists() and path.stat().st_size > wrote:
            wrote, wrote_at = path.stat().st_size, now
        try:
            stats = stream.stats(GROUP)
        except RedisProblem as problem:
            stats = None
            why = str(problem)
        else:
            why = str(stats)
        if stats is not None and stats.pending == 0 and stats.lag == 0:
            return
        if now - wrote_at > _PATIENCE_SECONDS:
            findings.lost.append(f"nothing was written for {_PATIENCE_SECONDS:.0f} s: {why} {server.log()[-1500:]}")
            return


def _outage(server: RedisServer, dice: random.Random) -> Fault:
    fault = Fault(kind="restarted", pid=0, began=time.monotonic())
    if dice.random() < 0.5:
        server.kill()
    else:
        server.stop()
    server.start()
    fault.ended = time.monotonic()
    return fault


def _judge(findings: Findings, wrote: list[Effect], letters: list[DeadLetter], poison: set[int], bad: set[int]) -> None:
    ended = {effect.number for effect in wrote if effect.what == "end"}
    findings.lost += [f"task {n} was never done" for n in range(findings.size.tasks) if n not in ended | poison | bad]
    dead = Counter(letter.data["n"] for letter in letters)
    findings.poison = sum(letter.reason.startswith("WorkerDied") for letter in letters)
    findings.letters += [f"task {n} is a dead letter {dead[n]} times" for n in poison | bad if dead[n] != 1]
    findings.letters += [f"task {n} is a dead letter" for n in dead.keys() - poison - bad]
    findings.letters += [f"{letter}" for letter in letters if letter.data["n"] in poison and letter.attempts != 5]
    own = [Fault(kind="died", pid=one.pid, began=one.at, ended=one.at) for one in wrote if one.number in poison]
    by_task: dict[int, list[Effect]] = {}
    for effect in wrote:
        by_task.setdefault(effect.number, []).append(effect)
    for number, lines in by_task.items():
        if number in poison | bad:
            continue
        begins = [line for line in lines if line.what == "begin"]
        findings.again += len(begins) > 1
        for begin, again in pairwise(begins):
            end = next((one.at for one in lines if one.what == "end" and one.pid == begin.pid), None)
            faults = [fault for fault in (*findings.faults, *own) if fault.pid == begin.pid]
            if not any(_hit(findings.faults, fault, begin.at, end, again.at) for fault in faults):
                findings.unexplained.append(f"task {number} was begun again, {begin} to {again}, end {end}: {faults}")


def _hit(outages: list[Fault], fault: Fault, began: float, end: float | None, again: float) -> bool:
    """Whether the fault fell while the process had the task: begun, and not yet acknowledged."""
    held_until = again
    if end is not None:
        held_until = end + _ACKNOWLEDGED_SECONDS
        for outage in outages:
            if outage.pid == 0 and outage.began <= held_until and end <= outage.ended + _BACK_SECONDS:
                held_until = max(held_until, outage.ended + _BACK_SECONDS)
    return fault.began <= min(again, held_until) and fault.ended >= began - 0.1
