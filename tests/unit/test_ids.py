"""Run ids: what every store, subject, file name and URL can carry."""

import pytest

from ropewalk.errors import InvalidId
from ropewalk.ids import checked_run_id, new_run_id


@pytest.mark.parametrize("run_id", ["r", "order-1", "A.b_c:d@e-f", "9", "x" * 200, "chain_1", "user@host:2026-01-01"])
def test_a_plain_id_is_taken(run_id):
    assert checked_run_id(run_id) == run_id


@pytest.mark.parametrize(
    "run_id", ["", " ", "a b", "-x", ".x", "_x", "../x", "a/b", "a\\b", "é", "x" * 201, "a\n", "a>", "*", "a#1", "a?b"]
)
def test_an_id_with_a_meaning_elsewhere_is_refused(run_id):
    with pytest.raises(InvalidId, match="must start with a letter or digit"):
        checked_run_id(run_id)


def test_a_new_id_is_nobody_else_s_and_is_valid():
    ids = {new_run_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(checked_run_id(run_id) for run_id in ids)
