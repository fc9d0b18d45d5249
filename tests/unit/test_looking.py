"""When a log that another process writes is looked at, and how far it is read."""

import pytest

from ropewalk.core.looking import Looking


def test_a_silent_log_is_looked_at_less_and_less_often() -> None:
    looking = Looking()
    looking.begin(100.0)
    looking.looked(100.0, grew=True)
    assert looking.due_in(100.0, announced=0, known=3) == pytest.approx(0.05)
    looking.looked(104.0, grew=False)
    assert looking.due_in(104.0, announced=0, known=3) == pytest.approx(0.4)
    looking.looked(200.0, grew=False)
    assert looking.due_in(200.0, announced=0, known=3) == 1.0
    assert looking.due_in(200.7, announced=0, known=3) == pytest.approx(0.3)


def test_an_announced_entry_is_looked_for_at_once_and_only_once() -> None:
    looking = Looking()
    looking.looked(10.0, grew=False)
    assert looking.due_in(10.0, announced=4, known=3) == 0
    assert looking.until(10.0, 3, announced=4, known=3) == 3, "the store does not show it yet"
    assert looking.due_in(10.0, announced=4, known=3) > 0, "it is not asked again and again"
    assert looking.due_in(10.0, announced=5, known=3) == 0


def test_the_log_is_read_as_far_as_was_announced() -> None:
    looking = Looking()
    assert looking.until(10.0, 9, announced=6, known=4) == 6
    assert looking.until(10.01, 9, announced=6, known=6) == 6
    assert looking.due_in(10.01, announced=7, known=6) == 0
    assert looking.until(10.02, 9, announced=9, known=6) == 9


def test_an_entry_that_nobody_announces_is_read_a_moment_later() -> None:
    looking = Looking()
    assert looking.until(10.0, 7, announced=6, known=6) == 6
    assert looking.due_in(10.04, announced=6, known=6) == pytest.approx(0.06)
    assert looking.until(10.11, 7, announced=6, known=6) == 7
    assert looking.until(10.2, 8, announced=6, known=7) == 8, "who tells nothing is not waited for"


def test_a_log_that_is_always_ahead_is_not_overtaken_while_announcements_come() -> None:
    looking = Looking()
    for number in range(20):
        assert looking.until(10.0 + number / 20, number + 9, announced=number + 2, known=number + 1) == number + 2


def test_where_nobody_tells_anything_the_log_is_read_as_it_is() -> None:
    assert Looking().until(10.0, 7, announced=0, known=3) == 7
