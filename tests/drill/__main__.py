"""`python -m tests.drill`: ten thousand drawn runs, deaths until enough were given, streams, other people's clients,
workers and Redis in trouble, and a chat service with all of that.
"""

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
from typing import NamedTuple, Protocol

from tests.drill import callers, chat, clients, consumers, holders, streams
from tests.drill.victim import ROUNDS, WIDE, drawn
from tests.drill.workers import Size, drilled
from tests.servers.programs import ServerMissing

_PARTS = {
    "embedded": "drawn runs and deaths of the processes that drive them",
    "clients": "other people's JavaScript clients of chats",
    "streams": "open streams that are cut and joined",
    "workers": "workers in trouble",
    "redis": "streams, locks and limits on Redis",
    "chat": "pods and workers of a chat, their servers and clients in trouble",
}


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
    parser.add_argument("--workers", type=int, default=4, help="worker processes, 0 for none (default: 4)")
    parser.add_argument("--runs", type=int, default=500, help="runs that the workers share (default: 500)")
    parser.add_argument("--lease", type=float, default=2.0, help="seconds of a worker's lease (default: 2)")
    parser.add_argument("--pace", type=float, default=0.2, help="seconds of a worker's step (default: 0.2)")
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks in the Redis stream, 0 for none (10,000)")
    parser.add_argument("--streams", type=int, default=1_000, help="open streams, 0 for none (default: 1,000)")
    parser.add_argument("--stream-seconds", type=float, default=300, help="how long they are open (default: 300)")
    parser.add_argument("--sessions", type=int, default=200, help="sessions of the chat, 0 for none (default: 200)")
    parser.add_argument("--seconds", type=float, default=300, help="how long the chat is in trouble (default: 300)")
    only = parser.add_mutually_exclusive_group()
    for part, words in _PARTS.items():
        only.add_argument(f"--only-{part}", dest="only", action="store_const", const=part, help=f"only {words}")
    chosen = parser.parse_args()
    chosen.seed = chosen.seed if chosen.seed is not None else random.randrange(1 << 30)
    return 1 if sum(_drill(part, chosen) for part in _PARTS if chosen.only in (None, part)) else 0


def _drill(part: str, chosen: argparse.Namespace) -> int:
    """Do one part; return how much was wrong, or was not run."""
    seed: int = chosen.seed
    try:
        match part:
            case "embedded":
                return embedded(chosen.examples, chosen.kills, seed)
            case "clients":
                return told(clients.met())
            case "streams":
                return told(streams.soaked(chosen.streams, chosen.stream_seconds, seed)) if chosen.streams else 0
            case "workers":
                size = Size(
                    workers=chosen.workers, runs=chosen.runs, concurrency=10, lease=chosen.lease, pace=chosen.pace
                )
                return told(drilled(size, seed)) if chosen.workers else 0
            case "chat":
                asked = chat.Size(sessions=chosen.sessions, seconds=chosen.seconds)
                return told(chat.chatted(asked, seed)) if chosen.sessions else 0
            case _:
                return redis(chosen.tasks, seed) if chosen.tasks else 0
    except (ServerMissing, clients.ClientsMissing) as missing:
        print(f"drill: of {_PARTS[part]} not everything was run. {missing}", file=sys.stderr)
        return 1


def redis(tasks: int, seed: int) -> int:
    """Let tasks, locks and limits meet a Redis in trouble; return how much was wrong."""
    bad = told(consumers.consumed(consumers.Size(tasks=tasks), seed))
    return bad + told(holders.held(8, 30, seed)) + told(callers.called(200, 5))


class _Findings(Protocol):
    @property
    def is_good(self) -> bool: ...


def told(findings: _Findings) -> int:
    """Print what was found; return how much was wrong."""
    print(findings, flush=True)
    return int(not findings.is_good)


def embedded(examples: int, kills: int, seed: int) -> int:
    """Draw runs, and kill processes that drive their own; return how much was wrong."""
    began = time.monotonic()
    tally = deaths(kills, seed)
    ran, failed = drawings(examples)
    print(
        f"drill: kills={tally.kills} runs={tally.runs} examples={ran} "
        f"losses={tally.losses} repeats={tally.repeats} "
        f"unexplained={tally.extra} properties_failed={failed} seed={seed} seconds={time.monotonic() - began:.0f}",
        flush=True,
    )
    return tally.losses + tally.repeats + tally.extra + failed


def drawings(examples: int) -> tuple[int, int]:
    """Run every property with its share of the examples; return how many ran and how many properties failed."""
    if not examples:
        return 0, 0
    here = "tests/properties"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", here]
    listed = subprocess.run([*command, "--collect-only"], check=True, capture_output=True, text=True).stdout
    given = [line for line in listed.splitlines() if "::" in line and "test_found_before" not in line]
    each = max(1, -(-examples // len(given)))
    environment = os.environ | {"ROPEWALK_EXAMPLES": str(each)}
    done = subprocess.run([*command, "--timeout=0"], check=False, capture_output=True, text=True, env=environment)
    print(_report(done.stdout) if done.returncode else done.stdout.strip().splitlines()[-1])
    counted = re.search(r"(\d+) failed", done.stdout)
    return each * len(given), int(counted[1]) if counted else int(done.returncode != 0)


def _report(output: str) -> str:
    """Return what was wrong, and the end of what pytest printed, which says how to see it again."""
    wrong = [line for line in output.splitlines() if re.match(r"E +(AssertionError|promise \d+)", line)]
    return "\n".join([*wrong[:10], output[-6000:]])


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
