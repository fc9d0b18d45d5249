"""Readers in another process than the run's driver: any interleaving of its log with what is heard of it."""

from itertools import pairwise
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from ropewalk.codec import RawJson
from ropewalk.core.facts import Fact, Paused, Reset, RunStarted, RunStopped, StepFailed, StepFinished, StepRecorded
from ropewalk.core.feed import Feed, Logged
from ropewalk.core.said import Said, dump_said, load_said
from ropewalk.events import Event, parse_event_id

STEPS = ("a#1", "b#1", "c#1")
KEPT = 1_000


class Reader:
    """One who takes from a feed what is new to it."""

    def __init__(self, feed: Feed, after: tuple[int, int] = (0, 0)) -> None:
        self.feed = feed
        self.cursor = after
        self.got: list[Event] = []
        feed.join()

    def take(self) -> None:
        news = self.feed.collect(self.cursor)
        ids = [self.cursor, *(parse_event_id(one.id) for one in news)]
        assert all(one < two for one, two in pairwise(ids)), f"not in order, or twice: {ids}"
        self.cursor = ids[-1]
        self.got += news


class Driver:
    """Drives some steps as an engine does; one reader sits beside it."""

    def __init__(self) -> None:
        self.feed = Feed(KEPT)
        self.log: list[Logged] = []
        self.said: list[Said] = []
        self.feed.pass_on = lambda said: self.said.append(load_said(dump_said(said)))
        self.beside = Reader(self.feed)
        self.attempts = dict.fromkeys(STEPS, 0)
        self.going: set[str] = set()
        self._words = 0
        self._commit(RunStarted("songs", "plan", []))
        self.beside.take()

    def do(self, what: str, step: str) -> None:
        if what == "begin":
            if step in self.going:
                self.feed.forget(step)  # an attempt that is not counted: it goes again
            self.going.add(step)
            self.attempts[step] += 1
            self.feed.begin(step, step[0], self.attempts[step])
        elif what == "reset":
            self.going.clear()
            self._commit(Reset("taken_over", 2, False))
        elif step in self.going:
            self._go_on(what, step)
        self.beside.take()

    def _go_on(self, what: str, step: str) -> None:
        self._words += 1
        match what:
            case "text":
                self.feed.live(step, step[0], "text", {"text": f"{self._words} "})
            case "custom":
                self.feed.live(step, step[0], "custom", [self._words])
            case "anew":
                self.feed.live(step, step[0], "reset", {"text": "", "reason": "cut off"})
            case "reply":
                self._commit(StepRecorded(step, step[0], "model 1", self._words, RawJson(b"{}"), "model_replied"))
            case "finish":
                self.going.discard(step)
                self._commit(StepFinished(step, step[0], 1, []))
            case "fail":
                self.going.discard(step)
                self._commit(StepFailed(step, step[0], 1, "node_failed", "no", "ValueError"))
            case _:
                self.going.discard(step)
                self.feed.forget(step)
                self._commit(Paused(f"p{self._words}", "question", step[0], step, RawJson(b"1"), "ask", self._words))

    def _commit(self, fact: Fact) -> None:
        batch = [Logged(len(self.log) + 1, 1.0, fact)]
        self.log += batch
        self.feed.say(batch)

    def end(self) -> None:
        self.going.clear()
        self._commit(RunStopped("run_done"))
        self.beside.take()


class Elsewhere:
    """A process that reads the log, and hears what is said of the run."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.feed = Feed(KEPT)
        self.readers = [Reader(self.feed)]
        self.heard = 0
        """How much of what was said has arrived, or was lost."""

    def hear(self, count: int) -> None:
        self.feed.overhear(self.driver.said[self.heard : self.heard + count])
        self.heard = min(len(self.driver.said), self.heard + count)

    def hear_again(self, count: int) -> None:
        self.feed.overhear(self.driver.said[max(0, self.heard - count) : self.heard])

    def lose(self, count: int) -> None:
        self.heard = min(len(self.driver.said), self.heard + count)

    def ask(self) -> None:
        """The connection is back: the driver is asked what it keeps."""
        self.feed.overhear(load_said(dump_said(said)) for said in self.driver.feed.said((0, 0)))
        self.heard = len(self.driver.said)

    def read_log(self, until: int) -> None:
        known = self.feed.newest[0]
        if until > known:
            self.feed.say(self.driver.log[known:until])

    def read_what_was_announced(self) -> None:
        self.read_log(min(self.feed.announced, len(self.driver.log)))


DRIVER = st.tuples(
    st.sampled_from(["begin", "begin", "text", "text", "text", "custom", "anew", "reply", "finish", "fail", "ask"]),
    st.sampled_from(STEPS),
)
COUNT = st.integers(1, 6)


def as_told(events: list[Event]) -> list[tuple[str, str, str | None, Any]]:
    return [(one.id, one.type, one.node, one.data) for one in events]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(DRIVER, DRIVER, st.tuples(st.sampled_from(["hear", "again", "read", "take"]), COUNT))))
def test_where_nothing_is_lost_a_reader_elsewhere_gets_what_one_beside_the_driver_gets(moves: list[Any]) -> None:
    driver = Driver()
    there = Elsewhere(driver)
    for what, detail in moves:
        match what:
            case "hear":
                there.hear(detail)
            case "again":
                there.hear_again(detail)
            case "read":
                there.read_what_was_announced()
            case "take":
                there.readers[0].take()
            case _:
                driver.do(what, detail)
    driver.end()
    there.hear(len(driver.said))
    there.read_what_was_announced()
    there.readers[0].take()
    assert as_told(there.readers[0].got) == as_told(driver.beside.got)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.one_of(
            DRIVER,
            DRIVER,
            st.tuples(st.just("reset"), st.just("")),
            st.tuples(st.sampled_from(["hear", "hear", "again", "lose", "asks", "read", "log", "take", "late"]), COUNT),
        )
    )
)
def test_whatever_is_lost_doubled_or_late_each_reader_gets_the_log_and_ids_that_only_grow(moves: list[Any]) -> None:
    driver = Driver()
    there = Elsewhere(driver)
    for what, detail in moves:
        match what:
            case "hear":
                there.hear(detail)
            case "again":
                there.hear_again(detail)
            case "lose":
                there.lose(detail)
            case "asks":
                there.ask()
            case "read":
                there.read_what_was_announced()
            case "log":
                there.read_log(len(driver.log))
            case "late":
                there.readers.append(Reader(there.feed))
            case "take":
                there.readers[detail % len(there.readers)].take()
            case _:
                driver.do(what, detail)
    driver.end()
    there.read_log(len(driver.log))
    said = {one.id: one for one in driver.beside.got}
    entries = [str(number) for number in range(1, len(driver.log) + 1)]
    for reader in there.readers:
        reader.take()
        assert [one.id for one in reader.got if "." not in one.id] == entries
        for one in reader.got:
            assert as_told([one]) == as_told([said[one.id]])
    event(f"{len(there.readers)} readers")


def test_who_joins_in_the_middle_is_given_what_the_driver_keeps() -> None:
    driver = Driver()
    for what, step in (("begin", "a#1"), ("text", "a#1"), ("begin", "b#1"), ("finish", "b#1"), ("text", "a#1")):
        driver.do(what, step)
    there = Elsewhere(driver)
    there.read_log(2)
    there.ask()
    there.readers[0].take()
    assert [one.id for one in there.readers[0].got] == ["1", "1.1", "1.2", "2", "2.1"]


def test_what_comes_again_when_its_step_has_ended_is_passed_over() -> None:
    driver = Driver()
    there = Elsewhere(driver)
    for what in ("begin", "text", "reply", "text", "finish"):
        driver.do(what, "a#1")
    there.hear(len(driver.said))
    there.read_what_was_announced()
    there.hear_again(len(driver.said))
    assert not there.feed.has_heard("a#1"), "its entry stands for it"
    late = Reader(there.feed, (2, 0))
    late.take()
    assert [one.type for one in late.got] == ["text", "step_finished"], "nothing before the reply comes back"


def test_an_owner_who_was_relieved_is_heard_no_more() -> None:
    driver = Driver()
    there = Elsewhere(driver)
    driver.do("begin", "a#1")
    driver.do("text", "a#1")
    driver.do("reset", "")
    there.hear(len(driver.said))
    there.read_what_was_announced()
    zombie = [Said(1, 3, "a#1", "a", "text", {"text": "of a zombie "}), Said(1, 4, "b#1", "b", "custom", 1)]
    there.feed.overhear(zombie)
    assert not there.feed.has_heard("a#1")
    assert not there.feed.has_heard("b#1")
    driver.do("begin", "a#1")
    there.hear(len(driver.said))
    there.feed.overhear(zombie)
    there.readers[0].take()
    assert [one.id for one in there.readers[0].got] == ["1", "1.1", "1.2", "2", "2.1"]
    assert not there.feed.has_heard("a#1")
