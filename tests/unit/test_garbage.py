"""What is alive when a server begins is left alone by the collector until it ends; all else is collected as ever."""

import gc
import weakref

from ropewalk.cli.garbage import what_is_here_stays


class Knot:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_alive_is_left_alone_and_what_comes_is_collected() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with what_is_here_stays():
        assert gc.get_freeze_count() > frozen + 1_000
        assert gc.get_threshold()[0] > before[0]
        new = weakref.ref(Knot())
        gc.collect()
        assert new() is None
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_what_was_garbage_already_is_collected_afterwards() -> None:
    gc.disable()
    try:
        old = weakref.ref(Knot())
        with what_is_here_stays():
            gc.collect()
            assert old() is not None
    finally:
        gc.enable()
    gc.collect()
    assert old() is None
