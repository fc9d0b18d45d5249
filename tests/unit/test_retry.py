"""Retry: how long to wait, and when to give up."""

import math
import re

import pytest

from ropewalk import Retry
from ropewalk.core.retry import NO_RETRY


def test_waits_grow_by_the_factor_up_to_the_longest():
    policy = Retry(attempts=6, backoff=1, factor=3, max_backoff=20, jitter=0)
    assert [policy.delay(failures, "k") for failures in range(1, 7)] == [1, 3, 9, 20, 20, None]


def test_there_is_one_attempt_unless_asked_for_more():
    assert NO_RETRY.delay(1, "k") is None
    assert Retry(attempts=1).delay(1, "k") is None


def test_jitter_is_the_same_for_the_same_step_and_differs_among_siblings():
    policy = Retry(attempts=5, backoff=10, factor=1, jitter=0.2)
    waits = [policy.delay(1, f"run/step[{number}]") for number in range(100)]
    assert waits == [policy.delay(1, f"run/step[{number}]") for number in range(100)]
    assert len(set(waits)) > 90
    assert all(8 <= wait <= 12 for wait in waits)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("attempts", 0),
        ("backoff", -1),
        ("backoff", math.nan),
        ("factor", 0.5),
        ("max_backoff", -1),
        ("jitter", 2),
        ("jitter", -0.1),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(setting, value):
    with pytest.raises(ValueError, match=rf"^Retry's {setting} is .*; not {value!r}\.$"):
        Retry(**{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("attempts", "3"),
        ("attempts", 2.5),
        ("attempts", True),
        ("backoff", "1"),
        ("max_backoff", None),
        ("on", ("x",)),
        ("on", [OSError]),
        ("on", OSError("down")),
    ],
)
def test_a_policy_of_other_kinds_is_refused_and_not_when_a_step_has_failed(setting, value):
    with pytest.raises(TypeError, match=rf"^Retry's {setting} is .*; not {re.escape(repr(value))}\.$"):
        Retry(**{setting: value})


def test_one_exception_class_need_not_be_a_tuple():
    assert Retry(on=OSError).on is OSError
