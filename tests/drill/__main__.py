"""`python -m tests.drill`: ten thousand drawn runs, and real deaths until enough kills have been given."""

import argparse
import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.drill.victim import ROUNDS, WIDE, drawn


class Tally(NamedTuple):
    kills: int
    runs: int
    losses: int
    repeats: int
    extra: int
    """Steps or effects that ran more often than the deaths that hit them explain."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev drill", description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000, help="drawn runs in all (default: 10,000)")
    parser.add_argument("--kills", type=int, default=200, help="processes to kill (default: 200)")
    parser.add_argument("--seed", type=int, default=None, help="repeat the deaths of an earlier drill")
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.randrange(1 << 30)
    began = time.monotonic()
    tally = deaths(chosen.kills, seed)
    examples, failed = drawings(chosen.examples)
    print(
        f"drill: kills={tally.kills} runs={tally.runs} examples={examples} "
        f"losses={tally.losses} repeats={tally.repeats} "
        f"unexplained={tally.extra} properties_failed={failed} seed={seed} seconds={time.monotonic() - began:.0f}"
    )
    return 1 if tally.losses or tally.repeats or tally.extra or failed else 0


def drawings(examples: int) -> tuple[int, int]:
    """Run every property with its share of the examples; return how many ran and how many properties failed."""
    if not examples:
        return 0, 0
    here = "tests/properties"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", here]
    listed = subprocess.run([*command, "--collect-only"], check=True, capture_output=True, text=True).stdout
    given = [line for line in listed.splitlines() if "::" in line and "test_found_before" not in line]
    each = max(1, examples // len(given))
    environment = os.environ | {"ROPEWALK_EXAMPLES": str(each)}
    done = subprocess.run([*command, "--timeout=0"], check=False, capture_output=True, text=True, env=environment)
    print(done.stdout[-4000:] if done.returncode else done.stdout.strip().splitlines()[-1])
    counted = re.search(r"(\d+) failed", done.stdout)
    return each * len(given), int(counted[1]) if counted else int(done.returncode != 0)


def deaths(kills: int, seed: int) -> Tally:
    """Kill processes until ``kills`` have died in the middle of a run; judge each run by its log and its witness."""
    dice = random.Random(seed)
    total = Tally(0, 0, 0, 0, 0)
    while total.kills < kills:
        with tempfile.TemporaryDirectory() as folder:
            died = one_life(Path(folder), dice)
            losses, repeats, extra = judged(Path(folder), died)
        total = Tally(
            total.kills + died, total.runs + 1, total.losses + losses, total.repeats + repeats, total.extra + extra
        )
        if total.runs % 10 == 0:
            print(f"kills {total.kills} of {kills}", file=sys.stderr, flush=True)
    return total


def one_life(folder: Path, dice: random.Random) -> int:
    """Drive one run to its end through deaths at random moments; return how many there were."""
    died = 0
    while not (folder / "result").exists():
        victim = subprocess.Popen(
            [sys.executable, "-m", "tests.drill.victim", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert victim.stdout is not None
        if not (folder / "begun").exists():
            victim.stdout.readline()
        try:
            _, errors = victim.communicate(timeout=dice.uniform(0.15, 0.6))
        except subprocess.TimeoutExpired:
            victim.kill()
            victim.communicate()
            died += 1
        else:
            if victim.returncode:
                raise SystemExit(f"the victim failed by itself:\n{errors.decode()}")
    return died


def judged(folder: Path, died: int) -> tuple[int, int, int]:
    """Return what was lost, repeated and unexplained, by comparing the log with what the witness saw."""
    graph = drawn(folder)

    async def read() -> list[tuple[str, str]]:
        assert graph.store is not None
        entries = await graph.open("r").history()
        await graph.store.close()
        numbers = [entry.number for entry in entries]
        assert numbers == list(range(1, len(numbers) + 1)), "the log has a gap"
        return [(entry.type, entry.data.get("step", "")) for entry in entries]

    entries = asyncio.run(read())
    finished = Counter(step for kind, step in entries if kind == "step_finished")
    seen = [line.split() for line in (folder / "witness").read_text().splitlines()]
    ran = Counter(words[1].removeprefix("r/") for words in seen if words[0] == "step")
    effects = Counter(words[1] for words in seen if words[0] == "effect")
    expected = ["split", *(f"work {number}" for number in range(WIDE)), "left", "right", "far", "join"] * ROUNDS
    told = (folder / "result").read_text().split("\n")
    losses = len(Counter(expected) - Counter(told)) + len(ran.keys() - finished.keys())
    repeats = sum(count - 1 for count in finished.values()) + len(Counter(told) - Counter(expected))
    extra = sum(count > died + 1 for count in (*ran.values(), *effects.values()))
    return losses, repeats, extra


if __name__ == "__main__":
    sys.exit(main())
