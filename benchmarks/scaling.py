"""How the chat service grows: `./dev bench scaling --sessions 1000000` prints what that many need.

It calculates with measured costs; `./dev bench chat-costs --json FILE` measures them on your machine.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path

from benchmarks.growth import BUSY, Costs, Load, Machines, chunks_a_second, clusters, limits, needs
from benchmarks.queueing import Death, mean_wait, play

_PLAYED_SECONDS = 300.0
_PLAYED_SLOTS = 1_000
"""The play is of a cluster of this size at most: what matters is how full it is, and how many of its workers die."""


def report(load: Load, costs: Costs, machines: Machines) -> str:
    """Return all of it, as text."""
    return "\n".join([*demand(load, costs), "", *table(load, costs, machines), "", *deaths(load, machines)])


def demand(load: Load, costs: Costs) -> Iterator[str]:
    chunks, messages = chunks_a_second(load, costs), load.messages
    kept = load.sessions * costs.redis_session_bytes + chunks * load.log_seconds * costs.redis_chunk_bytes
    yield f"{'open sessions':<34}{load.sessions:>14,}"
    yield f"{'messages a second':<34}{messages:>14,.0f}"
    yield f"{'answers being written':<34}{load.answering:>14,.0f}"
    yield f"{'chunks a second':<34}{chunks:>14,.0f}"
    yield f"{'pods: memory of streams, GB':<34}{load.sessions * costs.pod_bytes / 1e9:>14,.0f}"
    yield f"{'Redis: memory, GB':<34}{kept / 1e9:>14,.0f}"
    yield f"{'PostgreSQL: rows a second':<34}{messages * costs.postgres_rows:>14,.0f}"
    yield f"{'PostgreSQL: transactions a second':<34}{messages * costs.postgres_commits:>14,.0f}"
    yield f"{'PostgreSQL: GB a day':<34}{messages * costs.postgres_bytes * 86_400 / 1e9:>14,.0f}"


def table(load: Load, costs: Costs, machines: Machines) -> Iterator[str]:
    found = needs(load, costs, machines)
    cells = clusters(found)
    each = needs(replace(load, sessions=ceil(load.sessions / cells)), costs, machines)
    yield f"{'part':<10}{'for its':<22}{'in all':>10}{'in each of ' + str(cells) + ' clusters':>26}"
    for whole, one in zip(found, each, strict=True):
        yield f"{whole.part:<10}{whole.reason:<22}{whole.count:>10,}{one.count:>26,}"
    yield ""
    yield f"one cluster, {BUSY:.0%} busy, is full at so many sessions, by its"
    for need, sessions in limits(load, costs, machines):
        yield f"{need.part:<10}{need.reason:<22}{sessions:>10,}"


def deaths(load: Load, machines: Machines) -> Iterator[str]:
    """Play a cluster through: all well, and a tenth of its workers dying at once."""
    hold = load.answer_seconds
    slots = min(_PLAYED_SLOTS, max(machines.worker_slots, ceil(load.answering / BUSY)))
    rate = slots * BUSY / hold
    yield f"{slots:,} slots of workers, {BUSY:.0%} busy, {_PLAYED_SECONDS:.0f} seconds played:"
    yield f"  by Erlang's formula a message waits {mean_wait(rate * hold, slots, hold) * 1000:.1f} ms"
    for words, death in (
        ("nobody dies", None),
        ("a tenth dies", Death(at=60, slots=slots // 10)),
        ("half of them die", Death(at=60, slots=slots // 2)),
    ):
        played = play(rate=rate, hold_seconds=hold, slots=slots, seconds=_PLAYED_SECONDS, death=death)
        yield (
            f"  {words:<18}{played.answered:>8,} answered, {played.begun_again:>6,} begun again, wait p50 "
            f"{played.percentile(0.5):.1f} s, p99 {played.percentile(0.99):.1f} s, queue at most {played.deepest:,}"
        )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench scaling", description=__doc__)
    given = Load()
    parser.add_argument("--sessions", type=int, default=given.sessions, help="open at a time (default: %(default)s)")
    parser.add_argument(
        "--messages-an-hour", type=float, default=given.messages_an_hour, help="of one session (%(default)g)"
    )
    parser.add_argument("--tokens", type=float, default=given.tokens, help="of an answer (default: %(default)g)")
    parser.add_argument("--tokens-a-second", type=float, default=given.tokens_a_second, help="(default: %(default)g)")
    parser.add_argument("--log-seconds", type=float, default=given.log_seconds, help="Redis keeps chunks (%(default)g)")
    parser.add_argument("--costs", type=Path, metavar="FILE", help="what ./dev bench chat-costs --json wrote")
    options = parser.parse_args(arguments)
    costs = Costs() if options.costs is None else Costs(**json.loads(options.costs.read_text(encoding="utf-8")))
    load = Load(
        sessions=options.sessions,
        messages_an_hour=options.messages_an_hour,
        tokens=options.tokens,
        tokens_a_second=options.tokens_a_second,
        log_seconds=options.log_seconds,
    )
    print(report(load, costs, Machines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
