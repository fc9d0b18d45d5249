"""Run the benchmarks, print one table."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks import page, table
from benchmarks.case import Case
from benchmarks.cases import all_cases
from benchmarks.contest import Record, hold
from benchmarks.verdict import Verdict, judge


def main() -> int:
    options = _options()
    cases = all_cases(quick=options.quick)
    if options.list:
        for case in cases:
            print(f"{case.name:<24}{case.title}")
        return 0
    unknown = set(options.cases) - {case.name for case in cases}
    if unknown:
        known = ", ".join(case.name for case in cases)
        print(f"No such case: {', '.join(sorted(unknown))}. Cases: {known}.", file=sys.stderr)
        return 2
    chosen = [case for case in cases if not options.cases or case.name in options.cases]
    results = _run(chosen, quick=options.quick, peers=options.peers)
    if options.json:
        plain = [_plain(*result) for result in results]
        options.json.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    if options.write:
        page.write(results)
    mine = [record for _, records, _ in results for record in records if record.contestant.role != "peer"]
    return 1 if any(record.not_run for record in mine) else 0


Result = tuple[Case, list[Record], list[Verdict]]


def _run(cases: list[Case], *, quick: bool, peers: bool) -> list[Result]:
    results: list[Result] = []
    print(f"{table.machine()}\n\n{table.HEAD}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ropewalk-bench-bytecode-") as bytecode:
        for case in cases:
            records = hold(case, quick=quick, peers=peers, bytecode=Path(bytecode))
            verdicts = judge(case, records)
            results.append((case, records, verdicts))
            print(table.row(case, records, verdicts), flush=True)
            for record in records:
                if record.trace and record.contestant.role != "peer":
                    print(record.trace, file=sys.stderr)
    print(f"\n{table.footer([record for _, records, _ in results for record in records])}")
    return results


def _plain(case: Case, records: list[Record], verdicts: list[Verdict]) -> dict[str, object]:
    return {
        "case": case.name,
        "title": case.title,
        "contestants": [
            {
                "name": record.contestant.name,
                "role": record.contestant.role,
                "version": record.version,
                "not_run": record.not_run,
                "rounds": record.rounds,
            }
            for record in records
        ],
        "targets": [
            {
                "metric": verdict.target.metric,
                "against": verdict.target.against,
                "limit": verdict.target.limit,
                "ratio": verdict.ratio,
                "outcome": verdict.outcome,
            }
            for verdict in verdicts
        ],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help="a case by name; all when none is given")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="only Ropewalk and its floors")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single repetition there")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
