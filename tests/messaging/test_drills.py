"""Short forms of the drill: one kill, one freeze, one restart. `./dev drill --only-redis` is the whole of it."""

import pytest
from tests.drill import callers, consumers, holders

pytestmark = pytest.mark.slow


def test_no_task_is_lost_and_each_repetition_is_explained() -> None:
    size = consumers.Size(tasks=200, consumers=3, lease=0.4, pace=0.005, strikes=4, restarts=1, every=0.3, odd=1)
    findings = consumers.consumed(size, seed=1)
    assert findings.is_good, [*findings.lost, *findings.unexplained, *findings.letters]
    assert [fault.kind for fault in findings.faults].count("restarted") == 1
    assert len(findings.faults) == 4
    assert findings.poison == 1


def test_a_resource_that_checks_the_number_takes_nothing_from_a_stale_holder() -> None:
    findings = holders.held(4, 2.5, seed=1, restarts=1)
    assert findings.is_good, str(findings)
    assert findings.faults["killed"] + findings.faults["frozen"] > 1


def test_a_hundred_callers_at_overload_get_what_is_allowed() -> None:
    findings = callers.called(100, 1, processes=2)
    assert findings.is_good, str(findings)
