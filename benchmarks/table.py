"""Draw the one table, and the page that keeps it."""

import os
import platform
import sqlite3
import sys
import time

from benchmarks.case import Case, Shown, Target
from benchmarks.contest import Record
from benchmarks.verdict import Verdict, middle

_VERSIONS = "Versions: "
HEAD = "| case | ropewalk | floor | peers | ratio | target | verdict |\n|---|---|---|---|---|---|---|"


def row(case: Case, records: list[Record], verdicts: list[Verdict]) -> str:
    """Return a case's line."""
    cells = [
        case.title,
        _cell(case, records, {"ours", "variant"}),
        _cell(case, records, {"floor"}),
        _cell(case, records, {"peer"}),
        "; ".join(_ratio(case, verdict) for verdict in verdicts) or "-",
        "; ".join(_target(verdict.target) for verdict in verdicts) or "-",
        _outcome(verdicts),
    ]
    return "| " + " | ".join(cell or "-" for cell in cells) + " |"


def footer(records: list[Record], before: str = "") -> str:
    """Name the versions of the peers and of the servers; ``before`` is a page that has those of other cases."""
    known = next((line for line in before.splitlines() if line.startswith(_VERSIONS)), "")
    told = [one.rpartition(" ") for one in known.removeprefix(_VERSIONS).removesuffix(".").split(", ") if one]
    versions = {name: number for name, _, number in told}
    versions |= {record.contestant.distribution: record.version for record in records if record.version}
    named = ", ".join(f"{name} {number}" for name, number in sorted(versions.items(), key=lambda one: one[0].lower()))
    return f"{_VERSIONS}{named}." if named else ""


def machine() -> str:
    """Name what it was measured on."""
    load = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, load {load:.1f}"
    )


def _cell(case: Case, records: list[Record], roles: set[str]) -> str:
    parts: list[str] = []
    for record in records:
        contestant = record.contestant
        if contestant.role not in roles:
            continue
        prefix = "" if contestant.name in {"ropewalk", "floor"} else f"{contestant.name} "
        if record.not_run is not None:
            parts.append(f"{prefix}not run ({record.not_run})".replace("|", "/"))
            continue
        amounts = [_amount(shown, middle(record, shown.metric)) for shown in case.shown]
        parts.append(prefix + ", ".join(amount for amount in amounts if amount))
    return "; ".join(parts)


def _amount(shown: Shown, cost: float | None) -> str:
    if cost is None:
        return ""
    number = 1 / cost if shown.inverse else cost * shown.scale
    return f"{_number(number)} {shown.unit}"


def _number(number: float) -> str:
    if abs(number) >= 100 or number == 0:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def _ratio(case: Case, verdict: Verdict) -> str:
    if verdict.ratio is None:
        return "not run"
    shown = next((shown for shown in case.shown if shown.metric == verdict.target.metric), None)
    if verdict.target.more and shown is not None:
        return f"{verdict.ratio * shown.scale:+.2f} {shown.unit}"
    if verdict.target.against is None and shown is not None:
        return _amount(shown, verdict.ratio)
    return f"{_number(verdict.ratio)} {verdict.target.unit}"


def _target(target: Target) -> str:
    if target.words:
        return target.words
    if target.times_faster:
        return f"≥ {target.limit:g} x as fast as {target.against}"
    return f"≤ {target.limit:g} x {target.against or ''}".strip()


def _outcome(verdicts: list[Verdict]) -> str:
    if not verdicts:
        return "advisory"
    outcomes = [verdict.outcome for verdict in verdicts]
    if len(set(outcomes)) == 1:
        return f"**{outcomes[0]}**" if outcomes[0] == "missed" else outcomes[0]
    return "; ".join(f"**{outcome}**" if outcome == "missed" else outcome for outcome in outcomes)
