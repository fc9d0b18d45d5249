"""What a worker of a stream holds and has finished, and the thread that keeps it alive to the others.

1. A turn hands what is finished to the server, and takes what is due again or new, in one atomic script.
2. An answer that got lost is asked again; what it settled the first time is not settled twice.
3. The keeper gives a sign of life every third of the lease, whatever the handlers do. It also notices what the server
   gave this worker in an answer that never came, and sets it free.
4. A worker that could not give its sign for a lease begins nothing more: others may have it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ropewalk.messaging.redis.client import RedisClient
from ropewalk.messaging.redis.errors import NotReadable, RedisDenied, RedisProblem, RedisRefused, WrongKind
from ropewalk.messaging.redis.stream_place import Outcome, StreamMessage, StreamPlace, Taken
from ropewalk.messaging.redis.talk import Pause, Talk

log = logging.getLogger("ropewalk.messaging.redis")
WAIT_SECONDS = 0.25
"""How long one question for something new waits: how soon a worker sees `stop()`, and what others set free."""
SHUT_SECONDS = 0.05
"""How often a thread looks again whose worker tries something alone."""
FLUSH_SECONDS = 0.02
"""How long a finished message of a batch may wait for its acknowledgement."""
_LONGEST_REASON = 2000
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


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
        self.fresh_until = 0.0
        """By time.monotonic(): until then nobody takes what this worker holds."""
        self.flushed_at = 0.0
        self.refused: set[str] = set()
        """What the last turn could not settle: it went to another worker."""
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
        return time.monotonic() < self.fresh_until

    @property
    def unsettled(self) -> bool:
        return bool(self._outcomes)

    @property
    def flush_is_due(self) -> bool:
        return time.monotonic() - self.flushed_at > FLUSH_SECONDS

    def finish(self, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes.append(outcome)

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
            turn = yield from self.place.turn(self.group, self.consumer, outcomes, room=room, new=new, alone=alone)
        except BaseException:
            with self._lock:
                self._outcomes = [outcome._replace(doubtful=True) for outcome in outcomes] + self._outcomes
                self._taken(takes=takes, alone=alone)
            raise
        self.flushed_at = time.monotonic()
        self.refused = set(turn.refused)
        self._tell(outcomes)
        with self._lock:
            for outcome in outcomes:
                self.held.pop(outcome.id, None)
            self.held.update({taken.id: taken for taken in turn.taken})
            self._taken(takes=takes, alone=alone)
            if takes:
                self._drains = turn.suspects > 0
            if turn.suspect_taken:
                self._suspect = turn.taken[0].id
        self._due = turn.due_seconds
        return list(turn.taken)

    def wait(self, count: int, longest: float) -> Talk[list[Taken]]:
        """Wait for what is new, no longer than until something is due again."""
        seconds = min(
            longest, self.place.config.slice_seconds, WAIT_SECONDS, WAIT_SECONDS if self._due is None else self._due
        )
        with self._lock:
            shut = not self._by_hand and (self._is_shut(()) or self._drains)
            self._taking += not shut
        if shut:
            yield Pause(SHUT_SECONDS)
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
        self.fresh_until = began + self.place.lease
        with self._lock:
            unknown = [one for one in found if one not in self.held]
        if unknown:
            log.warning("Stream %r: %d messages got lost on their way here; set free.", self.place.name, len(unknown))
            yield from self.place.recall(self.group, self.consumer, unknown)

    def make_group(self) -> Talk[bool]:
        return self.place.create_group(self.group, self._start_id)

    def drop(self, taken: Taken) -> None:
        """Give back what was not begun."""
        self.finish(Outcome("back", taken.id))

    def opened(self, taken: Taken) -> StreamMessage | None:
        """Return the message; None when it is settled already: meant for another group, or unreadable."""
        if taken.only and taken.only != self.group:
            self.finish(Outcome("ok", taken.id))
            return None
        try:
            return self.place.message(taken)
        except NotReadable as problem:
            self.finish(Outcome("dead", taken.id, f"NotReadable: {problem}", taken.raw))
            return None

    def succeeded(self, taken: Taken, result: Any) -> None:
        """A processor that returns False says that it failed; whatever else it returns, it did not."""
        if result is False:
            self.finish(Outcome("fail", taken.id, "Refused: the processor returned False", taken.raw))
        else:
            self.finish(Outcome("ok", taken.id))

    def failed(self, taken: Taken, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        log.warning(
            "Stream %r: message %s failed (attempt %d).", self.place.name, taken.id, taken.attempts + 1, exc_info=error
        )
        self.finish(Outcome("fail", taken.id, reason, taken.raw))

    def _may_be_alone(self, settled: int) -> bool:
        return self._by_hand or (len(self.held) <= settled and not self._taking and not self._asks_alone)

    def _is_shut(self, settled: Sequence[Outcome]) -> bool:
        """Whether something is tried alone, or may be in a moment."""
        tried = self._suspect in self.held and self._suspect not in {outcome.id for outcome in settled}
        return self._asks_alone or tried

    def _taken(self, *, takes: bool, alone: bool) -> None:
        self._taking -= takes
        if takes and alone:
            self._asks_alone = False

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        lost = [one.id for one in outcomes if one.id in self.refused and not one.doubtful and one.kind != "back"]
        if lost:
            log.warning(
                "Stream %r: %s was given to another worker meanwhile (no sign of life from here for %g s) and may be "
                "done twice.",
                self.place.name,
                ", ".join(lost),
                self.place.lease,
            )


class Keeper(threading.Thread):
    """Gives the signs of life of one desk, and acknowledges what a long handler would hold up."""

    def __init__(self, desk: Desk, client: RedisClient, *, discard_done: bool, flushes: bool) -> None:
        super().__init__(name=f"ropewalk-stream-{desk.place.name}", daemon=True)
        self._desk = desk
        self._client = client
        self._discard_done = discard_done
        self._flushes = flushes
        self._ended = threading.Event()

    def beat(self) -> None:
        """Give one sign of life now. Raises `RedisProblem`."""
        self._client.talk(self._desk.beat())

    def run(self) -> None:
        every = self._desk.place.lease / 3
        due = time.monotonic() + every
        while not self._ended.wait(min(FLUSH_SECONDS, every) if self._flushes else max(0.0, due - time.monotonic())):
            try:
                if self._flushes and self._desk.unsettled and self._desk.flush_is_due:
                    self._client.talk(self._desk.turn(0, 0))
                if time.monotonic() >= due:
                    due = time.monotonic() + min(0.5, every / 4)  # again soon, should it fail
                    self._keep_alive()
                    due = time.monotonic() + every
            except RedisProblem as problem:
                log.debug("Stream %r: no sign of life: %s", self._desk.place.name, problem)
                self._ended.wait(min(0.5, every / 4))

    def end(self) -> None:
        self._ended.set()
        if self.is_alive():
            self.join()

    def _keep_alive(self) -> None:
        self._client.talk(self._desk.beat())
        if self._discard_done:
            self._client.talk(self._desk.place.trim())


class Outage:
    """How long to wait when the server does not answer; says so once."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._pause = 0.0

    def over(self) -> None:
        if self._pause:
            log.warning("Stream %r: the server is back.", self._stream)
            self._pause = 0.0

    def pause(self, problem: RedisProblem) -> float:
        """Return seconds to wait. Raises the problem when waiting cannot help."""
        if isinstance(problem, RedisDenied | WrongKind):
            raise problem
        if not self._pause:
            log.warning("Stream %r: %s Trying again until it works.", self._stream, problem)
        self._pause = min(_LONGEST_PAUSE_SECONDS, max(_FIRST_PAUSE_SECONDS, 2 * self._pause))
        return self._pause


def group_is_gone(problem: RedisProblem) -> bool:
    """Whether the server forgot the group: it lost its data, or somebody deleted the stream."""
    return isinstance(problem, RedisRefused) and ("NOGROUP" in str(problem) or "no such key" in str(problem))


Processor = Callable[[Any], Any]
