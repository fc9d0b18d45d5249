"""Few processes at one lock, frozen, thawed, killed; the server is restarted meanwhile.

The resource that they write to checks the fencing number: what it accepted must never go back to an earlier holder.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.drill.redis_crew import RedisCrew, effects
from tests.servers.valkey import RedisServer

from ropewalk.messaging.redis import RedisClient, RedisConfig

NAME = "door"
_EXPIRE_SECONDS = 0.5
_FROZEN_SECONDS = 1.2
_EVERY_SECONDS = 0.6
_START_SECONDS = 15.0


@dataclass(kw_only=True)
class Findings:
    holders: int
    seed: int
    said: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    violations: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return not self.violations and self.said["held"] > 2 * self.seconds

    def __str__(self) -> str:
        happened = " ".join(f"{kind}={count}" for kind, count in sorted(self.faults.items()))
        said = " ".join(f"{what}={self.said[what]}" for what in ("held", "written", "refused", "lost"))
        return (
            f"drill: redis holders={self.holders} {happened} {said} fencing_violations={len(self.violations)} "
            f"seed={self.seed} seconds={self.seconds:.0f}"
        )


def held(holders: int, seconds: float, seed: int, *, restarts: int = 2) -> Findings:
    """Hold the drill and judge it."""
    findings, dice, began = Findings(holders=holders, seed=seed), random.Random(seed), time.monotonic()
    with RedisServer() as server, tempfile.TemporaryDirectory(prefix="ropewalk-drill-") as folder:
        path = Path(folder) / "effects"
        away = [seconds * (number + 1) / (restarts + 1) for number in range(restarts)]
        with RedisCrew([("hold", server.url, NAME, str(path), str(_EXPIRE_SECONDS))] * holders) as crew:
            while not effects(path) and time.monotonic() - began < _START_SECONDS:
                time.sleep(0.05)
            began = time.monotonic()
            next_strike = began + _EVERY_SECONDS
            while time.monotonic() - began < seconds:
                crew.tend(_FROZEN_SECONDS)
                if time.monotonic() > next_strike:
                    crew.strike(dice, ("killed", "frozen", "frozen"))
                    next_strike = time.monotonic() + _EVERY_SECONDS
                if away and time.monotonic() - began > away[0]:
                    away.pop(0)
                    server.kill()
                    server.start()
                    findings.faults["restarted"] += 1
                time.sleep(0.05)
            findings.faults.update(fault.kind for fault in crew.faults)
        with RedisClient(RedisConfig(server.url)) as client:
            writes = [int(one) for one in client.execute("LRANGE", f"{NAME}:writes", 0, -1)]
        wrote = effects(path)
    findings.seconds = time.monotonic() - began
    findings.said.update(effect.what for effect in wrote)
    numbers = Counter(effect.number for effect in wrote if effect.what == "held")
    findings.violations += [f"{number} was given {times} times" for number, times in numbers.items() if times > 1]
    findings.violations += [
        f"{after} was accepted after {before}" for before, after in pairwise(writes) if after < before
    ]
    findings.violations += [f"{one} was accepted and never given" for one in set(writes) - numbers.keys()]
    for line in findings.violations[:10]:
        print(f"seed {seed}: {line}", file=sys.stderr)
    return findings
