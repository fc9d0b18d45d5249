"""The suite that every run store must pass.

A stranger's store is tested like our own::

    import pytest
    from ropewalk.testing import RunStoreSuite

    class TestMyRunStore(RunStoreSuite):
        @pytest.fixture(autouse=True)
        def folder(self, tmp_path):
            self.path = tmp_path / "runs"

        async def open_store(self):
            return MyRunStore(self.path)

        async def open_again(self, store):
            return MyRunStore(self.path)

Call ``pytest.register_assert_rewrite("ropewalk.testing")`` in a conftest to see what an assertion compared.
"""

from ropewalk.testing.run_store_forks import ForkChecks
from ropewalk.testing.run_store_listings import ListingChecks
from ropewalk.testing.run_store_logs import LogChecks
from ropewalk.testing.run_store_loops import LoopChecks
from ropewalk.testing.run_store_owners import OwnerChecks
from ropewalk.testing.run_store_snapshots import SnapshotChecks
from ropewalk.testing.run_store_turns import TurnChecks


class RunStoreSuite(LogChecks, OwnerChecks, ForkChecks, ListingChecks, TurnChecks, SnapshotChecks, LoopChecks):
    """Inherit it as ``Test...`` and override `open_store`; each test runs its own loop."""
