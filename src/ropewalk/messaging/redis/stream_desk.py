"""What a worker of a stream holds and has finished.

1. A turn hands what is finished to the server, and takes what is due again or new, in one atomic script.
2. An answer that got lost is asked again; what it settled the first time is not settled twice.
3. A sign of life also finds what the server gave this worker in an answer that never came, and sets it free.
4. A worker that could not give its sign for a lease begins nothing more of what it had taken: others may have it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ropewalk.errors import NotReadable, RedisProblem
from ropewalk.messaging.redis.outage import group_is_gone, is_hopeless
from ropewalk.messaging.redis.stream_messages import Outcome, StreamMessage, Taken
from ropewalk.messaging.redis.stream_place import StreamPlace
from ropewalk.messaging.redis.talk import Pause, Talk

log = logging.getLogger("ropewalk.messaging.redis")
Processor = Callable[[Any], Any]
_WAIT_SECONDS = 0.25
"""How long one question for something new waits: how soon a worker sees `stop()`, and what others set free."""
_SHUT_SECONDS = 0.05
"""How often a thread looks again whose worker tries something alone."""
FLUSH_SECONDS = 0.02
"""How long a finished message of a batch may wait for its acknowledgement."""
_LONGEST_REASON = 2000


class Desk:
    """What one worker has in hand; used by its threads or tasks and by its keeper."""

    def __init__(
        self, place: StreamPlace, group: str, consumer: str, *, start_id: str, batched: bool, by_hand: bool = False
    ) -> None:
        self.place = place
        self.group = group
        self.consumer = consumer
        self.batched = batched
        """More is taken than is begun at once."""
        self.held: dict[str, Taken] = {}
        self.refused: set[str] = set()
        """What the last turn could not settle: it went to another worker."""
        self._fresh_until = 0.0
        """By time.monotonic(): until then nobody takes what this worker holds."""
        self._was_silent = False
        """For a whole lease, once: others may have what was held then."""
        self._given_away: set[str] = set()
        """What was held then."""
        self._flushed_at = 0.0
        self._due: float | None = None
        self._start_id = start_id
        self._by_hand = by_hand
        self._suspect = ""
        """What is tried alone now: a worker died with it."""
        self._drains = False
        """Something waits to be tried alone: nothing new until the rest is done."""
        self._taking = 0
        self._asks_alone = False
        self._outcomes: list[Outcome] = []
        self._lock = threading.Lock()

    @property
    def fresh(self) -> bool:
        return time.monotonic() < self._fresh_until

    def may_begin(self, taken: Taken) -> bool:
        """Whether it is this worker's for certain."""
        return self.fresh and taken.id not in self._given_away

    @property
    def unsettled(self) -> bool:
        return bool(self._outcomes)

    @property
    def flush_is_due(self) -> bool:
        return time.monotonic() - self._flushed_at > FLUSH_SECONDS

    def turn(self, room: int, new: int) -> Talk[list[Taken]]:
        """Settle all that is finished, and take more."""
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
            alone = self._may_be_alone(len(outcomes))
            if not self._by_hand and (self._is_shut(outcomes) or (self._drains and not alone)):
                room = new = 0
            takes = room > 0 or new > 0
            self._taking += takes
            self._asks_alone |= takes and alone and not self._by_hand
        try:
            turn = yield from self.place.turn(
                self.group,
                self.consumer,
                outcomes,
                room=room,
                new=new,
                alone=alone,
                checks=self._was_silent or not self.fresh,
            )
        except BaseException:
            with self._lock:
                self._doubt(outcomes)
                self._has_taken(takes=takes, alone=alone)
            raise
        self._flushed_at = time.monotonic()
        self.refused = set(turn.refused)
        self._tell(outcomes)
        with self._lock:
            self._let_go(outcomes)
            self.held.update({taken.id: taken for taken in turn.taken})
            self._given_away.difference_update(taken.id for taken in turn.taken)
            self._has_taken(takes=takes, alone=alone)
            if takes:
                self._drains = turn.suspects > 0
            if turn.suspect_taken:
                self._suspect = turn.taken[0].id
        self._due = turn.due_seconds
        return list(turn.taken)

    def wait(self, count: int, longest: float) -> Talk[list[Taken]]:
        """Wait for what is new, no longer than until something is due again."""
        seconds = min(longest, self.place.config.slice_seconds, _WAIT_SECONDS)
        if self._due is not None:
            seconds = min(seconds, self._due)
        with self._lock:
            shut = not self._by_hand and (self._is_shut(()) or self._drains)
            self._taking += not shut
        if shut:
            yield Pause(_SHUT_SECONDS)
            return []
        try:
            taken = yield from self.place.wait_for_new(self.group, self.consumer, count, seconds)
        finally:
            with self._lock:
                self._taking -= 1
        with self._lock:
            self.held.update({one.id: one for one in taken})
        return taken

    def beat(self) -> Talk[None]:
        """Give a sign of life; set free what this worker should have heard of and never did."""
        began = time.monotonic()
        with self._lock:
            held = len(self.held)
        found = yield from self.place.beat(self.group, self.consumer, held=held, batched=self.batched)
        with self._lock:
            if 0 < self._fresh_until <= began:
                self._was_silent = True
                self._given_away |= self.held.keys()
            self._fresh_until = began + self.place.lease
            unknown = [one for one in found if one not in self.held]
        if unknown:
            log.warning("Stream %r: %d messages got lost on their way here; set free.", self.place.name, len(unknown))
            yield from self.place.recall(self.group, self.consumer, unknown)

    def make_group(self) -> Talk[bool]:
        return self.place.create_group(self.group, self._start_id)

    def drop(self, taken: Taken) -> None:
        """Give back what was not begun."""
        self._finish(Outcome("back", taken))

    def opened(self, taken: Taken) -> tuple[Any] | None:
        """Return the data, alone in a tuple; None when it is settled already: for another group, or unreadable."""
        if taken.only and taken.only != self.group:
            self._finish(Outcome("ok", taken))
            return None
        try:
            return (self.place.data(taken),)
        except NotReadable as problem:
            self._finish(Outcome("dead", taken, f"NotReadable: {problem}"))
            return None

    def messages(self, many: Sequence[Taken]) -> list[StreamMessage]:
        """Return those that can be opened."""
        opened = ((taken, self.opened(taken)) for taken in many)
        return [
            StreamMessage(id=taken.id, data=found[0], attempt=taken.attempts + 1) for taken, found in opened if found
        ]

    def succeeded(self, taken: Taken, result: Any) -> None:
        """A processor that returns False says that it failed; whatever else it returns, it did not."""
        if result is False:
            self._finish(Outcome("fail", taken, "Refused: the processor returned False"))
        else:
            self._finish(Outcome("ok", taken))

    def failed(self, taken: Taken, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        log.warning(
            "Stream %r: message %s failed (attempt %d).", self.place.name, taken.id, taken.attempts + 1, exc_info=error
        )
        self._finish(Outcome("fail", taken, reason))

    def left(self, problem: RedisProblem) -> None:
        """Note that the server could not be told that this worker goes; raise what has another reason."""
        if is_hopeless(problem):
            raise problem
        if not group_is_gone(problem):
            log.warning("Stream %r: left without a word, its lease runs out: %s", self.place.name, problem)

    def _finish(self, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes.append(outcome)

    def _doubt(self, outcomes: Sequence[Outcome]) -> None:
        """Keep what may or may not have been settled; what was to be given back is found by a sign of life instead."""
        again = [outcome._replace(doubtful=True) for outcome in outcomes if outcome.kind != "back"]
        self._outcomes = again + self._outcomes
        self._let_go([outcome for outcome in outcomes if outcome.kind == "back"])

    def _let_go(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if self.held.get(outcome.taken.id) is outcome.taken:  # else it came back meanwhile, for another try
                del self.held[outcome.taken.id]

    def _may_be_alone(self, settled: int) -> bool:
        return self._by_hand or (len(self.held) <= settled and not self._taking and not self._asks_alone)

    def _is_shut(self, settled: Sequence[Outcome]) -> bool:
        """Whether something is tried alone, or may be in a moment."""
        tried = self._suspect in self.held and self._suspect not in {outcome.taken.id for outcome in settled}
        return self._asks_alone or tried

    def _has_taken(self, *, takes: bool, alone: bool) -> None:
        self._taking -= takes
        if takes and alone:
            self._asks_alone = False

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        lost = [one.taken.id for one in outcomes if one.taken.id in self.refused and not one.doubtful]
        if lost:
            log.warning(
                "Stream %r: %s was given to another worker meanwhile (no sign of life from here for %g s) and may be "
                "done twice.",
                self.place.name,
                ", ".join(lost),
                self.place.lease,
            )
