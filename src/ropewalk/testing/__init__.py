"""For those who write parts or test with them: suites for parts, parts that fail on purpose, a model provider."""

from ropewalk.testing.faulty_run_store import Fault, FaultyRunStore, scripted_faults, seeded_faults
from ropewalk.testing.provider import Break, LocalProvider, Refuse, Say
from ropewalk.testing.run_stores import RunStoreSuite

__all__ = [
    "Break",
    "Fault",
    "FaultyRunStore",
    "LocalProvider",
    "Refuse",
    "RunStoreSuite",
    "Say",
    "scripted_faults",
    "seeded_faults",
]
