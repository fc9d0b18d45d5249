"""The cases, in the order of the table."""

from benchmarks.case import Case
from benchmarks.cases import agents, chat, doors, durability, overhead, postgres, process, redis


def all_cases(*, quick: bool) -> list[Case]:
    return [
        *overhead.cases(),
        *durability.cases(),
        *postgres.cases(),
        *redis.cases(),
        *agents.cases(),
        *doors.cases(),
        *chat.cases(),
        *process.cases(quick=quick),
    ]
