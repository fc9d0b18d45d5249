"""The sockets: one Protocol a file, its guarantees in its docstring."""

from ropewalk.contracts.run_queue import (
    ClaimedRun,
    LeaseRenewer,
    QueuedRun,
    QueuesRuns,
    RunQueue,
    TellsOfRuns,
    WakesNext,
)
from ropewalk.contracts.run_store import NewRun, RunRecord, RunStore, SessionStands, TellsOfSessions

__all__ = [
    "ClaimedRun",
    "LeaseRenewer",
    "NewRun",
    "QueuedRun",
    "QueuesRuns",
    "RunQueue",
    "RunRecord",
    "RunStore",
    "SessionStands",
    "TellsOfRuns",
    "TellsOfSessions",
    "WakesNext",
]
