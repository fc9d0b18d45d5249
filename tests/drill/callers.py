"""A few processes with fifty callers each at one limit, far more than it lets through."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.drill.redis_crew import RedisCrew, effects
from tests.servers.valkey import RedisServer


@dataclass(kw_only=True)
class Findings:
    callers: int
    rate: int
    seconds: float
    granted: int
    over: float
    """How many more than rate x time + burst."""
    under: float
    """How many less than 95 % of rate x time."""

    @property
    def is_good(self) -> bool:
        return not self.over and not self.under

    def __str__(self) -> str:
        return (
            f"drill: redis callers={self.callers} rate={self.rate}/s granted={self.granted} over={self.over:.0f} "
            f"under={self.under:.0f} seconds={self.seconds:.1f}"
        )


def called(rate: int, seconds: float, processes: int = 4) -> Findings:
    """Hold the drill and judge it."""
    with RedisServer() as server, tempfile.TemporaryDirectory(prefix="ropewalk-drill-") as folder:
        path = Path(folder) / "effects"
        with RedisCrew([("go_through", server.url, "api", str(path), str(rate), str(seconds))] * processes) as crew:
            crew.wait(seconds + 30)
        wrote = effects(path)
    began = min(effect.at for effect in wrote)
    grants = [effect.at for effect in wrote if effect.what == "granted"]
    passed = max(grants) - began
    return Findings(
        callers=50 * processes,
        rate=rate,
        seconds=passed,
        granted=len(grants),
        over=max(0.0, len(grants) - (rate * passed + rate)),
        under=max(0.0, 0.95 * rate * seconds - len(grants)),
    )
