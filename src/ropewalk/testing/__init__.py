"""For those who write parts or test with them: suites for parts, and parts that fail on purpose."""

from ropewalk.testing.faulty_run_store import Fault, FaultyRunStore, scripted_faults, seeded_faults
from ropewalk.testing.run_stores import RunStoreSuite

__all__ = ["Fault", "FaultyRunStore", "RunStoreSuite", "scripted_faults", "seeded_faults"]
