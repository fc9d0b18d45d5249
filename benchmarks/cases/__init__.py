"""The cases, in the order of the table."""

from benchmarks.case import Case
from benchmarks.cases import doors, durability, overhead, postgres, process


def all_cases(*, quick: bool) -> list[Case]:
    return [*overhead.cases(), *durability.cases(), *postgres.cases(), *doors.cases(), *process.cases(quick=quick)]
