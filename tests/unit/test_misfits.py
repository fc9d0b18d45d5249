"""What a worker remembers of runs that its code does not fit."""

from ropewalk.workers import misfits
from ropewalk.workers.misfits import Misfits


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_misfit_is_passed_over_until_its_time_and_each_time_for_longer() -> None:
    clock = Clock()
    known = Misfits(clock=clock)
    assert known.is_new("r")
    for pause in (10, 40, 160, 640, 2560, 3600, 3600):
        assert known.note("r", 7)
        clock.now += pause - 1
        assert known.passed_over() == {"r": 7}
        clock.now += 1
        assert known.passed_over() == {}
    assert not known.is_new("r")


def test_a_log_that_has_grown_begins_anew() -> None:
    clock = Clock()
    known = Misfits(clock=clock)
    known.note("r", 7)
    known.note("r", 7)
    known.note("r", 8)
    assert known.passed_over() == {"r": 8}
    clock.now += 10
    assert known.passed_over() == {}


def test_there_is_room_for_so_many_and_what_is_never_met_again_makes_room() -> None:
    clock = Clock()
    known = Misfits(clock=clock)
    for i in range(misfits._MOST):
        assert known.note(f"run{i}", 1)
    assert not known.note("one more", 1)
    assert known.note("run0", 1), "it has its place already"
    clock.now += 10 + misfits._FORGOTTEN_SECONDS
    assert known.note("one more", 1)
    assert len(known.passed_over()) == 1
    assert known.is_new("run1")
    assert not known.is_new("run0"), "its second pause is longer"
