"""Turn records into ratios and verdicts."""

from dataclasses import dataclass
from statistics import median

from benchmarks.case import Case, Metric, Target
from benchmarks.contest import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One target, judged."""

    target: Target
    ratio: float | None
    """Or an amount, when the target is one; None when it could not be measured."""
    outcome: str
    """``met``, ``missed``, ``not run`` or ``advisory``."""


def judge(case: Case, records: list[Record]) -> list[Verdict]:
    """Judge every target of a case."""
    by_name = {record.contestant.name: record for record in records}
    mine = next(record for record in records if record.contestant.role == "ours")
    return [_judge(target, mine, by_name) for target in case.targets]


def middle(record: Record, metric: Metric) -> float | None:
    """Return the median cost over the rounds."""
    costs = [costs[metric] for costs in record.rounds if costs and metric in costs]
    return median(costs) if costs and record.not_run is None else None


def _judge(target: Target, mine: Record, by_name: dict[str, Record]) -> Verdict:
    if target.against is None:
        ratio = middle(mine, target.metric)
    elif target.against in by_name:
        ratio = _ratio(target, mine, by_name[target.against])
    else:
        ratio = None
    if ratio is None:
        outcome = "not run"
    elif target.advisory:
        outcome = "advisory"
    else:
        met = ratio >= target.limit if target.times_faster else ratio <= target.limit
        outcome = "met" if met else "missed"
    return Verdict(target=target, ratio=ratio, outcome=outcome)


def _ratio(target: Target, mine: Record, theirs: Record) -> float | None:
    """Take the median of the ratios (or differences) within each round: a slow minute weighs on both sides."""
    if mine.not_run is not None or theirs.not_run is not None:
        return None
    pairs = [
        (own[target.metric], other[target.metric])
        for own, other in zip(mine.rounds, theirs.rounds, strict=True)
        if own and other and target.metric in own and target.metric in other
    ]
    if not pairs:
        return None
    if target.more:
        return median(own - other for own, other in pairs)
    return median(other / own if target.times_faster else own / other for own, other in pairs)
